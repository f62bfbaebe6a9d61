"""The ranking of methods beside their cost."""

import numpy as np
import pandas as pd
import pytest
from clxai.errors import ClxaiError
from clxai.measures.ranking import measured_seconds, ranking_table

CELL = {"model": "ce", "units": "grid", "fill": "mean", "n_seeds": 2, "n_images": 5}
NUMBERS = ("mean", "ci_low", "ci_high", "excess", "excess_ci_low", "excess_ci_high", "excess_best", "excess_best_low")


def summary(excess, **changes):
    """Rows of the table of the same name: methods by their excess, their own head's SRG and what does not belong."""
    base = {**CELL, "explained_by": "knn", "scored_by": "knn", "metric": "srg_matched", **changes}
    rows = [{**base, "method": name, **dict.fromkeys(NUMBERS, value), "excess_best_high": 1.0} for name, value in excess.items()]
    return pd.DataFrame(rows)


def maps(passes):
    rows = [
        {"model": "ce", "seed": seed, "units": "grid", "method": name, "head": "knn", "forward_equivalents": value + seed}
        for name, value in passes.items()
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


SECONDS = pd.DataFrame(
    [{"model": "ce", "seed": seed, "method": name, "seconds": 4.0 + seed} for name in ("random", "lrp") for seed in (0, 1)]
)


def test_methods_stand_from_the_best_on_with_what_they_cost():
    others = [summary({"lrp": 0.9}, scored_by="linear"), summary({"lrp": 0.8}, metric="aopc")]
    found = ranking_table(
        pd.concat([summary({"random": 0.0, "saliency": 0.2, "lrp": 0.5}), *others]),
        maps({"random": 0, "saliency": 2, "lrp": 7}),
        SECONDS,
    )
    assert found["method"].tolist() == ["lrp", "saliency", "random"]
    assert found["rank"].tolist() == [1, 2, 3]
    assert found["head"].unique().tolist() == ["knn"]
    assert found["srg_matched"].tolist() == found["excess"].tolist() == [0.5, 0.2, 0.0]
    assert found["forward_equivalents"].tolist() == [7.5, 2.5, 0.5]  # means over seeds
    assert found["seconds"].tolist() == pytest.approx([4.5, np.nan, 4.5], nan_ok=True)


def test_ranks_are_taken_within_a_model_fill_units_and_head():
    cells = [summary({"random": 0.0, "lrp": 0.5}), summary({"random": 0.1, "lrp": 0.0}, fill="blur")]
    found = ranking_table(pd.concat(cells), maps({"random": 0, "lrp": 7}), SECONDS)
    assert found.set_index(["fill", "method"])["rank"].to_dict() == {
        **{("blur", "random"): 1, ("blur", "lrp"): 2},
        **{("mean", "lrp"): 1, ("mean", "random"): 2},
    }


def test_study_without_a_blind_control_has_no_columns_of_the_best_one():
    plain = summary({"random": 0.0}).drop(columns=["excess_best", "excess_best_low", "excess_best_high"])
    assert not [name for name in ranking_table(plain, maps({"random": 0}), SECONDS) if name.startswith("excess_best")]


@pytest.fixture
def timed(tmp_path):
    """The record of one job, and the place of one that is not there."""
    folder = tmp_path / "ce" / "seed0" / "benchmarks" / "attribute" / "first"
    folder.mkdir(parents=True)
    (folder / "lrp.tsv").write_text("s\th:m:s\tmax_rss\n12.5\t0:00:12\t-\n")
    return [str(folder / f"{name}.tsv") for name in ("lrp", "random")]


def cells(*methods):
    return [{"model": "ce", "seed": 0, "method": name} for name in methods]


def test_seconds_are_those_of_snakemakes_records_and_empty_where_there_is_none(timed):
    found = measured_seconds(cells("lrp", "random"), timed)
    assert found["method"].tolist() == ["lrp", "random"]
    assert found["seconds"].tolist() == pytest.approx([12.5, np.nan], nan_ok=True)


def test_record_of_another_method_is_refused(timed):
    with pytest.raises(ClxaiError, match="expected the file of method random"):
        measured_seconds(cells("random", "lrp"), timed)
