import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray
import yaml
from clxai.errors import ClxaiError
from clxai.figures.style import save, use_style, warning_of
from clxai.measures.checks import (
    HELP,
    check_table,
    degenerate_checks,
    explanation_checks,
    identity_checks,
    leak_checks,
    oracle_checks,
    random_checks,
    require_all,
)
from clxai.measures.statistics import two_way
from scipy import stats

LIMITS = {
    "completeness": 0.01,
    "completeness_in_expectation": 0.05,
    "lrp_conservation": [0.3, 1.5],
    "alpha": 0.01,
    "accuracy": 0.9,
    "warn": [],
}
LIMITS |= {"degenerate_share": 0.1, "oracle": 0.0, "leak": 0.6}
SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"


def made_up_heads(**accuracies):
    """Test accuracy of some heads, .95 if not said otherwise; validation is bad and does not count."""
    rows = []
    for head in ("linear", "knn"):
        where = {"model": "ce", "seed": 1, "head": head}
        rows += [{**where, "split": "val", "accuracy": 0.1}, {**where, "split": "test", "accuracy": accuracies.get(head, 0.95)}]
    return pd.DataFrame(rows)


def made_up_images(bias=0.0, seed=0, truth=0.5):
    """SRG values of random, of a good method and of the oracle, with insertion and deletion areas that add up."""
    rng = np.random.default_rng(seed)
    rows, gains = [], {"random": bias, "lrp": 0.3, "oracle": truth}
    for model in ("ce", "supcon"):
        for method, mean in gains.items():
            for explained in ("linear", "knn"):
                for scored in ("linear", "knn"):
                    for image in range(60):
                        row = {"model": model, "units": "grid", "method": method, "explained_by": explained, "scored_by": scored}
                        row |= {"fill": "mean", "seed": image // 12, "image": image % 12}
                        for suffix in ("", "_matched", "_kept"):
                            row[f"auc_deletion{suffix}"] = 0.3 + 0.1 * rng.random()
                            gain = 0.1 * rng.normal() + mean
                            row[f"auc_insertion{suffix}"] = row[f"auc_deletion{suffix}"] + gain
                            row[f"srg{suffix}"] = gain
                        rows.append(row)
    return pd.DataFrame(rows)


def made_up_maps(degenerate=0.0):
    """The share of degenerate maps of two heads of one run; those of the second are as given."""
    where = {"model": "ce", "seed": 1, "units": "grid", "method": "grad_cam", "unit_ties": 0.5, "pixel_ties": 0.5, "zeros": 0.5}
    return pd.DataFrame([{**where, "head": "linear", "degenerate": 0.05}, {**where, "head": "knn", "degenerate": degenerate}])


def made_up_curves(left=0.1):
    """The share of kept predictions of two heads at both ends of random orders; that of one when all is gone is as given."""
    where = {"model": "ce", "units": "grid", "method": "random", "fill": "mean", "order": "morf", "quantity": "kept"}
    rows = [{**where, "head": head, "fraction": 0.0, "mean": 1.0} for head in ("linear", "knn")]
    rows += [{**where, "head": head, "fraction": 1.0, "mean": mean} for head, mean in (("linear", 0.2), ("knn", left))]
    others = [{"quantity": "probability"}, {"order": "lerf"}, {"method": "lrp"}]
    return pd.DataFrame([*rows, *({**rows[-1], **other, "mean": 0.99} for other in others)])


def made_up_explanations(complete="exact", **values):
    """One attribution file per method, with per-image numbers around these medians for two heads."""
    spread = np.array([0.5, 1.0, 1.5])
    methods = {"completeness_error": "integrated_gradients", "conservation_ratio": "lrp"}
    for name, medians in values.items():
        arrays = {name: (("head", "image"), np.outer(medians, spread))}
        attrs = {"complete": complete if name == "completeness_error" else "none"}
        dataset = xarray.Dataset(arrays, coords={"head": ["linear", "knn"]}, attrs=attrs)
        yield {"model": "ce", "seed": 1, "method": methods[name]}, dataset
    yield {"model": "ce", "seed": 1, "method": "saliency"}, xarray.Dataset(coords={"head": ["linear", "knn"]})


def test_good_study_passes_every_check():
    explanations = made_up_explanations(completeness_error=[0.005, 0.01], conservation_ratio=[0.5, 1.2])
    table = check_table(made_up_images(), made_up_heads(), made_up_maps(), made_up_curves(), explanations, LIMITS, ["oracle"])
    assert (table["result"] == "pass").all()
    assert len(table) == 3 + 4 + 3 * 2 * 2 + 2 + 2 * 2 * 2 + 2 + 2
    assert set(table["setting"]) == set(HELP) - {"completeness_in_expectation"}
    require_all(table)


@pytest.mark.parametrize("suffix", ["", "_matched", "_kept"])
@pytest.mark.parametrize("column", ["srg", "auc_insertion", "auc_deletion"])
def test_one_image_whose_areas_do_not_add_up_fails_the_identity(suffix, column):
    images = made_up_images()
    images.loc[17, f"{column}{suffix}"] += 1e-5
    failed = [row for row in identity_checks(images) if not row["passed"]]
    assert [row["check"] for row in failed] == [f"insertion - deletion - SRG{suffix}"]
    assert failed[0]["value"] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("name", "medians", "passed"),
    [
        ("completeness_error", [0.004, 0.02], [True, False]),
        ("completeness_error", [np.nan, 0.0], [False, True]),
        ("conservation_ratio", [0.2, 0.4], [False, True]),
        ("conservation_ratio", [1.4, 256.0], [True, False]),
        ("conservation_ratio", [-0.5, np.nan], [False, False]),
    ],
)
def test_median_outside_the_limits_fails_for_its_head_alone(name, medians, passed):
    rows = list(explanation_checks(made_up_explanations(**{name: medians}), LIMITS))
    assert [(row["check"], row["head"], row["passed"]) for row in rows] == [
        (name, head, fine) for head, fine in zip(("linear", "knn"), passed, strict=True)
    ]
    assert all((row["model"], row["seed"]) == ("ce", 1) for row in rows)


