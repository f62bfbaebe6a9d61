"""Entry scripts give each run's numbers the names of that run: every file holds numbers that say whose it is.

Models, seeds and methods are in an order that is not sorted, and their numbers differ.
"""

import json
import runpy
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.data.datasets import crc32_of
from clxai.figures import gallery, style, trajectories
from clxai.measures.identities import CHECKED_METRICS
from clxai.runtime import logs
from clxai.runtime.artefacts import read_table, write_arrays, write_record, write_table
from matplotlib.figure import Figure
from project import ROOT

pytestmark = pytest.mark.xdist_group("joins")  # one set of tables serves all

MODELS, SEEDS, METHODS = ["supcon", "ce"], [3, 0], ["lrp", "random", "saliency"]
HEADS, FILLS, IMAGES, UNITS = ["knn", "linear"], ["zero", "mean"], [7, 3], ["slic", "grid"]
SETTINGS = {"models": MODELS, "seeds": SEEDS, "methods": METHODS, "bootstrap_draws": 100, "seed": 0}
SETTINGS |= {
    "confirmatory": [],
    "controls": ["random"],
    "cross": True,
    "blind": ["random"],
    "oracles": ["saliency"],
    "matched": {},
    "power": {"level": 0.8, "seeds": [3, 5], "images": [30]},
}
SETTINGS |= {
    "units": UNITS,
    "metrics": [*CHECKED_METRICS, "infidelity", "active_share"],
    "contrasts": [["supcon", "ce"]],
    "margin": 0.05,
    "cross": True,
    "banks": [dict(zip(("model", "seed", "units", "fill"), cell, strict=True)) for cell in product(MODELS, SEEDS, UNITS, FILLS)],
}
ORDERS = ["lerf", "morf"]


QUARTERS = np.arange(4).reshape(2, 2).repeat(2, 0).repeat(2, 1)  # the units of 4x4 px images
SCALES = {"centroid_spread": 1.0, "clean_bank_distance": 0.5, "clean_relative_mahalanobis": 0.5}


def code_of(model, seed, method="lrp", units="slic"):
    """A number below 0.1 that no other run has."""
    places = MODELS.index(model), SEEDS.index(seed), METHODS.index(method), UNITS.index(units)
    return float(np.dot(places, (0.03, 0.01, 0.003, 0.0012)))


def value_of(model, seed, method, explained, scored, fill, order, image, units):
    """A number that no other curve has."""
    places = (HEADS.index(explained), HEADS.index(scored), FILLS.index(fill), ORDERS.index(order), IMAGES.index(image))
    return code_of(model, seed, method, units) + sum(place * 0.1 * 2.0**power for power, place in enumerate(places, start=-2))


def curves_of(model, seed, units, method):
    """A curves file of constant curves."""
    long = ("explained_by", "scored_by", "fill", "order", "image", "step")
    levels = (HEADS, HEADS, FILLS, ORDERS, IMAGES)
    numbers = [value_of(model, seed, method, *cell, units) for cell in product(*levels)]
    flat = np.repeat(np.reshape(numbers, (*map(len, levels), 1)), 3, axis=-1)
    short = tuple(axis for axis in long if axis != "scored_by")
    paths = ("drift_l2", "drift_cosine", "bank_distance", "centroid_distance", "step_length", "acceleration")
    paths += ("other_distance", "mean_distance", "relative_mahalanobis", "drift_projection")
    scores = ("probability", "probability_matched", "probability_matched_low", "probability_matched_high", "log_odds")
    values = {**dict.fromkeys(scores, (long, flat)), **dict.fromkeys(paths, (short, flat[:, 0]))}
    values["prediction"] = (long, np.zeros(flat.shape, dtype=int))
    values["target"] = (("scored_by", "image"), np.zeros((2, 2), dtype=int))
    trajectory = np.full((2, 2, 2, 2, 3, 4), code_of(model, seed, method, units))
    values["trajectory_embedding"] = (("explained_by", "fill", "order", "trajectory", "step", "feature"), trajectory)
    share = code_of(model, seed, method, units) + 0.1 * np.arange(2)[:, None] + np.zeros((2, 2))
    values |= dict.fromkeys(("degenerate", "tie_fraction"), (("explained_by", "image"), share))
    values["unit"] = (("y", "x"), QUARTERS)
    coords = {"explained_by": HEADS, "scored_by": HEADS, "fill": FILLS, "order": ORDERS, "image": IMAGES, "trajectory": IMAGES}
    coords["fraction"] = ("step", [0.0, 0.5, 1.0])
    return xarray.Dataset(values, coords=coords, attrs={**SCALES, "method": method})


