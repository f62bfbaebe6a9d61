import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.measures.metrics.base import METRICS, Curves, entering, measure, reading
from clxai.measures.statistics import bootstrap_interval, bootstrap_weights, two_way
from clxai.measures.summaries import (
    as_cube,
    head_table,
    keep,
    map_table,
    measure_runs,
    model_table,
    shared_weights,
    summary_table,
    variance_table,
)
from clxai.runtime.artefacts import write_record, write_table
from project import row_of

IMAGES, HEADS, NAMES = [3, 5, 8], ["knn", "linear"], reading("curves")


def made_up_images(seed=0, seeds=(0, 1), methods=("random", "lrp")):
    """One row per image with a random number for every metric."""
    rng = np.random.default_rng(seed)
    cells = [
        {
            "model": model,
            "seed": number,
            "units": "grid",
            "method": method,
            "explained_by": explained,
            "scored_by": scored,
            "fill": "mean",
            "image": i,
        }
        for model in ("ce", "supcon")
        for number in seeds
        for method in methods
        for explained in HEADS
        for scored in HEADS
        for i in IMAGES
    ]
    table = pd.DataFrame(cells)
    for name in NAMES:
        table[name] = rng.normal(size=len(table))
    return table


CELL = {"model": "ce", "explained_by": "linear", "scored_by": "knn", "fill": "mean"}


def chosen_images(images, method, metric, cell=CELL):
    """One metric of one cell as a frame [seed, image]."""
    for key, value in {**cell, "method": method}.items():
        images = images[images[key] == value]
    return images.pivot(index="seed", columns="image", values=metric)


@pytest.mark.parametrize("metric", ["srg", "roughness", "auc_deletion_kept"])
def test_summary_holds_mean_seed_deviation_and_excess_over_random(metric):
    images = made_up_images()
    row = row_of(summary_table(images, NAMES, 200, 0), metric=metric, method="lrp", **CELL)
    own, random = chosen_images(images, "lrp", metric), chosen_images(images, "random", metric)
    assert row["mean"] == pytest.approx(own.to_numpy().mean())
    assert row["seed_sd"] == pytest.approx(own.mean(axis=1).std(ddof=1))
    assert row["excess"] == pytest.approx((own - random).to_numpy().mean())
    assert (row["n_seeds"], row["n_images"], row["n_undefined"]) == (2, 3, 0)
    assert row["better"] == METRICS[metric].semantics["better"]


def test_intervals_are_of_random_effects_with_the_crossed_bootstrap_beside_them():
    images = made_up_images()
    row = row_of(summary_table(images, NAMES, 300, 4), metric="srg", method="lrp", **CELL)
    own, random = chosen_images(images, "lrp", "srg").to_numpy(), chosen_images(images, "random", "srg").to_numpy()
    weights = bootstrap_weights(2, 3, 300, np.random.default_rng(key_of("bootstrap", 2, 3, 300, 4)))
    cube = np.stack([own, own - random], axis=2)
    for name, (low, high) in {"ci": two_way(cube).interval(), "boot": bootstrap_interval(cube, weights)}.items():
        np.testing.assert_allclose(row[[f"{name}_low", f"excess_{name}_low"]].astype(float), low)
        np.testing.assert_allclose(row[[f"{name}_high", f"excess_{name}_high"]].astype(float), high)
    assert row["ci_over"] == "seeds and images"


def test_excess_of_random_over_itself_is_zero():
    summary = summary_table(made_up_images(), NAMES, 100, 0)
    random = summary[summary["method"] == "random"]
    assert (random[["excess", "excess_ci_low", "excess_ci_high"]].to_numpy() == 0).all()


def test_summary_has_the_excess_over_the_best_control_and_marks_baselines_that_are_the_fill():
    images = made_up_images(methods=("random", "ink", "lrp", "occlusion"))
    summary = summary_table(images, NAMES, 100, 0, blind=["random", "ink"], matched={"occlusion": ["mean"], "ink": ["zero"]})
    row = row_of(summary, metric="srg", method="lrp", **CELL)
    own, *controls = (chosen_images(images, name, "srg").to_numpy() for name in ("lrp", "random", "ink"))
    found = [(own - control).mean() for control in controls]
    assert row["excess_best"] == pytest.approx(min(found))
    assert row["best_control"] == ("random", "ink")[int(np.argmin(found))]
    marks = summary.groupby("method")["baseline_is_fill"].agg(lambda marks: marks.unique().tolist())
    assert marks.to_dict() == {"ink": [False], "lrp": [None], "occlusion": [True], "random": [None]}


