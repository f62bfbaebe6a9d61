"""The table of analyses: means with the intervals of the statistics, p-values with Holm's correction, one row a place."""

import numpy as np
import pytest
import xarray
from clxai.errors import ClxaiError
from clxai.measures.analyses import COLUMNS, analysis_table
from clxai.measures.statistics import holm, two_way
from project import row_of
from scipy.stats import t

RNG = np.random.default_rng(0)
RATIO, SCORE = RNG.normal(size=(3, 2, 5)), RNG.normal(size=(3, 2))
RATIO[1, 0, 2] = np.nan
P = RNG.uniform(size=(3, 2, 2))


def found(seed):
    """What one training found: a number of each image, one of the sample, p-values, and places of a layer."""
    variables = {
        "ratio": (("head", "image"), RATIO[seed], {"units": "1", "shown": "mean"}),
        "score": (("head",), SCORE[seed], {"units": "nat", "shown": "mean"}),
        "p": (("head", "class"), P[seed], {"units": "1", "shown": "test"}),
        "count": (("class",), np.array([seed, 7]), {"units": "count", "shown": "each"}),
        "effect": (("head", "y"), np.zeros((2, 3)), {"units": "1", "shown": "none"}),
    }
    return xarray.Dataset(variables, {"head": ["knn", "linear"], "class": [0, 1], "image": [4, 5, 7, 8, 9]})


def runs(*seeds):
    return [({"model": "ce", "seed": seed, "analysis": "trial"}, found(seed)) for seed in seeds]


@pytest.fixture(scope="module")
def table():
    return analysis_table(runs(0, 1, 2))


def test_columns_are_fixed_and_places_of_a_layer_stay_in_the_file(table):
    assert tuple(table.columns) == COLUMNS
    assert set(table["quantity"]) == {"ratio", "score", "p", "count"}


def test_numbers_of_images_have_the_interval_over_seeds_and_images(table):
    own = two_way(RATIO.swapaxes(1, 2))
    low, high = own.interval()
    row = row_of(table, quantity="ratio", head="knn")
    assert [row[name] for name in ("value", "ci_low", "ci_high")] == pytest.approx([own.mean[0], low[0], high[0]])
    assert (row["seed"], row["ci_over"], row["n_seeds"], row["n_images"], row["n_undefined"]) == (
        "all",
        "seeds and images",
        3,
        5,
        1,
    )


def test_numbers_of_a_sample_have_the_t_interval_over_seeds(table):
    row, values = row_of(table, quantity="score", head="linear"), SCORE[:, 1]
    reach = t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    expected = [values.mean(), values.mean() - reach, values.mean() + reach]
    assert [row[name] for name in ("value", "ci_low", "ci_high")] == pytest.approx(expected)
    assert (row["ci_over"], row["unit"]) == ("seeds", "nat") and np.isnan(row["n_images"])


def test_one_training_has_an_interval_over_images_alone():
    table = analysis_table(runs(0))
    assert row_of(table, quantity="ratio", head="knn")["ci_over"] == "images"
    row = row_of(table, quantity="score", head="knn")
    assert np.isnan(row["ci_low"]) and row["n_seeds"] == 1 and row["value"] == pytest.approx(SCORE[0, 0])


def test_p_values_of_each_run_are_corrected_among_themselves(table):
    rows = table[table["quantity"] == "p"]
    assert len(rows) == 3 * 4
    for seed in range(3):
        own = rows[rows["seed"] == seed]
        np.testing.assert_allclose(own["value"], P[seed].ravel())
        np.testing.assert_allclose(own["p_holm"].astype(float), holm(P[seed].ravel()))
        assert own["class"].tolist() == [0, 1, 0, 1]
    assert table[table["quantity"] == "count"]["p_holm"].isna().all()


def test_seeds_that_do_not_share_their_places_are_refused():
    other = runs(0, 1)
    other[1] = (other[1][0], other[1][1].assign_coords(head=["knn", "softmax"]))
    with pytest.raises(ClxaiError, match="ratio: the seeds of a model do not share their head, image"):
        analysis_table(other)
    with pytest.raises(ClxaiError, match="effect: the table has no column for the axis 'y'"):
        one = found(0)
        one["effect"].attrs["shown"] = "mean"
        analysis_table([({"model": "ce", "seed": 0, "analysis": "trial"}, one)])