def bank_of(model, seed, units, fill):
    """A mask bank of four units, each of which is worth a number that no other bank, head or image has."""
    present = np.array([15, 0, *range(1, 15), *range(1, 15)], dtype=np.uint8)
    worth = np.array([[worth_of(model, seed, units, fill, head, image) for head in HEADS] for image in IMAGES])
    odds = worth[:, None, :, None] * np.bitwise_count(present)[:, None, None] + np.zeros((2, 30, 2, 3))
    values = {
        "present": (("image", "mask", "byte"), np.tile(present[:, None], (2, 1, 1))),
        "log_odds": (("image", "mask", "head", "class"), odds),
        "n_units": ("image", np.array([4, 4])),
        "unit": (("y", "x"), QUARTERS),
    }
    law = ["all", "none", *["shapley"] * 14, *["bernoulli"] * 14]
    coords = {"image": IMAGES, "head": HEADS, "law": ("mask", law), "held_out": ("mask", np.arange(30) > 1)}
    return xarray.Dataset(values, coords=coords)


def worth_of(model, seed, units, fill, head, image):
    return 1 + code_of(model, seed, units=units) + 0.3 * FILLS.index(fill) + 0.2 * HEADS.index(head) + 0.1 * IMAGES.index(image)


def attributions_of(model, seed, method):
    """An attribution file with both numbers that the self-checks look at, and maps of one value."""
    code = code_of(model, seed, method)
    both = np.array([[code, code], [code + 0.1, code + 0.1]])
    values = dict.fromkeys(
        ("completeness_error", "conservation_ratio", "tie_fraction", "zero_fraction"), (("head", "image"), both)
    )
    values["attribution"] = (("head", "image", "y", "x"), np.full((2, 2, 4, 4), code))
    values["target"] = (("head", "image"), np.zeros((2, 2), dtype=int))
    values["forward_equivalents"] = ("head", [2.0, 2.0])
    semantics = {"signed": 1, "complete": "exact", "method": method}
    return xarray.Dataset(values, coords={"head": HEADS, "image": IMAGES}, attrs=semantics)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder of a data set; the jobs of these tests keep their output where it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "log_to", lambda *given: None)
        yield tmp_path_factory.mktemp("joins") / "results" / "digits"


def files(results, pattern, **levels):
    """The files of a pattern in the order of Snakemake's expand: the last name changes quickest."""
    return [str(results / pattern.format(**dict(zip(levels, cell, strict=True)))) for cell in product(*levels.values())]


def written(results, kind, make, **levels):
    """Write `make(model, seed, ..., method)` into every file of a kind and return the files in the rule's order."""
    units, last = ({} if kind == "attributions" else {"units": UNITS}), "fill" if kind == "masks" else "method"
    levels = levels or {"model": MODELS, "seed": SEEDS, **units, last: FILLS if kind == "masks" else METHODS}
    pattern = f"{{model}}/seed{{seed}}/{kind}/evaluation/{'{units}/' if units else ''}{{{last}}}.nc"
    for path, cell in zip(files(results, pattern, **levels), product(*levels.values()), strict=True):
        write_arrays(make(*cell), path)
    return files(results, pattern, **levels)


class Named(list):
    """Files of a rule, some with names, as Snakemake gives them."""

    def __init__(self, *unnamed, **named):
        super().__init__([*unnamed, *named.values()])
        self.__dict__.update(named)


def run_script(name, settings, sources, outputs, told=None, **wildcards):
    job = SimpleNamespace(
        scriptdir=str(ROOT / "workflow" / "scripts"),
        log=["job.log"],
        params=SimpleNamespace(config=settings, **(told or {})),
        input=Named(**sources, code=[]),
        output=outputs,
        wildcards=SimpleNamespace(dataset="digits", **wildcards),
        threads=1,
        resources={},
    )
    runpy.run_path(str(ROOT / "workflow" / "scripts" / f"{name}.py"), {"snakemake": job})


@pytest.fixture(scope="module")
def prepared(results):
    """A prepared data set of ten images, all black but for one of those that are explained."""
    pixels = np.zeros((10, 1, 4, 4), dtype=np.uint8)
    pixels[IMAGES[1]] = 255
    images, labels = results / "data" / "images.npy", results / "data" / "labels.nc"
    images.parent.mkdir(parents=True)
    np.save(images, pixels)
    values = {"label": np.arange(10) % 2, "split": np.arange(10) % 3, "crc32": crc32_of(pixels)}
    attrs = {"class_names": json.dumps(["a", "b"]), "mean": [0.5], "std": [0.5]}
    write_arrays(xarray.Dataset({name: ("image", array) for name, array in values.items()}, attrs=attrs), labels)
    checks = results / "tables" / "no_checks.csv"
    write_table(pd.DataFrame({"check": ["any"], "result": ["pass"]}), checks)
    return {"images": str(images), "labels": str(labels), "checks": [str(checks)]}


