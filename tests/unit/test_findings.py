"""The README's results and the committed pages are those of the committed tables, and runs are kept side by side."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from clxai.errors import ClxaiError
from clxai.planning import findings
from clxai.planning.findings import BEGIN, DEFAULT, END, LINE_WIDTH, ROOT, committed, document, page, wrapped
from clxai.runtime.artefacts import write_record, write_table
from clxai.verdict.records import Study
from invented import AVERAGED
from project import filled_config

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results").rglob(findings.DESIGN))


def test_the_results_of_the_readme_are_those_of_the_committed_tables():
    section = (ROOT / "README.md").read_text().split(BEGIN)[1].split(END)[0]
    assert section == document(committed())


def test_what_the_readme_says_by_hand_is_what_the_committed_tables_say():
    runs, text = committed(), " ".join((ROOT / "README.md").read_text().split())
    said = "does not show that SupCon makes pixel flipping more trustworthy, nor the contrary: three seeds,"
    assert (said in text) == any(one.claim == "answer_open" for one in findings.statements(runs))
    assert {study.n_trainings for study in runs.values()} == {3}
    assert {width["network_options"]["width"] for width in filled_config()["models"].values()} == {64 / 4}  # "a quarter as wide"


def test_what_the_readme_says_by_hand_of_the_larger_studies_is_what_their_committed_tables_say():
    text, results = " ".join((ROOT / "README.md").read_text().split()), ROOT / "docs" / "results"
    studies = {name: committed(results / name) for name in ("answer", "answer_fashion")}
    for runs, n_fills in zip(studies.values(), (4, 2), strict=True):
        (study,) = runs.values()
        fills = {fill for fill in study.tables["summary"]["fill"] if fill != "all"}
        assert (study.n_trainings, len(study.models), len(fills)) == (5, 6, n_fills)
    still_open = all("answer_open" in {one.claim for one in findings.statements(runs)} for runs in studies.values())
    assert ("of digits and of clothes: the question stays open." in text) == still_open
    assert ("known, was not run yet." in text) == (not (results / "answer_planted").exists())
    assert all(f"`{name}.yaml`" in text for name in ("answer_planted", "answer_fashion"))


def test_how_far_means_move_within_the_intervals_of_temperatures_is_what_the_committed_tables_say():
    table = pd.read_csv(DEFAULT / "summary.csv")
    own = table[table["explained_by"] == table["scored_by"]]
    cells = ["cpu", "model", "units", "method", "fill", "explained_by"]
    srg = own.pivot_table(index=cells, columns="metric", values="mean")
    moved = srg[["srg_matched_low", "srg_matched_high"]].sub(srg["srg_matched"], axis=0).abs().stack()
    knn = moved.index.get_level_values("explained_by") == "knn"
    found = [f"{math.ceil(100 * value) / 100:.2f}"[1:] for value in (moved[knn].max(), moved[~knn].max())]
    text = " ".join((ROOT / "docs" / "methods.md").read_text().split())
    said = "no mean SRG of a head's own maps moves by more than {} between `T` and an end of its interval (kNN) or {}"
    assert said.format(*found) in text
    assert "half of them by .005 or less" in text and moved.median() <= 0.005


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_page_is_that_of_its_tables(folder):
    assert (folder / "verdict.md").read_text() == page(committed(folder))


def test_the_committed_answer_is_that_of_the_committed_tables():
    folders, path = findings.answer_folders(findings.RESULTS), findings.RESULTS / "answer.md"
    assert path.exists() == bool(folders)
    assert not folders or path.read_text() == findings.answer_page(folders)


def test_the_default_study_is_committed_of_two_kinds_of_cpu():
    assert DEFAULT in FOLDERS
    assert list(committed()) == ["AVX2", "AVX512"]


def rows(table, **columns):
    return pd.DataFrame(table).assign(**columns)


def finished(folder, cpu, mean):
    """The tables of a small finished study, and its design."""
    places = [
        (model, method, metric)
        for model in ("ce", "supcon")
        for method in ("random", "ig")
        for metric in ("srg_matched", "srg_kept")
    ]
    summary = rows(
        [
            {"model": model, "method": method, "metric": metric, "mean": mean * (method == "ig")}
            for model, method, metric in places
        ],
        **{"units": "grid", "fill": "mean", "explained_by": "linear", "scored_by": "linear", "n_seeds": 3, "n_images": 30},
    )
    summary = summary.assign(ci_low=summary["mean"] - 0.1, ci_high=summary["mean"] + 0.1)
    summary = summary.assign(excess=summary["mean"], excess_ci_low=summary["ci_low"], excess_ci_high=summary["ci_high"])
    others = summary.assign(metric="srg", mean=9.0)
    contrasts = rows(
        [{"metric": metric, "difference": mean} for metric in findings.ROUTES],
        **AVERAGED,
        **{"p_holm": 0.5, "equivalent": False, "margin": 0.05, "n_seeds": 3, "n_images": 30, "ci_low": -1.0, "ci_high": 1.0},
    )
    tables = {
        "summary": pd.concat([summary, others]),
        "contrasts": contrasts,
        "variance": rows([{"metric": "srg_matched", "method": "ig"}], seed_share=0.2, image_share=0.3, residual_share=0.5),
        "heads": rows([{"model": "ce", "seed": 0, "head": "linear", "split": split} for split in ("test", "val")], accuracy=0.9),
        "models": rows([{"model": model, "seed": seed} for model in ("ce", "supcon") for seed in range(3)], cpu_capability=cpu),
        "checks": rows([{"setting": "alpha", "value": 0.5, "result": "pass"}]),
    }
    for name, table in tables.items():
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        write_table(table, folder / "tables" / f"{name}.csv")
    design = {"name": "small", "dataset": "none", "models": ["ce", "supcon"], "methods": ["random", "ig"], "controls": ["random"]}
    design |= {"units": "grid", "fill": "mean"}
    write_record({**design, "contrastive": ["supcon"]}, folder / "verdict.json")
    return folder


def test_runs_are_taken_over_side_by_side_and_replaced(tmp_path):
    target = tmp_path / "results"
    for number, (cpu, mean) in enumerate((("AVX2", 0.1), ("AVX512", 0.2), ("AVX2", 0.3))):
        findings.main([str(target), str(finished(tmp_path / str(number), cpu, mean))])
    runs = committed(target)
    assert {run: set(study.own("srg_matched").query("method == 'ig'")["mean"]) for run, study in runs.items()} == {
        "AVX2": {0.3},
        "AVX512": {0.2},
    }
    assert isinstance(runs["AVX2"], Study) and runs["AVX2"].contrastive == ["supcon"]
    assert "srg" not in set(pd.read_csv(target / "summary.csv")["metric"])
    assert set(pd.read_csv(target / "heads.csv")["split"]) == {"test"}
    assert "content_sha256" not in json.loads((target / findings.DESIGN).read_text())
    text = " ".join((target / "verdict.md").read_text().split())
    assert "in every cell of every model (least AVX2 0.30 [0.20, 0.40] on `ce`, AVX512 0.20 [0.10, 0.30] on `ce`)" in text
    assert "### AVX2 " in text and "### AVX512 " in text


def test_the_answer_has_ten_sentences_of_all_studies_and_says_how_they_were_run(tmp_path):
    for dataset in ("digits", "clothes"):
        folder = finished(tmp_path / dataset, "AVX2", 0.2)
        design = findings.read_record(folder / "verdict.json")
        write_record({**design, "dataset": dataset, "name": f"answer_{dataset}"}, folder / "verdict.json")
        findings.main([str(tmp_path / "results" / f"answer_{dataset}"), str(folder)])
    path = tmp_path / "results" / "answer.md"
    (tmp_path / "results" / "answer_digits" / "run.txt").write_text("abc1234, two cores,\n2 h\n")
    findings.main([str(tmp_path / "results" / "answer_digits")])
    lines = path.read_text().splitlines()
    sentences = [line for line in lines if line.startswith("- On ")]
    assert len(sentences) <= 10
    assert {line.split(":")[0] for line in sentences} == {"- On digits", "- On clothes"}
    for dataset in ("digits", "clothes"):
        first = next(line for line in sentences if line.startswith(f"- On {dataset}"))
        assert first.startswith(f"- On {dataset}: The study does not answer its question: ")
        page_text = (tmp_path / "results" / f"answer_{dataset}" / "verdict.md").read_text()
        own = [line.split(": ", 1)[1].split(" ([page]")[0] for line in sentences if line.startswith(f"- On {dataset}")]
        assert all(text in page_text for text in own)
    (row,) = (line for line in lines if line.startswith("| digits |"))
    assert row.startswith("| digits | 2 models x 3 seeds | 30 | AVX2 | `snakemake --configfile config/answer_digits.yaml`, ")
    assert row.endswith("docs/results/answer_digits results/studies/answer_digits/digits` | abc1234, two cores, 2 h |")


def test_tables_of_the_readme_have_a_column_for_each_run(tmp_path):
    target = tmp_path / "results"
    for cpu, mean in (("AVX2", 0.1), ("AVX512", 0.2)):
        findings.main([str(target), str(finished(tmp_path / cpu, cpu, mean))])
    text = document(committed(target))
    assert "| SRG, matched | ce, AVX2 | ce, AVX512 | supcon, AVX2 | supcon, AVX512 |" in text
    assert "| `ig` | 0.10 [0.00, 0.20] | 0.20 [0.10, 0.30] | 0.10 [0.00, 0.20] | 0.20 [0.10, 0.30] |" in text
    assert "| `supcon` - `ce` | 0.10 [-1.00, 1.00] | 0.10 [-1.00, 1.00] | 0.20 [-1.00, 1.00] | 0.20 [-1.00, 1.00] |" in text
    assert text.count("\n- ") <= 10


def test_tables_of_the_readme_are_of_the_first_units_and_fill_of_the_study(tmp_path):
    """Not of those that come first in a table, which is sorted by name."""
    folder, target = finished(tmp_path / "run", "AVX2", 0.1), tmp_path / "results"
    for name, column in (("summary", "mean"), ("contrasts", "difference")):
        own = pd.read_csv(folder / "tables" / f"{name}.csv")
        blurred = own.assign(fill="blur", **{column: 0.7})
        write_table(pd.concat([blurred, own]), folder / "tables" / f"{name}.csv")
    findings.main([str(target), str(folder)])
    tables = document(committed(target)).split("\n- ")[0]
    assert "0.70 [" not in tables and "0.10 [" in tables and tables.count("units grid, fill mean") == 2


def test_a_page_of_another_folder_leaves_the_readme_alone(tmp_path):
    before = (ROOT / "README.md").read_text()
    findings.main([str(tmp_path / "results"), str(finished(tmp_path / "run", "AVX2", 0.1))])
    assert (ROOT / "README.md").read_text() == before
    assert Path(tmp_path / "results" / "verdict.md").exists()


@pytest.mark.parametrize(
    ("changes", "cpu", "message"),
    [
        ({"dataset": "planted"}, "AVX2", "holds the study 'small' of 'none', not 'small' of 'planted'"),
        ({"name": "other"}, "AVX2", "not 'other' of 'none'"),
        ({"contrastive": []}, "AVX512", r"holds runs of another design \(AVX2\)"),
    ],
)
def test_a_folder_holds_runs_of_one_study_and_design(tmp_path, changes, cpu, message):
    target, other = tmp_path / "results", finished(tmp_path / "b", cpu, 0.2)
    findings.main([str(target), str(finished(tmp_path / "a", "AVX2", 0.1))])
    design = findings.read_record(other / "verdict.json")
    write_record({**design, **changes}, other / "verdict.json")
    with pytest.raises(ClxaiError, match=message):
        findings.main([str(target), str(other)])


def test_a_run_of_another_design_takes_the_place_of_the_only_one(tmp_path):
    target, other = tmp_path / "results", finished(tmp_path / "b", "AVX2", 0.2)
    findings.main([str(target), str(finished(tmp_path / "a", "AVX2", 0.1))])
    write_record({**findings.read_record(other / "verdict.json"), "contrastive": []}, other / "verdict.json")
    findings.main([str(target), str(other)])
    assert committed(target)["AVX2"].contrastive == []


def test_wrapped_pages_say_the_same():
    """Prose is wrapped to fit a screen; no continuation becomes an item of a list, rows of tables stay whole."""
    sentence = "- " + "The difference of `supcon` - `ce_matched` is small; " * 9
    text = f"# A heading {'that is long ' * 12}\n\n{sentence}\n\n| {'a row ' * 40}|"
    lines = wrapped(text).split("\n")
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert max(len(line) for line in lines[1:-1]) <= LINE_WIDTH
    assert sum(line.lstrip().startswith("- ") for line in lines) == 1
    assert lines[0] == text.split("\n")[0]
    assert lines[-1] == text.split("\n")[-1]