def test_summary_has_one_row_per_group_and_metric():
    summary = summary_table(made_up_images(), NAMES, 100, 0)
    keys = ["model", "units", "method", "explained_by", "scored_by", "fill", "metric"]
    assert len(summary) == 2 * 2 * 2 * 2 * len(NAMES)
    assert not summary.duplicated(keys).any()
    assert set(summary["metric"]) == set(NAMES)


def test_undefined_values_are_counted_and_left_out_of_their_mean_alone():
    images = made_up_images()
    chosen = images.query("model == 'ce' and method == 'lrp' and explained_by == 'linear' and scored_by == 'knn'").index
    images.loc[chosen[0], "straightness"] = np.nan
    summary = summary_table(images, NAMES, 100, 0)
    row = row_of(summary, metric="straightness", method="lrp", **CELL)
    own = chosen_images(images, "lrp", "straightness").to_numpy()
    assert row["n_undefined"] == 1
    assert row["mean"] == pytest.approx(np.nanmean(own))
    assert row["excess"] == pytest.approx(np.nanmean(own - chosen_images(images, "random", "straightness").to_numpy()))
    assert row_of(summary, metric="srg", method="lrp", **CELL)["n_undefined"] == 0


def test_order_of_the_rows_does_not_change_the_summary():
    images = made_up_images()
    shuffled = images.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(summary_table(shuffled, NAMES, 100, 0), summary_table(images, NAMES, 100, 0))


def test_single_seed_has_no_seed_deviation():
    summary = summary_table(made_up_images(seeds=(7,)), NAMES, 100, 0)
    assert summary["seed_sd"].isna().all()
    assert summary["ci_low"].notna().all()
    assert set(summary["ci_over"]) == {"images"}


def test_study_without_random_is_refused():
    with pytest.raises(ClxaiError, match="the method 'random' is not in the table"):
        summary_table(made_up_images(methods=("lrp", "saliency")), NAMES, 100, 0)


def test_seeds_with_different_images_are_refused():
    images = made_up_images()
    short = images.drop(images[(images["seed"] == 1) & (images["image"] == 5)].index)
    with pytest.raises(ClxaiError, match="5 rows for 2 seeds x 3 images: the seeds do not share their images"):
        summary_table(short, NAMES, 100, 0)


def test_cube_is_sorted_by_seed_and_image():
    rows = [{"seed": seed, "image": image, "value": 10 * seed + image} for seed in (2, 1) for image in (9, 4)]
    assert as_cube(pd.DataFrame(rows), ["value"])[..., 0].tolist() == [[14, 19], [24, 29]]


def test_draws_are_shared_between_groups_and_depend_on_the_seed():
    np.testing.assert_array_equal(shared_weights(3, 4, 50, 1), shared_weights(3, 4, 50, 1))
    assert not np.array_equal(shared_weights(3, 4, 50, 1), shared_weights(3, 4, 50, 2))


def made_up_curves(seed, heads=HEADS, images=IMAGES):
    """A small curves file with random numbers."""
    rng = np.random.default_rng(seed)
    fraction, n = np.array([0.0, 0.3, 0.5, 1.0]), len(heads)
    long, short = (
        ("explained_by", "scored_by", "fill", "order", "image", "step"),
        ("explained_by", "fill", "order", "image", "step"),
    )
    shape = {long: (n, n, 2, 2, len(images), 4), short: (n, 2, 2, len(images), 4)}
    names = {
        **dict.fromkeys(
            ("probability", "probability_matched", "probability_matched_low", "probability_matched_high", "log_odds"), long
        ),
        **dict.fromkeys(("drift_l2", "drift_cosine", "bank_distance", "centroid_distance", "step_length", "acceleration"), short),
        **dict.fromkeys(("other_distance", "mean_distance", "relative_mahalanobis", "drift_projection"), short),
    }
    variables = {name: (axes, rng.random(shape[axes])) for name, axes in names.items()}
    variables["prediction"] = (long, rng.integers(2, size=shape[long]))
    variables["target"] = (("scored_by", "image"), rng.integers(2, size=(n, len(images))))
    coords = {"explained_by": heads, "scored_by": heads, "fill": ["mean", "zero"], "order": ["morf", "lerf"], "image": images}
    scales = {"centroid_spread": 1 + seed, "clean_bank_distance": 0.9, "clean_relative_mahalanobis": 0.5}
    return xarray.Dataset(variables, coords={**coords, "fraction": ("step", fraction)}, attrs=scales)


@pytest.fixture
def runs():
    cells = [{"model": "ce", "seed": seed, "units": "grid", "method": method} for seed in (1, 0) for method in ("random", "lrp")]
    return [(cell, made_up_curves(number)) for number, cell in enumerate(cells)]


