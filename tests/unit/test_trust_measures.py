"""Trust measures, each against another implementation, a formula or a published value."""

import itertools

import numpy as np
import pytest
from clxai.measures.trust.agreement import agreement, concordance, kendall_w
from clxai.measures.trust.base import INSTRUMENTS, Method, alone
from scipy.stats import friedmanchisquare, spearmanr

RANKED = tuple("abcdefg")


def method(name, member=None, family="gradient", **options):
    return Method(name, member or name, family, options)


def panel_of(srg, methods, deletion=None, insertion=None):
    """The panel of these scores; where not given deletion falls and insertion rises with SRG."""
    scores = {"srg_matched": srg, "auc_deletion_matched": -srg if deletion is None else deletion}
    return alone({**scores, "auc_insertion_matched": srg if insertion is None else insertion}, methods)


def ranked(n):
    return [method(name) for name in RANKED[:n]]


def test_agreement_is_the_mean_correlation_of_all_pairs():
    values = np.random.default_rng(0).normal(size=(2, 5, 4, 6))
    found = agreement(panel_of(values, ranked(6), deletion=np.random.default_rng(1).normal(size=values.shape)))
    for seed, means in enumerate(values.mean(1)):
        pairs = [spearmanr(one, two).statistic for one, two in itertools.combinations(means, 2)]
        assert found["srg"][seed] == pytest.approx(np.mean(pairs))
        assert found["lerf"][seed] == pytest.approx(np.mean(pairs))
    assert not np.allclose(found["morf"], found["srg"])


def test_methods_that_do_not_explain_the_model_are_not_ranked():
    """A control is below all methods in every set-up, which would make any orders agree."""
    srg = np.array([[[[0, 1, 2.0, 9]], [[0, 2, 1, 9]]]]).transpose(0, 2, 1, 3)  # two set-ups, opposite orders of two methods
    methods = [method("random", family="control"), *ranked(2), method("swapped", "borrowed", "derived", of="a")]
    assert agreement(panel_of(srg, methods))["srg"] == pytest.approx([-1])


def test_published_pattern_of_agreement():
    """Set-ups with the orders that artefacts of a fill give: MoRF and LeRF are pulled apart, their difference is not.

    The pattern of Bluecher et al. 2024: SRG agrees far more than LeRF, and LeRF more than MoRF.
    """
    rng = np.random.default_rng(2)
    quality, artefact = np.linspace(0, 1, 7), rng.normal(size=(1, 1, 40, 7))
    morf, lerf = 0.5 * quality - 0.5 * artefact, 0.5 * quality + 0.3 * artefact
    shift = 0.2 * artefact  # what the two share cancels in SRG
    found = agreement(panel_of(morf + lerf + shift, ranked(7), deletion=-morf, insertion=lerf))
    assert found["morf"] < found["lerf"] < 0.8 < 0.95 < found["srg"]


def test_concordance_is_kendalls_w_by_friedmans_test():
    """W = chi2 / (m (n - 1)), with and without ties [Kendall 1948]."""
    for levels in (3, 1000):
        values = np.random.default_rng(levels).integers(0, levels, size=(5, 6)).astype(float)
        expected = friedmanchisquare(*values.T).statistic / (5 * 5)
        assert kendall_w(values) == pytest.approx(expected)
        panel = panel_of(values[None, None], ranked(6))
        assert concordance(panel)["srg"] == pytest.approx([expected])


@pytest.mark.parametrize(("orders", "expected"), [([[1, 2, 3], [1, 2, 3]], 1), ([[1, 2, 3], [3, 2, 1]], 0)])
def test_concordance_of_equal_and_opposite_orders(orders, expected):
    assert kendall_w(np.array(orders, dtype=float)) == pytest.approx(expected)


def test_concordance_of_nothing_but_ties_is_undefined():
    assert np.isnan(kendall_w(np.ones((3, 4))))


def test_parts_are_the_instruments():
    values = np.random.default_rng(3).normal(size=(2, 5, 4, 6))
    for function in (agreement, concordance):
        assert function(panel_of(values, ranked(6))).keys() == INSTRUMENTS.keys()