@pytest.fixture(scope="module")
def summarised(results, prepared):
    """The tables of rule summarise as their job writes them."""
    for model, seed in product(MODELS, SEEDS):
        folder, code = results / model / f"seed{seed}", code_of(model, seed)
        rows = [
            {"head": head, "split": split, "accuracy": code + 0.1 * HEADS.index(head) + 0.2 * (split == "val")}
            for head in HEADS
            for split in ("val", "test")
        ]
        write_table(pd.DataFrame(rows), folder / "heads" / "metrics.csv")
        record = {"seed": seed, "loss": "supcon", "epoch": 1, "epochs": 2, "final_loss": 2 * code}
        settings = dict.fromkeys(("keep", "precision", "device", "cpu_capability", "torch", "numpy"), "as recorded")
        write_record({**record, **settings, "val_accuracy": code}, folder / "training.json")
    pairs = {"model": MODELS, "seed": SEEDS}
    sources = {
        "images": prepared["images"],
        "labels": prepared["labels"],
        "curves": written(results, "curves", curves_of),
        "attributions": written(results, "attributions", attributions_of),
        "banks": written(results, "masks", bank_of),
        "heads": files(results, "{model}/seed{seed}/heads/metrics.csv", **pairs),
        "records": files(results, "{model}/seed{seed}/training.json", **pairs),
    }
    names = ("images", "summary", "curves", "contrasts", "power", "variance", "maps", "methods", "heads", "models")
    outputs = Named(**{name: str(results / "tables" / f"{name}.csv") for name in names})
    run_script("summarise", SETTINGS, sources, outputs)
    return {name: read_table(getattr(outputs, name)) for name in names}


def test_summarise_gives_every_curve_its_own_names(summarised):
    images = summarised["images"]
    assert len(images) == 12 * 2 * 2 * 2 * 2 * 2
    names = ["model", "seed", "method", "explained_by", "scored_by", "fill", "image", "units"]
    for row in images.to_dict("records"):
        where = [row[name] for name in names]
        assert row["auc_deletion"] == pytest.approx(value_of(*where[:6], "morf", *where[6:]), abs=1e-6), where
        assert row["auc_insertion"] == pytest.approx(value_of(*where[:6], "lerf", *where[6:]), abs=1e-6), where


def test_summarise_reads_the_mask_bank_and_the_map_of_each_run(summarised):
    """Each unit has 4 px of one value, and is worth a number: the infidelity of one for the other."""
    for row in summarised["images"].to_dict("records"):
        told = 4 * code_of(row["model"], row["seed"], row["method"])
        lost = worth_of(*(row[name] for name in ("model", "seed", "units", "fill", "scored_by", "image")))
        assert row["infidelity"] == pytest.approx((told / lost - 1) ** 2, abs=1e-6)


def test_summarise_shows_metrics_of_maps_the_images_that_are_explained(summarised):
    for row in summarised["images"].to_dict("records"):
        assert row["active_share"] == (row["image"] == IMAGES[1])


def mean_over(seeds, images, **cell):
    return np.mean([value_of(**cell, seed=seed, image=image) for seed in seeds for image in images])


def test_summarise_gives_every_mean_its_own_names(summarised):
    summary = summarised["summary"]
    assert len(summary) == 2 * 2 * 3 * 2 * 2 * 2 * summary["metric"].nunique()
    for row in summary[summary["metric"] == "auc_deletion"].to_dict("records"):
        cell = {"explained": row["explained_by"], "scored": row["scored_by"], "fill": row["fill"], "order": "morf"}
        cell["units"] = row["units"]
        own = mean_over(SEEDS, IMAGES, **cell, model=row["model"], method=row["method"])
        random = mean_over(SEEDS, IMAGES, **cell, model=row["model"], method="random")
        assert row["mean"] == pytest.approx(own, abs=1e-6)
        assert row["excess"] == pytest.approx(own - random, abs=1e-6)


def test_summarise_gives_every_mean_curve_its_own_names(summarised):
    curves = summarised["curves"]
    assert len(curves) == 2 * 2 * 3 * 2 * 2 * 2 * 5 * 3
    for row in curves[curves["quantity"] == "probability"].to_dict("records"):
        cell = {
            "explained": row["head"],
            "scored": row["head"],
            **{key: row[key] for key in ("model", "method", "units", "fill", "order")},
        }
        assert row["mean"] == pytest.approx(mean_over(SEEDS, IMAGES, **cell), abs=1e-6)