def test_one_gate_holds_every_method_to_the_completeness_that_it_declares():
    def gate(claim, medians):
        return [
            (row["setting"], row["high"], row["passed"])
            for row in explanation_checks(made_up_explanations(claim, completeness_error=medians), LIMITS)
        ]

    assert gate("exact", [0.02, 0.005]) == [("completeness", 0.01, False), ("completeness", 0.01, True)]
    assert gate("expectation", [0.02, 0.06]) == [
        ("completeness_in_expectation", 0.05, True),
        ("completeness_in_expectation", 0.05, False),
    ]
    assert gate("none", [9.0, 9.0]) == []


def test_limits_of_the_explanations_come_from_the_config():
    limits = {**LIMITS, "lrp_conservation": [0.1, 0.3]}
    rows = explanation_checks(made_up_explanations(conservation_ratio=[0.2, 0.4]), limits)
    assert [(row["low"], row["high"], row["passed"]) for row in rows] == [(0.1, 0.3, True), (0.1, 0.3, False)]


@pytest.mark.parametrize("bias", [0.15, -0.15])
def test_random_attribution_that_scores_is_caught(bias):
    rows = random_checks(made_up_images(bias), 0.01)
    assert not any(row["passed"] for row in rows)
    assert all(row["value"] < 0.01 for row in rows)


def test_random_is_judged_only_where_a_head_scores_its_own_explanation():
    images = made_up_images()
    images.loc[images["explained_by"] != images["scored_by"], "srg"] += 1.0
    assert all(row["passed"] for row in random_checks(images, 0.01))


def test_bias_in_one_model_and_one_score_is_named():
    images = made_up_images()
    chosen = (images["method"] == "random") & (images["model"] == "supcon") & (images["explained_by"] == "knn")
    images.loc[chosen, "srg_kept"] += 0.15
    failed = [row for row in random_checks(images, 0.01) if not row["passed"]]
    assert [(row["model"], row["head"], row["check"]) for row in failed] == [
        ("supcon", "knn", "random srg_kept is 0, fill mean (Holm p)")
    ]


def test_failed_checks_are_all_listed_and_the_passed_ones_are_not():
    explanations = made_up_explanations(completeness_error=[0.005, 0.3], conservation_ratio=[0.5, 9.0])
    table = check_table(made_up_images(), made_up_heads(), made_up_maps(), made_up_curves(), explanations, LIMITS, ["oracle"])
    with pytest.raises(ClxaiError, match=r"2 of 33 self-checks failed; no result") as error:
        require_all(table)
    message = str(error.value)
    assert "completeness_error" in message and "conservation_ratio" in message
    assert "9.0" in message
    assert "insertion" not in message and "random" not in message


BAD = {  # by setting: what makes its check not pass
    "identity": lambda study: study["images"].__setitem__("srg", study["images"]["srg"] + 1e-3),
    "completeness": lambda study: study["explanations"].__setitem__("completeness_error", [0.3, 0.3]),
    "completeness_in_expectation": lambda study: study["explanations"].update(
        completeness_error=[0.3, 0.3], complete="expectation"
    ),
    "lrp_conservation": lambda study: study["explanations"].__setitem__("conservation_ratio", [9.0, 9.0]),
    "degenerate_share": lambda study: study.__setitem__("maps", made_up_maps(0.2)),
    "alpha": lambda study: study.__setitem__("images", made_up_images(0.08)),
    "leak": lambda study: study.__setitem__("curves", made_up_curves(0.7)),
    "oracle": lambda study: study.__setitem__("images", made_up_images(truth=0.2)),
    "accuracy": lambda study: study.__setitem__("heads", made_up_heads(knn=0.89)),
}


