import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.checks import check_table, explanation_checks, identity_checks, random_checks, require_all
from clxai.errors import ClxaiError

LIMITS = {"ig_completeness": 0.01, "lrp_conservation": [0.3, 1.5], "alpha": 0.01}


def made_up_images(bias=0.0, seed=0):
    """SRG values of random and of a good method, with insertion and deletion areas that add up."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in ("ce", "supcon"):
        for method in ("random", "lrp"):
            for explained in ("linear", "knn"):
                for scored in ("linear", "knn"):
                    for image in range(60):
                        row = {"model": model, "method": method, "explained_by": explained, "scored_by": scored, "fill": "mean"}
                        row |= {"seed": image // 30, "image": image % 30}
                        for suffix in ("", "_matched", "_kept"):
                            row[f"auc_deletion{suffix}"] = 0.3 + 0.1 * rng.random()
                            gain = 0.1 * rng.normal() + (0.3 if method == "lrp" else bias)
                            row[f"auc_insertion{suffix}"] = row[f"auc_deletion{suffix}"] + gain
                            row[f"srg{suffix}"] = gain
                        rows.append(row)
    return pd.DataFrame(rows)


def made_up_explanations(**values):
    """One attribution file per method, with per-image numbers around these medians for two heads."""
    spread = np.array([0.5, 1.0, 1.5])
    methods = {"completeness_error": "integrated_gradients", "conservation_ratio": "lrp"}
    for name, medians in values.items():
        arrays = {name: (("head", "image"), np.outer(medians, spread))}
        yield {"model": "ce", "seed": 1, "method": methods[name]}, xarray.Dataset(arrays, coords={"head": ["linear", "knn"]})
    yield {"model": "ce", "seed": 1, "method": "saliency"}, xarray.Dataset(coords={"head": ["linear", "knn"]})


def test_good_study_passes_every_check():
    explanations = made_up_explanations(completeness_error=[0.005, 0.01], conservation_ratio=[0.5, 1.2])
    table = check_table(made_up_images(), explanations, LIMITS)
    assert table["passed"].all()
    assert len(table) == 3 + 4 + 3 * 2 * 2
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


def test_limits_of_the_explanations_come_from_the_config():
    limits = {**LIMITS, "lrp_conservation": [0.1, 0.3]}
    rows = explanation_checks(made_up_explanations(conservation_ratio=[0.2, 0.4]), limits)
    assert [(row["low"], row["high"], row["passed"]) for row in rows] == [(0.1, 0.3, True), (0.1, 0.3, False)]


@pytest.mark.parametrize("bias", [0.08, -0.08])
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
    images.loc[chosen, "srg_kept"] += 0.1
    failed = [row for row in random_checks(images, 0.01) if not row["passed"]]
    assert [(row["model"], row["head"], row["check"]) for row in failed] == [
        ("supcon", "knn", "random srg_kept is 0, fill mean (Holm p)")
    ]


def test_failed_checks_are_all_listed_and_the_passed_ones_are_not():
    explanations = made_up_explanations(completeness_error=[0.005, 0.3], conservation_ratio=[0.5, 9.0])
    table = check_table(made_up_images(), explanations, LIMITS)
    with pytest.raises(ClxaiError, match=r"2 of 19 self-checks failed; no result") as error:
        require_all(table)
    message = str(error.value)
    assert "completeness_error" in message and "conservation_ratio" in message
    assert "9.0" in message
    assert "insertion" not in message and "random" not in message