def test_summarise_gives_every_head_and_model_its_own_names(summarised):
    assert len(summarised["heads"]) == 4 * 4
    for row in summarised["heads"].to_dict("records"):
        expected = code_of(row["model"], row["seed"]) + 0.1 * HEADS.index(row["head"]) + 0.2 * (row["split"] == "val")
        assert row["accuracy"] == pytest.approx(expected, abs=1e-6)
    assert len(summarised["models"]) == 4
    for row in summarised["models"].to_dict("records"):
        code = code_of(row["model"], row["seed"])
        assert (row["val_accuracy"], row["final_loss"]) == pytest.approx((code, 2 * code), abs=1e-6)


def test_summarise_gives_every_share_of_maps_its_own_names(summarised):
    assert len(summarised["maps"]) == 12 * 2 * 2
    for row in summarised["maps"].to_dict("records"):
        run, head = (row["model"], row["seed"], row["method"]), 0.1 * HEADS.index(row["head"])
        for name in ("degenerate", "unit_ties"):
            assert row[name] == pytest.approx(code_of(*run, row["units"]) + head, abs=1e-6)
        for name in ("pixel_ties", "zeros"):
            assert row[name] == pytest.approx(code_of(*run) + head, abs=1e-6)


def test_summarise_gives_every_method_its_own_name(summarised):
    table = summarised["methods"]
    assert table["method"].tolist() == table["member"].tolist() == sorted(METHODS)
    assert table["n_maps"].tolist() == [4 * 2 * 2] * len(METHODS)  # runs, heads and images


def test_check_study_gives_every_explanation_its_own_names(results, summarised):
    limits = {"completeness": 10.0, "lrp_conservation": [-10.0, 10.0], "alpha": 1e-300, "accuracy": 0.0, "warn": []}
    limits |= {"degenerate_share": 1.0, "oracle": 0.0, "leak": 1.0}
    images = summarised["images"].copy()
    images[["srg", "srg_matched", "srg_kept"]] = 0.0
    images[[name for name in images if name.startswith("auc_insertion")]] = 0.0
    images[[name for name in images if name.startswith("auc_deletion")]] = 0.0
    write_table(images, results / "tables" / "passing.csv")
    tables = {
        name: str(results / "tables" / f"{file}.csv")
        for name, file in (("images", "passing"), ("heads", "heads"), ("maps", "maps"), ("curves", "curves"))
    }
    sources = {**tables, "attributions": written(results, "attributions", attributions_of)}
    table = results / "tables" / "checks.csv"
    run_script("check_study", {**SETTINGS, "checks": limits}, sources, [str(table)])
    found = {name: rows.to_dict("records") for name, rows in read_table(table).groupby("check")}
    for name in ("completeness_error", "conservation_ratio"):
        assert len(found[name]) == 12 * 2
        for row in found[name]:
            expected = code_of(row["model"], int(row["seed"]), row["method"]) + 0.1 * HEADS.index(row["head"])
            assert row["value"] == pytest.approx(expected, abs=1e-6)
    assert len(found["test accuracy"]) == 4 * 2
    for row in found["test accuracy"]:
        assert row["value"] == pytest.approx(code_of(row["model"], int(row["seed"])) + 0.1 * HEADS.index(row["head"]), abs=1e-6)


def test_rank_methods_gives_every_job_its_own_seconds(results, summarised):
    timed = files(
        results, "{model}/seed{seed}/benchmarks/attribute/sample/{method}.tsv", model=MODELS, seed=SEEDS, method=METHODS
    )
    for path, (model, seed, method) in zip(timed, product(MODELS, SEEDS, METHODS), strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"s\tmax_rss\n{code_of(model, seed, method)}\t-\n")
    tables = {name: str(results / "tables" / f"{name}.csv") for name in ("summary", "maps")}
    run_script("rank_methods", SETTINGS, tables, [str(results / "ranking.csv")], {"seconds": timed})
    found = read_table(results / "ranking.csv")
    assert len(found) == 2 * 3 * 2 * 2 * 2
    for row in found.to_dict("records"):
        expected = np.mean([code_of(row["model"], seed, row["method"]) for seed in SEEDS])
        assert row["seconds"] == pytest.approx(expected, abs=1e-6)
        assert row["forward_equivalents"] == 2