def checked(bad, warn):
    study = {"images": made_up_images(), "heads": made_up_heads(), "maps": made_up_maps(), "curves": made_up_curves()}
    study["explanations"] = {"completeness_error": [0.005, 0.005], "conservation_ratio": [0.5, 0.5]}
    BAD[bad](study)
    explanations = made_up_explanations(**study["explanations"])
    return check_table(
        study["images"], study["heads"], study["maps"], study["curves"], explanations, {**LIMITS, "warn": warn}, ["oracle"]
    )


def test_every_check_has_its_setting_and_its_help():
    known = yaml.safe_load(SCHEMA.read_text())["properties"]["checks"]["properties"].keys() - {"warn"}
    assert HELP.keys() == known | {"identity"} == BAD.keys()


@pytest.mark.parametrize("bad", BAD)
def test_failed_check_names_its_key_and_what_helps(bad):
    table = checked(bad, [])
    assert set(table.loc[table["result"] != "pass", "setting"]) == {bad}
    with pytest.raises(ClxaiError, match="self-checks failed") as error:
        require_all(table)
    assert HELP[bad] in str(error.value)
    assert bad == "identity" or f"checks.{bad}: " in str(error.value)
    assert not any(text in str(error.value) for setting, text in HELP.items() if setting != bad)


@pytest.mark.parametrize("bad", sorted(BAD.keys() - {"identity"}))
def test_check_that_is_to_warn_stops_nothing_and_marks_the_figures(bad):
    table = checked(bad, [bad])
    require_all(table)
    n_warnings = (table["result"] == "warn").sum()
    assert n_warnings and set(table.loc[table["result"] == "warn", "setting"]) == {bad}
    assert warning_of(table) == f"{n_warnings} of {len(table)} self-checks warn: see checks.csv"


def test_warning_of_one_check_excuses_no_other():
    with pytest.raises(ClxaiError, match=r"checks\.accuracy"):
        require_all(checked("accuracy", ["completeness", "lrp_conservation", "alpha", "degenerate_share", "oracle", "leak"]))


def test_accuracy_is_judged_for_each_seed_and_head_on_test_images():
    table = checked("accuracy", [])
    rows = table[table["setting"] == "accuracy"]
    assert rows[["model", "seed", "head", "value", "low", "result"]].values.tolist() == [
        ["ce", 1, "linear", 0.95, 0.9, "pass"],
        ["ce", 1, "knn", 0.89, 0.9, "fail"],
    ]


def test_oracle_is_compared_with_every_other_method_and_random_for_each_model_and_head():
    images = made_up_images()
    worse = (images["method"] == "oracle") & (images["model"] == "supcon") & (images["explained_by"] == "knn")
    images.loc[worse, "srg_matched"] -= 0.3  # now at .2, below lrp and above random
    rows = oracle_checks(images, ["oracle"], 0.0)
    assert len(rows) == 2 * 2 * 2
    assert [(row["model"], row["head"], row["method"]) for row in rows if not row["passed"]] == [("supcon", "knn", "lrp")]
    assert all(row["passed"] for row in oracle_checks(images, ["oracle"], 0.2))


def test_oracle_must_exceed_random_and_may_tie_with_a_method():
    images = made_up_images(truth=0.0)
    images.loc[images["method"] == "lrp", "srg_matched"] -= 0.3
    rows = oracle_checks(images, ["oracle"], 0.0)
    assert {row["method"] for row in rows if not row["passed"]} == {"random"}


def test_leak_is_judged_where_all_is_removed_in_random_order():
    rows = leak_checks(made_up_curves(0.61), 0.6)
    assert [(row["head"], row["value"], row["passed"]) for row in rows] == [("linear", 0.2, True), ("knn", 0.61, False)]


def test_row_of_the_oracle_is_the_upper_end_of_the_interval():
    images = made_up_images()
    cell = images[(images["model"] == "ce") & (images["explained_by"] == "knn") & (images["scored_by"] == "knn")]
    cube = cell.pivot(index=["seed", "image"], columns="method", values="srg_matched")
    values = (cube["oracle"] - cube["lrp"]).to_numpy().reshape(5, 12, 1)
    (row,) = (row for row in oracle_checks(cell, ["oracle"], 0.0) if row["method"] == "lrp")
    assert row["value"] == pytest.approx(two_way(values).interval()[1][0])


