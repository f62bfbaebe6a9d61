"""A tiny study runs end to end and leaves what the README promises."""

import csv
import shutil
import zipfile

import clxai
import numpy as np
import pytest
import torch
from clxai.flipping.curves import flip_curves
from clxai.runtime.artefacts import read_record, read_table
from project import TINY, grid

pytestmark = pytest.mark.xdist_group("finished")  # one tiny study serves both files


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_study_leaves_tables_for_every_model_head_and_method(finished):
    summary = rows(finished.folder / "results/studies/tiny/digits/tables/summary.csv")
    assert {row["model"] for row in summary} == {"ce", "supcon"}
    assert {row["method"] for row in summary} == {"random", "saliency", "grad_cam"}
    assert {row["scored_by"] for row in summary if row["model"] == "supcon"} == {"knn"}
    assert {(row["explained_by"], row["scored_by"]) for row in summary if row["model"] == "ce"} == {
        (one, other) for one in ("softmax", "knn") for other in ("softmax", "knn")
    }


def test_random_attribution_has_no_excess_over_itself(finished):
    summary = rows(finished.folder / "results/studies/tiny/digits/tables/summary.csv")
    assert {float(row["excess"]) for row in summary if row["method"] == "random" and row["metric"] == "srg"} == {0.0}


def test_trust_measures_are_there_or_left_out_with_a_reason(finished):
    tables = finished.folder / "results/studies/tiny/digits/tables"
    found, left_out = rows(tables / "trust.csv"), rows(tables / "trust_left_out.csv")
    assert {row["ci_over"] for row in found} == {"images"}  # of one training
    assert {"agreement", "replication", "reliability"} <= {row["measure"] for row in found}
    assert {row["needs"] for row in left_out} == {"oracle", "borrowed", "degraded", "class_code", "references", "randomised"}
    assert {row["measure"] for row in found}.isdisjoint(row["measure"] for row in left_out)
    assert {(row["model"], row["minus"]) for row in rows(tables / "trust_contrasts.csv")} == {("supcon", "ce")}
    assert {row["n_routes"] for row in rows(tables / "trust_claims.csv")} == {"4"}  # no search of orders, no NAOPC


FIGURES = (
    "accuracy",
    "deletion",
    "insertion",
    "srg",
    "cross",
    "ranking",
    "trust",
    "drift",
    "trajectories",
    "gallery_ce",
    "overlay_ce",
)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_study_leaves_figures(finished, name, kind):
    assert (finished.folder / f"results/studies/tiny/digits/figures/{name}.{kind}").stat().st_size > 5000


def test_study_leaves_a_page_that_says_what_one_training_cannot_say(finished):
    page = (finished.folder / "results/studies/tiny/digits/verdict.md").read_text()
    sections = (
        "Answer",
        "What was found",
        "What was not found",
        "What this study cannot say",
        "The instrument",
        "How it was run",
    )
    assert all(f"\n## {section}\n" in page for section in sections)
    assert "With one training per model all intervals are over images" in page
    assert "contrasts.csv: model supcon, minus ce, quantity value, " in page
    assert (finished.folder / "results/studies/tiny/digits/verdict.json").exists()
    assert (finished.folder / "results/studies/tiny/digits/verdict.html").read_text().startswith("<!DOCTYPE html>")


def test_every_method_is_described_in_a_table_a_page_and_beside_its_maps(finished):
    home = finished.folder / "results/studies/tiny/digits"
    table = read_table(home / "tables/methods.csv").set_index("method")
    assert list(table.index) == ["grad_cam", "random", "saliency"]
    assert table.loc["grad_cam", ["families", "aligned_to", "options"]].tolist() == ["cam, gradient", "layer", "layer: layer3"]
    assert table.loc["random", ["signed", "seeding", "n_maps"]].tolist() == [0, "keyed", 2 * 12 + 12]  # softmax and knn, knn
    page = (home / "methods.html").read_text()
    assert all(f"<code>{method}</code>" in page for method in table.index)
    record = read_record(finished.folder / "results/digits/ce/seed0/attributions/evaluation/grad_cam.json")
    assert record["meaning"]["option_layer"] == "layer3"
    assert record["maps"]["knn"].keys() == {"not_finite", "constant", "all_zero"}