def test_image_table_has_one_sorted_row_per_image_with_every_metric(runs):
    table, _ = measure_runs(runs, NAMES)
    keys = ["model", "seed", "units", "method", "explained_by", "scored_by", "fill", "image"]
    assert table.columns.tolist() == [*keys, *NAMES]
    assert len(table) == 4 * 2 * 2 * 2 * 3
    pd.testing.assert_frame_equal(table, table.sort_values(keys, ignore_index=True))
    for cell, curves in runs:
        expected = measure(curves, NAMES)["srg"].sel(explained_by="linear", scored_by="knn", fill="zero", image=5)
        chosen = table
        for key, value in {**cell, "explained_by": "linear", "scored_by": "knn", "fill": "zero", "image": 5}.items():
            chosen = chosen[chosen[key] == value]
        assert chosen["srg"].tolist() == [float(expected)]


def test_image_table_without_cross_cells_is_that_of_heads_scored_by_themselves(runs):
    (whole, curves), (own, same) = measure_runs(runs, NAMES), measure_runs(runs, NAMES, cross=False)
    expected = whole[whole["explained_by"] == whole["scored_by"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, expected)
    pd.testing.assert_frame_equal(same, curves)


@pytest.mark.parametrize("quantity", ["probability", "probability_matched", "kept", "drift", "bank_distance"])
def test_curve_table_is_the_mean_over_seeds_and_images_of_each_head_scored_by_itself(runs, quantity):
    _, table = measure_runs(runs, NAMES)
    chosen = table.query("method == 'lrp' and head == 'linear' and fill == 'zero' and order == 'lerf'")
    chosen = chosen[chosen["quantity"] == quantity]
    per_seed = []
    for cell, dataset in runs:
        if cell["method"] == "lrp":
            curves = Curves(dataset)
            values = curves(quantity, "lerf")
            per_seed.append(values[1, min(1, values.shape[1] - 1), 1])
    np.testing.assert_allclose(chosen["fraction"], [0.0, 0.3, 0.5, 1.0])
    np.testing.assert_allclose(chosen["mean"], np.mean(per_seed, axis=(0, 1)))
    assert (chosen["ci_low"] <= chosen["mean"]).all()
    assert (chosen["ci_high"] >= chosen["mean"]).all()


def test_curve_table_has_random_effects_intervals(runs):
    _, table = measure_runs(runs, NAMES)
    chosen = table.query("method == 'lrp' and head == 'knn' and fill == 'mean' and order == 'morf' and quantity == 'probability'")
    cube = np.stack([Curves(dataset)("probability", "morf")[0, 0, 0] for cell, dataset in runs[::-1] if cell["method"] == "lrp"])
    low, high = two_way(cube).interval()
    np.testing.assert_allclose(chosen["ci_low"], low)
    np.testing.assert_allclose(chosen["ci_high"], high)


def test_curve_table_has_a_row_per_step_of_every_curve(runs):
    _, table = measure_runs(runs, NAMES)
    keys = ["model", "units", "method", "head", "fill", "order", "quantity", "fraction"]
    assert len(table) == 1 * 2 * 2 * 2 * 2 * 5 * 4
    assert not table.duplicated(keys).any()


def test_head_table_joins_and_sorts_the_runs(tmp_path):
    trainings = [{"model": "supcon", "seed": 0}, {"model": "ce", "seed": 1}]
    paths = [str(tmp_path / "supcon/seed0/heads/metrics.csv"), str(tmp_path / "ce/seed1/heads/metrics.csv")]
    for path in paths:
        rows = [{"head": h, "split": s, "accuracy": 0.5} for h in ("linear", "knn") for s in ("val", "test")]
        write_table(pd.DataFrame(rows), path)
    table = head_table(trainings, paths)
    assert table[["model", "head", "split"]].to_numpy().tolist() == [
        [model, head, split] for model in ("ce", "supcon") for head in ("knn", "linear") for split in ("test", "val")
    ]
    assert table["seed"].tolist() == [1] * 4 + [0] * 4


def test_model_table_has_a_row_per_training(tmp_path):
    record = {
        "loss": "supcon",
        "epoch": 3,
        "epochs": 5,
        "val_accuracy": 0.9,
        "final_loss": 0.1,
        "precision": "float32",
        "keep": "last",
        "device": "cpu",
        "cpu_capability": "AVX2",
        "torch": "2.15.0",
        "numpy": "2.4.6",
        "more": 1,
    }
    cells = [{"model": "b", "seed": 0}, {"model": "a", "seed": 2}]
    paths = [str(tmp_path / f"{cell['model']}/seed{cell['seed']}/training.json") for cell in cells]
    for epoch, (cell, path) in enumerate(zip(cells, paths, strict=True), start=3):
        write_record({**record, "epoch": epoch, "seed": cell["seed"]}, path)
    table = model_table(cells, paths)
    assert table[["model", "seed", "epoch"]].to_numpy().tolist() == [["a", 2, 4], ["b", 0, 3]]
    assert "more" not in table


def test_model_table_refuses_the_record_of_another_seed(tmp_path):
    path = str(tmp_path / "ce/seed1/training.json")
    write_record({"loss": "supcon", "seed": 0}, path)
    with pytest.raises(ClxaiError, match="a record of seed 0 in the place of seed 1"):
        model_table([{"model": "ce", "seed": 1}], [path])


def test_variances_are_those_of_each_head_scored_by_itself():
    images = made_up_images(seeds=(0, 1, 2))
    images.loc[images["explained_by"] != images["scored_by"], NAMES] += 100
    table = variance_table(images, NAMES)
    gains = entering("variance", NAMES)
    assert set(gains) == {f"srg{kind}" for kind in ("", "_matched", "_matched_low", "_matched_high", "_kept", "_log_odds")}
    assert len(table) == 2 * 2 * 2 * len(gains)
    cell = {"model": "ce", "method": "lrp", "head": "knn", "fill": "mean"}
    row = row_of(table, metric="srg_kept", **cell)
    own = {"model": "ce", "explained_by": "knn", "scored_by": "knn", "fill": "mean"}
    found = two_way(chosen_images(images, "lrp", "srg_kept", own).to_numpy()[..., None])
    parts = [found.seed[0], found.image[0], found.residual[0]]
    names = ("seed", "image", "residual")
    np.testing.assert_allclose([row[f"{name}_variance"] for name in names], parts)
    np.testing.assert_allclose([row[f"{name}_share"] for name in names], np.array(parts) / sum(parts))
    assert (row["n_seeds"], row["n_images"]) == (3, 3)


def test_map_table_has_the_share_of_each_run_and_head_under_its_own_name():
    cells = [{"model": "ce", "seed": seed, "units": "grid", "method": method} for seed in (1, 0) for method in ("random", "lrp")]
    curves, maps = [], []
    for number, cell in enumerate(cells):
        base = 0.1 * number + 0.01 * np.arange(2)[:, None] + np.zeros((2, 4))
        axes = ("explained_by", "image")
        curves.append(
            (
                cell,
                xarray.Dataset(
                    {"degenerate": (axes, np.int8([[0, 0, 0, 1], [1, 1, number > 1, 0]])), "tie_fraction": (axes, base)},
                    {"explained_by": HEADS},
                ),
            )
        )
        axes, pixels = ("head", "image"), {"tie_fraction": base + 0.5, "zero_fraction": base + 0.6}
        values = {name: (axes, value) for name, value in pixels.items()}
        values["forward_equivalents"] = ("head", [3.0 + number, 7.0 + number])
        maps.append((cell, xarray.Dataset(values, {"head": HEADS})))
    table = map_table(curves, maps).drop(columns="units").set_index(["model", "seed", "method", "head"])
    assert len(table) == 8
    np.testing.assert_allclose(table.loc[("ce", 0, "lrp", "linear")], [0.75, 0.31, 0.81, 0.91, 0, 10, 4])
    np.testing.assert_allclose(table.loc[("ce", 1, "random", "linear")], [0.5, 0.01, 0.51, 0.61, 0, 7, 4])
    np.testing.assert_allclose(table.loc[("ce", 1, "lrp", "knn")], [0.25, 0.1, 0.6, 0.7, 0, 4, 4])


def test_map_table_counts_the_images_whose_map_is_0_everywhere():
    cell = {"model": "ce", "seed": 0, "units": "grid", "method": "grad_cam"}
    curve = xarray.Dataset({name: (("explained_by", "image"), np.ones((1, 4))) for name in ("degenerate", "tie_fraction")})
    zeros = {"tie_fraction": (("head", "image"), np.ones((1, 4))), "zero_fraction": (("head", "image"), [[1, 0.99, 1, 1]])}
    zeros["forward_equivalents"] = ("head", [1.0])
    table = map_table([(cell, curve.assign_coords(explained_by=["knn"]))], [(cell, xarray.Dataset(zeros, {"head": ["knn"]}))])
    assert table["all_zero"].tolist() == [0.75]


def test_keep_passes_the_runs_on_and_keeps_what_is_named(runs):
    kept = []
    passed = list(keep(runs, ("prediction",), kept))
    assert [cell for cell, _ in kept] == [cell for cell, _ in passed] == [cell for cell, _ in runs]
    assert all(set(dataset.data_vars) == {"prediction"} for _, dataset in kept)