def test_without_an_oracle_there_is_nothing_to_check():
    assert oracle_checks(made_up_images(), [], 0.0) == []


@pytest.mark.parametrize(("share", "passed"), [(0.1, True), (0.101, False), (1.0, False), (np.nan, False)])
def test_degenerate_maps_are_judged_for_each_head(share, passed):
    rows = degenerate_checks(made_up_maps(share), 0.1)
    assert [(row["model"], row["seed"], row["method"], row["head"], row["passed"]) for row in rows] == [
        ("ce", 1, "grad_cam", "linear", True),
        ("ce", 1, "grad_cam", "knn", passed),
    ]


def test_without_a_bar_accuracy_is_not_judged():
    table = check_table(
        made_up_images(), made_up_heads(knn=0.0), made_up_maps(), made_up_curves(), [], {**LIMITS, "accuracy": None}
    )
    assert "accuracy" not in set(table["setting"])


@pytest.mark.parametrize(("mark", "inches"), [("", 2.5), ("3 of 9 self-checks warn: see checks.csv", 2.7)])
def test_mark_is_a_line_below_the_figure_that_covers_nothing(tmp_path, mark, inches):
    use_style()
    figure, _ = plt.subplots(figsize=(7, 2.5))
    figure.supxlabel("share")
    svg = tmp_path / "a.svg"
    save(figure, svg, tmp_path / "a.pdf", mark)
    width, height = (float(re.search(rf'<svg .*?{side}="([\d.]+)pt"', svg.read_text(), re.S)[1]) for side in ("width", "height"))
    assert (width, height) == pytest.approx((7 * 72, inches * 72))
    assert ("b00000" in svg.read_text()) == bool(mark)
    line = next(text for text in figure.texts if text.get_text() == mark).get_window_extent()
    assert not mark or -(inches - 2.5) * figure.dpi <= line.y0 < line.y1 <= 0


@pytest.mark.parametrize("column", ["srg", "srg_matched", "srg_kept"])
def test_random_is_judged_by_seeds_and_images_together(column):
    """By hand: mean squares of seeds and images, less that of the residuals, with Satterthwaite's degrees."""
    images = made_up_images()
    images.loc[(images["method"] == "random") & (images["model"] == "ce"), column] += 0.15
    rows = [row for row in random_checks(images, 0.01) if f"random {column} is" in row["check"]]
    p_values = []
    for model in ("ce", "supcon"):
        for head in ("knn", "linear"):
            own = (images["model"] == model) & (images["explained_by"] == head) & (images["scored_by"] == head)
            values = images[own & (images["method"] == "random")].pivot(index="seed", columns="image", values=column).to_numpy()
            p_values.append(two_way_p(values))
    ranked = np.argsort(p_values)
    holm = np.minimum(1, np.maximum.accumulate([p_values[n] * (4 - place) for place, n in enumerate(ranked)]))
    assert [row["value"] for row in rows] == pytest.approx(holm[np.argsort(ranked)].tolist(), rel=1e-6)
    assert max(row["value"] for row in rows[:2]) < 0.05 < min(row["value"] for row in rows[2:])


def two_way_p(values):
    s, n = values.shape
    seeds, images = values.mean(1), values.mean(0)
    rest = values - seeds[:, None] - images[None] + values.mean()
    ms = np.array([n * seeds.var(ddof=1), s * images.var(ddof=1), (rest**2).sum() / ((s - 1) * (n - 1))])
    total = np.maximum(ms[:2], ms[2]).sum() - ms[2]
    df = total**2 / (ms**2 / [s - 1, n - 1, (s - 1) * (n - 1)]).sum()
    df = max(min(df, s - 1) if ms[0] > ms[1] else df, 1)
    return 2 * stats.t.sf(abs(values.mean()) / np.sqrt(total / (s * n)), df)


def test_images_that_all_seeds_share_are_counted_once():
    """Values that differ between images and hardly between seeds: taken for independent ones, every third study would fail."""
    found, rng = [], np.random.default_rng(0)
    for _ in range(100):
        values = rng.normal(size=12) + 0.1 * rng.normal(size=(5, 12))
        table = pd.DataFrame([{"seed": s, "image": i, "srg": values[s, i]} for s in range(5) for i in range(12)])
        table = table.assign(model="ce", units="grid", method="random", explained_by="knn", scored_by="knn", fill="mean")
        table = table.assign(srg_matched=table["srg"], srg_kept=table["srg"])
        found.append((random_checks(table, 0.05)[0]["passed"], stats.ttest_1samp(table["srg"], 0).pvalue > 0.05))
    passed, naive = np.mean(found, axis=0)
    assert passed >= 0.9 and naive < 0.7
