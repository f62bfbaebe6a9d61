"""Ranks of methods by each metric, against a ranking by hand."""

import numpy as np
import pandas as pd
from clxai.measures.metric_ranks import COLUMNS, rank_table

COUNTS = {"n_seeds": 2, "n_images": 10, "n_undefined": 0}
PLACE = {"model": "ce", "units": "grid", "explained_by": "knn", "scored_by": "knn", "fill": "mean"}


def row(metric, better, method, mean, reach=0.0, **other):
    return {**PLACE, "metric": metric, "better": better, "method": method, **COUNTS, **other} | {
        "mean": mean,
        "ci_low": mean - reach,
        "ci_high": mean + reach,
    }


def ranks_of(rows, beside=()):
    table = rank_table(pd.DataFrame(rows), beside, ["random"])
    assert list(table.columns) == list(COLUMNS)
    return table


def test_rank_is_from_the_best_on_in_the_direction_of_the_metric():
    rows = [row("srg", 1, method, value) for method, value in (("a", 0.1), ("random", 0.0), ("b", 0.7))]
    rows += [row("complexity", -1, method, value) for method, value in (("a", 0.1), ("random", 3.0), ("b", 0.7))]
    found = ranks_of(rows).set_index(["metric", "method"])["rank"]
    assert found["srg"].to_dict() == {"b": 1, "a": 2, "random": 3}
    assert found["complexity"].to_dict() == {"a": 1, "b": 2, "random": 3}


def test_one_method_alone_is_not_ranked():
    """It would be first of one, and lead the page and the figure."""
    rows = [row("random_logit", -1, "a", 0.1), row("random_logit", -1, "random", np.nan)]
    found = ranks_of(rows)
    assert found["rank"].isna().all() and found["rank_best"].isna().all() and (found["n_methods"] == 1).all()
    assert found["mean"].notna().tolist() == [True, False]


def test_ties_have_their_mean_rank_and_what_is_undefined_has_none():
    rows = [row("srg", 1, method, value) for method, value in (("a", 0.5), ("b", 0.5), ("c", 0.9), ("d", np.nan), ("e", 0.1))]
    rows[3]["n_undefined"] = 20
    found = ranks_of(rows).set_index("method")
    assert found["rank"].drop("d").to_dict() == {"c": 1, "a": 2.5, "b": 2.5, "e": 4}
    assert np.isnan(found.loc["d", ["rank", "rank_best", "rank_worst"]].astype(float)).all()
    assert (found["n_methods"] == 4).all() and found.loc["d", "n_undefined"] == 20


def test_ranks_within_the_intervals_leave_open_what_overlaps():
    """0.9 +- 0.05 is above all; 0.5 +- 0.2 and 0.4 +- 0.05 overlap; 0.1 +- 0.05 is below all."""
    numbers = {"a": (0.9, 0.05), "b": (0.5, 0.2), "c": (0.4, 0.05), "random": (0.1, 0.05)}
    for better in (1, -1):
        found = ranks_of([row("srg", better, method, better * mean, reach) for method, (mean, reach) in numbers.items()])
        found = found.set_index("method")
        assert found["rank_best"].to_dict() == {"a": 1, "b": 2, "c": 2, "random": 4}
        assert found["rank_worst"].to_dict() == {"a": 1, "b": 3, "c": 3, "random": 4}


def test_method_without_an_interval_could_have_any_rank():
    rows = [row("srg", 1, "a", 0.9, 0.01), row("srg", 1, "b", 0.1, 0.01), row("srg", 1, "c", 0.5, np.nan)]
    found = ranks_of(rows).set_index("method")
    assert (found.loc["c", "rank_best"], found.loc["c", "rank_worst"], found.loc["a", "rank_worst"]) == (1, 3, 2)


def test_cells_are_ranked_apart_and_heads_scored_by_themselves_alone():
    rows = [row("srg", 1, method, value, fill=fill) for fill in ("mean", "zero") for method, value in (("a", 0.1), ("b", 0.2))]
    rows[0]["mean"] = 0.9
    rows.append(row("srg", 1, "c", 1.0, scored_by="linear"))
    found = ranks_of(rows).set_index(["fill", "method"])["rank"].to_dict()
    assert found == {("mean", "a"): 1, ("mean", "b"): 2, ("zero", "b"): 1, ("zero", "a"): 2}


def test_metric_without_a_direction_is_not_ranked_and_controls_are_marked():
    found = ranks_of([row("drift", 0, "a", 1.0), row("srg", 1, "random", 0.0), row("srg", 1, "a", 0.5)])
    assert set(found["metric"]) == {"srg"}
    assert found.set_index("method")["control"].to_dict() == {"a": 0, "random": 1}


def test_measures_of_other_tables_are_ranked_beside_over_all_fills():
    names = {
        "model": "ce",
        "units": "grid",
        "head": "knn",
        "measure": "average_sensitivity",
        "better": -1,
        "fill": "mean",
        **COUNTS,
    }
    numbers = [
        {"method": name, "mean": value, "ci_low": value, "ci_high": value} for name, value in (("a", 2.0), ("random", 0.0))
    ]
    found = ranks_of([row("srg", 1, "a", 0.5)], [pd.DataFrame([{**names, **one} for one in numbers])])
    own = found[found["metric"] == "average_sensitivity"].set_index("method")
    assert own["rank"].to_dict() == {"random": 1, "a": 2} and set(own["fill"]) == {"all"}


def test_study_without_a_direction_has_an_empty_table():
    assert ranks_of([row("drift", 0, "a", 1.0)]).empty