def drawn(monkeypatch, module, name):
    """Replace a drawing by one that keeps what it is given."""
    given = {}
    monkeypatch.setattr(module, name, lambda *arguments: given.update(arguments=arguments) or Figure())
    monkeypatch.setattr(style, "save", lambda *arguments: None)
    return given


def told(figure, **options):
    """The params of a figure's job."""
    names = {"models": MODELS, "heads": HEADS, "methods": METHODS, "controls": ["random"], "shared_heads": ["knn"]}
    return {
        "figure": figure,
        "options": options,
        "scope": "single images",
        "study": {**names, "seed": SEEDS[0], "fill": "zero", "units": "grid", "margin": 0.05},
    }


def sources_of(prepared, **arrays):
    """The inputs of a figure's job."""
    images = [prepared["images"], prepared["labels"]]
    return {"checks": prepared["checks"], "array_images": images, **{f"array_{name}": paths for name, paths in arrays.items()}}


def test_plot_trajectories_gives_every_model_and_method_its_own_file(results, prepared, monkeypatch):
    given, methods, seed = drawn(monkeypatch, trajectories, "draw_paths"), ["saliency", "random"], SEEDS[0]
    for model in MODELS:
        embedding = np.full((10, 4), code_of(model, seed))
        dataset = xarray.Dataset({"embedding": (("image", "feature"), embedding)})
        write_arrays(dataset, results / model / f"seed{seed}" / "embeddings.nc")
    embeddings = files(results, "{model}/seed{seed}/embeddings.nc", model=MODELS, seed=[seed])
    curves = written(results, "curves", curves_of, model=MODELS, seed=[seed], units=["grid"], method=METHODS)
    settings, sources = told("trajectories", method="saliency"), sources_of(prepared, embeddings=embeddings, curves=curves)
    run_script("plot_figure", settings, sources, Named(svg="a.svg", pdf="a.pdf"), figure="trajectories")
    _, embeddings, curves, shown, head, fill = given["arguments"]
    assert {model: values[0, 0] for model, values in embeddings.items()} == {m: code_of(m, seed) for m in MODELS}
    found = {key: float(dataset["trajectory_embedding"][0, 0, 0, 0, 0, 0]) for key, dataset in curves.items()}
    assert found == {(model, method): code_of(model, seed, method, "grid") for model in MODELS for method in methods}
    assert (list(shown), head, fill) == (methods, "knn", "zero")


def test_ranks_and_results_are_those_of_the_summary(results, summarised):
    ranks, folder = results / "tables" / "metric_ranks.csv", results / "tables" / "metrics"
    run_script("rank_metrics", SETTINGS, {"summary": str(results / "tables" / "summary.csv"), "beside": []}, [str(ranks)])
    found, summary = read_table(ranks), summarised["summary"]
    for row in found[found["metric"] == "auc_deletion"].to_dict("records"):
        cell = summary[summary["metric"] == "auc_deletion"]
        for name, value in {"explained_by": row["head"], "scored_by": row["head"]}.items():
            cell = cell[cell[name] == value]
        for name in ("model", "units", "fill"):
            cell = cell[cell[name] == row[name]]
        own = cell.loc[cell["method"] == row["method"], "mean"].item()
        assert row["mean"] == own and row["rank"] == 1 + (cell["mean"] < own).sum()  # lower is better
    told = {"name": "mine", "shown": {"units": "grid", "fill": "zero", "models": MODELS}, "config": {"chosen": 1}}
    outputs = Named(**{name: str(results / file) for name, file in (("markdown", "results.md"), ("record", "results.json"))})
    outputs.by_metric = str(folder)
    run_script("describe_results", told, {"ranks": str(ranks)}, outputs)
    record = json.loads((results / "results.json").read_text())
    assert record["settings"] == {"chosen": 1} and len(record["results"]) == len(found)
    assert {path.stem for path in folder.glob("*.csv")} == set(found["metric"])
    assert (results / "results.md").read_text().startswith("# Results: mine, digits\n")


def test_plot_gallery_gives_every_method_its_own_file(results, prepared, monkeypatch):
    given = drawn(monkeypatch, gallery, "draw_maps")
    attributions = written(results, "attributions", attributions_of, model=["ce"], seed=[3], method=METHODS)
    settings, sources = told("gallery", images=2), sources_of(prepared, attributions=attributions)
    run_script("plot_figure", settings, sources, Named(svg="a.svg", pdf="a.pdf"), figure="gallery", model="ce")
    maps = given["arguments"][1]
    found = {method: float(dataset["attribution"][0, 0, 0, 0]) for method, dataset in maps.items()}
    assert found == {method: code_of("ce", 3, method) for method in METHODS}