def test_every_log_is_filled(finished):
    logs = sorted((finished.folder / "results").rglob("logs/**/*.log"))
    names = [str(log).rpartition("/logs/")[2] for log in logs]
    spoken = ("prepare", "sample", "train", "embed", "fit", "attribute", "flip", "check", "plot")
    lines = {log: len(log.read_text().splitlines()) for log, name in zip(logs, names, strict=True) if name.startswith(spoken)}
    silent = [str(log) for log, count in lines.items() if count < 2]
    assert {name.partition("/")[0] for name in names} >= {"attribute", "flip"}
    assert len(logs) > 20
    assert silent == []


def test_nothing_temporary_is_left(finished):
    left = [path.name for path in (finished.folder / "results").rglob(".*")]
    assert set(left) <= {".snakemake_timestamp"}  # Snakemake's own, in the folders that are outputs


def test_report_builds(finished):
    process = finished.snakemake("--report", "report.zip")
    assert process.returncode == 0, process.stderr
    with zipfile.ZipFile(finished.folder / "report.zip") as report:
        (page,) = (name for name in report.namelist() if name.endswith("/verdict.html"))
        assert b"What this study cannot say" in report.read(page)
        assert any(name.endswith("/methods.html") for name in report.namelist())
        assert '"(Verdict)"' in report.read(next(name for name in report.namelist() if name.endswith("report.html"))).decode()
    (finished.folder / "report.zip").unlink()


def test_failing_self_check_stops_the_study(finished):
    """With an impossible limit the check job fails, names the check, and its table does not pass as finished.

    The same curves under another name of the study, so that the finished one stays as it is.
    """
    strict, home = finished.folder / "strict.yaml", finished.folder / "results/studies/strict"
    strict.write_text((finished.folder / TINY).read_text().replace("alpha: 0.000001", "alpha: 0.999999"))
    table = home / "digits/tables/checks.csv"
    process = finished.snakemake("--cores", "2", str(table.relative_to(finished.folder)), config="strict.yaml")
    try:
        assert process.returncode != 0
        assert "self-checks failed" in process.stdout + process.stderr
        assert table.with_name("summary.csv").exists()
        assert not table.exists()
    finally:
        strict.unlink()
        shutil.rmtree(home)


def test_everything_of_a_study_is_opened_by_name(finished):
    """The library without Snakemake reads what the jobs wrote, and computes a file of curves again to the last bit."""
    study = clxai.load_study(finished.folder / "results/studies/tiny")
    stored = study.curves(model="ce", seed=0, method="saliency")
    maps, heads = study.attributions(model="ce", seed=0, method="saliency"), study.heads("ce", 0)
    run = study.run("ce", 0).at(maps["image"].values)
    settings = {"steps": 4, "bank_k": 3, "trajectories": 2, "seed": int(stored.attrs["seed"])}
    again = flip_curves(run, maps, {**settings, "fills": ["mean"], "units": grid(4), "batch_size": None, "precision": "float32"})
    np.testing.assert_array_equal(again["log_odds"], stored["log_odds"].sel(fill=["mean"]))
    images = torch.from_numpy(study.data.images[maps["image"].values])
    own = clxai.explain(study.network("ce", 0), heads, images, "saliency")["attribution"].sel(head=maps["head"].values)
    np.testing.assert_allclose(own, maps["attribution"], rtol=1e-3, atol=1e-6)
    assert set(heads) == {"softmax", "knn"}
    assert heads.metrics["accuracy"].between(0, 1).all()
    assert study.curves(method="saliency").sizes["model"] == 2
    assert len(study.embeddings("supcon", 0)["embedding"]) == len(study.data.images)
