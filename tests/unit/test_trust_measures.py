"""Trust measures, each against another implementation, a formula or a published value."""

import itertools
from dataclasses import replace

import krippendorff
import numpy as np
import pandas as pd
import pytest
from clxai.errors import ClxaiError
from clxai.measures.trust.agreement import agreement, concordance, kendall_w
from clxai.measures.trust.base import INSTRUMENTS, Method, alone
from clxai.measures.trust.degradation import degradation
from clxai.measures.trust.encoding import encoding
from clxai.measures.trust.intervals import Measured, draws_of, measure, summarise
from clxai.measures.trust.oracle import oracle, oracle_order
from clxai.measures.trust.randomisation import randomisation
from clxai.measures.trust.references import references
from clxai.measures.trust.reliability import generalisability, method_variances, ordinal_alpha, relative_g, reliability
from clxai.measures.trust.replication import halves, replication
from clxai.measures.trust.specificity import specificity
from clxai.ranks import mean_ranks, pairwise_spearman
from scipy.stats import friedmanchisquare, spearmanr

RANKED = tuple("abcdefg")


def method(name, member=None, family="gradient", **options):
    return Method(name, member or name, (family,), options)


def panel_of(srg, methods, deletion=None, insertion=None, **others):
    """The panel of these scores; where not given deletion falls and insertion rises with SRG."""
    scores = {"srg_matched": srg, "auc_deletion_matched": -srg if deletion is None else deletion, **others}
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


def crossed(seeds, images, methods, of_seed, of_image, of_rest, rng, spread=1.0):
    """Scores of methods a step apart, with random parts of method x seed, method x image and the rest."""
    quality = spread * np.arange(methods) / methods
    parts = ((seeds, 1), of_seed), ((1, images), of_image), ((seeds, images), of_rest)
    return quality + sum(size * rng.normal(size=(*shape, methods)) for shape, size in parts)


def test_replication_is_the_correlation_between_halves_of_images_and_different_seeds():
    values = np.random.default_rng(0).normal(size=(3, 9, 5))
    expected = []
    for half in halves(9, 4):
        for one, other in itertools.permutations(range(3), 2):
            pair = values[one][half].mean(0), values[other][~half].mean(0)
            expected.append(spearmanr(*pair).statistic)
    assert replication(panel_of(values, ranked(5)), splits=4)["srg"] == pytest.approx(np.mean(expected))
    assert halves(9, 4).sum(1).tolist() == [4] * 4


def test_replication_by_halves_is_that_of_all_halves_of_the_seeds():
    values = np.random.default_rng(14).normal(size=(5, 9, 6))
    expected = []
    for half in halves(9, 4):
        for some in itertools.combinations(range(5), 2):
            others = [seed for seed in range(5) if seed not in some]
            pair = values[list(some)][:, half].mean((0, 1)), values[others][:, ~half].mean((0, 1))
            expected.append(spearmanr(*pair).statistic)
    panel = panel_of(values, ranked(6))
    assert replication(panel, splits=4)["srg_halves"] == pytest.approx(np.mean(expected))
    value, low, high = summarise(measure(lambda one: replication(one, splits=4), panel, draws_of(9, 0))["srg_halves"])
    assert low < value < high
    assert set(replication(panel_of(values[:3], ranked(6)), splits=4)) == set(INSTRUMENTS)


def test_replication_of_a_clear_order_and_of_none():
    rng = np.random.default_rng(1)
    clear = panel_of(crossed(3, 30, 6, 0, 0.1, 0.1, rng, spread=6), ranked(6))
    assert replication(clear, splits=8)["srg"] == pytest.approx(1)
    none = [replication(panel_of(rng.normal(size=(4, 30, 6)), ranked(6)), splits=8)["srg"] for _ in range(60)]
    assert abs(np.mean(none)) < 0.1


def test_replication_of_one_seed_is_over_images():
    values = np.random.default_rng(2).normal(size=(1, 8, 5))
    expected = [spearmanr(values[0, half].mean(0), values[0, ~half].mean(0)).statistic for half in halves(8, 3)]
    assert replication(panel_of(values, ranked(5)), splits=3)["srg"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("function", [lambda panel: replication(panel, splits=4), generalisability])
def test_with_two_seeds_what_needs_two_has_a_value_and_no_interval(function):
    panel = panel_of(crossed(2, 12, 4, 0.2, 0.2, 0.2, np.random.default_rng(3)), ranked(4))
    value, low, high = summarise(measure(function, panel, draws_of(12, 0))["srg"])
    assert np.isfinite(value) and np.isnan([low, high]).all()


@pytest.mark.parametrize("levels", [2, 4, 1000])
@pytest.mark.parametrize("shape", [(2, 3), (7, 5), (30, 6)])
def test_alpha_is_that_of_the_package(shape, levels):
    values = np.random.default_rng(levels).integers(0, levels, size=shape) + np.arange(shape[1]) * 0.4 * levels // 1
    ranks = mean_ranks(values.astype(float))
    expected = krippendorff.alpha(reliability_data=ranks, level_of_measurement="ordinal")
    assert ordinal_alpha(ranks) == pytest.approx(expected, abs=1e-12)


def test_reliability_is_per_seed_and_1_where_images_agree():
    values = np.tile(np.array([3.0, 1, 2]), (2, 6, 1))
    values[1] = np.random.default_rng(4).normal(size=(6, 3))
    found = reliability(panel_of(values, ranked(3)))["srg"]
    assert found[0] == pytest.approx(1) and found[1] < 0.5
    assert np.isnan(reliability(panel_of(np.zeros((1, 6, 3)), ranked(3)))["srg"]).all()


def test_variances_are_those_of_an_anova():
    """Mean squares by statsmodels, solved for the variances by their expectations."""
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    s, n, m = 3, 4, 5
    values = crossed(s, n, m, 0.5, 0.8, 0.3, np.random.default_rng(5), spread=3) + np.arange(n)[:, None]
    table = pd.DataFrame([{"s": i, "i": j, "m": k, "y": values[i, j, k]} for i, j, k in np.ndindex(values.shape)])
    fitted = anova_lm(smf.ols("y ~ C(s) * C(i) + C(m) + C(m):C(s) + C(m):C(i)", table).fit())
    squares = fitted["sum_sq"] / fitted["df"]
    by_terms = {frozenset(name.split(":")): square for name, square in squares.items()}
    seed, image = (by_terms[frozenset({"C(m)", other})] for other in ("C(s)", "C(i)"))
    rest = squares["Residual"]
    expected = (squares["C(m)"] - seed - image + rest) / (s * n), (seed - rest) / n, (image - rest) / s, rest
    np.testing.assert_allclose(method_variances(values), np.maximum(expected, 0), rtol=1e-9)


def test_generalisability_of_one_facet_is_the_intraclass_correlation_of_mean_ratings():
    """The six targets and four judges of Shrout and Fleiss 1979, table 2: ICC(3, k) is .91 and ICC(3, 1) .71."""
    judges = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float).T
    found = generalisability(panel_of(judges[None], ranked(6)))["srg"]
    assert found == pytest.approx(0.9093, abs=1e-4)
    assert relative_g(judges[None], 1, 1) == pytest.approx(0.7148, abs=1e-4)


def test_generalisability_knows_the_variances_that_made_the_data():
    rng = np.random.default_rng(6)
    quality = rng.normal(size=400)
    values = quality + 0.5 * rng.normal(size=(3, 1, 400)) + rng.normal(size=(1, 10, 400)) + rng.normal(size=(3, 10, 400))
    assert relative_g(values, 3, 10) == pytest.approx(1 / (1 + 0.25 / 3 + 1 / 10 + 1 / 30), abs=0.03)


def degraded(of, share):
    return method(f"{of}_{share}", "degraded", "control", of=of, share=share)


def test_degradation_is_1_where_each_step_lowers_the_score():
    methods = [*ranked(2), *(degraded("a", share) for share in (0.4, 0.2, 1.0)), degraded("b", 0.5), degraded("b", 1.0)]
    falling = np.array([1.0, 0.5, 0.6, 0.8, 0, 0.6, 0.7])  # of b the degraded ones score more
    found = degradation(panel_of(np.tile(falling, (2, 3, 1)), methods))
    assert found["srg_macro_a"] == pytest.approx([1, 1]) and found["srg_macro_b"] == pytest.approx([-1, -1])
    assert found["morf_micro"] == pytest.approx(np.zeros((2, 3)))


def test_micro_degradation_is_that_of_single_images():
    """F-Fidelity's pattern: noise of single images hides an order that their mean shows."""
    rng = np.random.default_rng(7)
    shares = (0.2, 0.4, 0.6, 0.8, 1.0)
    methods = [*ranked(1), *(degraded("a", share) for share in shares)]
    values = 1 - np.array([0, *shares]) + rng.normal(scale=0.7, size=(2, 400, 6))
    found = degradation(panel_of(values, methods))
    assert found["srg_macro"].min() > 0.9 > 0.6 > found["srg_micro"].mean() > 0.2
    expected = spearmanr(values[1, 5], 1 - np.array([0, *shares])).statistic
    assert found["srg_micro"][1, 5] == pytest.approx(expected)


def test_map_that_is_not_degraded_several_times_has_no_order():
    assert degradation(panel_of(np.zeros((1, 2, 2)), [method("other"), degraded("a", 0.5)])) == {}


def test_oracle_above_methods_above_random():
    methods = [method("random", family="control"), *ranked(2), method("truth", "oracle", "control")]
    srg = np.array([[[0.0, 0.2, 0.4, 0.3], [0.1, 0.1, 0.2, 0.9]]])
    found = oracle(panel_of(srg, methods))
    assert found["srg_over_methods"].tolist() == [[0.5, 1]]
    assert found["srg_methods_over_random"].tolist() == [[1, 0.75]]
    assert found["srg_over_methods_means"].tolist() == [1]
    order = oracle_order(panel_of(srg, methods))
    assert order["srg"].tolist() == [[0.5, 0.5]] and order["srg_means"].tolist() == [1]


def test_orders_by_lot_have_the_values_of_no_trust():
    from clxai.registry import declared

    methods = [method("random", family="control"), *ranked(3), method("truth", "oracle", "control")]
    panel = panel_of(np.random.default_rng(8).normal(size=(4, 3000, 5)), methods)
    for name, function, part in (("oracle", oracle, "srg_over_methods"), ("oracle_order", oracle_order, "morf")):
        assert function(panel)[part].mean() == pytest.approx(declared("trust")[name].semantics["null"], abs=0.01)


def borrowed(name, of, model=None, **lender):
    return Method(name, "borrowed", ("control",), {"of": of, "model": model, "seed": "own"}, lender)


def test_specificity_is_own_less_borrowed_on_the_same_network():
    methods = [
        *ranked(2),
        borrowed("a_seed", "a", ce=("ce", True)),
        borrowed("a_loss", "a", ce=("supcon", False)),
        borrowed("b_seed", "b", ce=("ce", True)),
        borrowed("own", "a", ce=("ce", False)),
        borrowed("absent", "z", ce=("ce", True)),
        borrowed("past", "b", "start", ce=("young", False)),
    ]
    values = np.random.default_rng(9).normal(size=(2, 4, 8))
    found = specificity(replace(panel_of(values, methods), model="ce"))
    np.testing.assert_allclose(found["srg_a_loss"], values[..., 0] - values[..., 3])
    both = np.stack([values[..., 0] - values[..., 2], values[..., 1] - values[..., 4]])
    np.testing.assert_allclose(found["srg_other_seed"], both.mean(0))
    np.testing.assert_allclose(found["lerf_other_seed_wins"], np.sign(both).mean(0))
    names = {part.removeprefix("srg_").removesuffix("_wins") for part in found if part.startswith("srg")}
    assert names == {"other_seed", "other_model", "start", "a_seed", "a_loss", "b_seed", "past"}
    np.testing.assert_allclose(found["srg_other_model"], found["srg_a_loss"])  # the start is no neighbour
    np.testing.assert_allclose(found["srg_start"], values[..., 1] - values[..., 7])


def test_randomisation_is_own_less_randomised_and_its_mean_where_most_was_drawn_anew():
    def copied(of, name, part):
        return replace(borrowed(name, of, ce=(name, False)), randomised={"ce": part})

    methods = [
        *ranked(2),
        copied("a", "a_deep", "layer4"),
        copied("a", "a_all", "layer4+layer3+stem"),
        copied("b", "b_labels", "labels"),
        copied("z", "absent", "layer4"),
        borrowed("a_seed", "a", ce=("ce", True)),
    ]
    values = np.random.default_rng(13).normal(size=(3, 4, 7))
    panel = replace(panel_of(values, methods), model="ce")
    found = randomisation(panel)
    gains = {"a_deep": (0, 2), "a_all": (0, 3), "b_labels": (1, 4)}
    for name, (own, lent) in gains.items():
        np.testing.assert_allclose(found[f"srg_{name}"], values[..., own] - values[..., lent])
    np.testing.assert_allclose(found["srg"], (found["srg_a_all"] + found["srg_b_labels"]) / 2)
    assert {part for part in found if part.startswith("morf")} == {"morf", *(f"morf_{name}" for name in gains)}
    assert randomisation(replace(panel, model="supcon")) == {}
    assert {part.split("_", 1)[1] for part in specificity(panel)} == {"other_seed", "other_seed_wins", "a_seed", "a_seed_wins"}


def test_encoding_that_wins_is_below_zero():
    methods = [*ranked(2), method("code", "class_code", "control")]
    found = encoding(panel_of(np.array([[[0.1, 0.4, 0.6], [0.3, 0.2, 0.1]]]), methods))
    np.testing.assert_allclose(found["srg"], [[-0.35, 0.15]])
    np.testing.assert_allclose(found["srg_best"], [[-0.2, 0.1]])
    assert found["srg_wins"].tolist() == [[-1, 1]]


def test_references_judge_the_maps_that_their_runs_borrow():
    lent = [borrowed(f"{name}_start", name, tuned=("ce", False)) for name in "abc"]
    other_seed = borrowed("a_next", "a", tuned=("ce", True))
    values = np.random.default_rng(10).normal(size=(2, 5, 7))
    reference = replace(panel_of(values[::-1], [*ranked(3), *lent, other_seed]), model="tuned")
    panel = replace(panel_of(values, [*ranked(3), *lent, other_seed]), model="ce", reference=reference)
    found = references(panel)
    for seed in range(2):
        own, there = values[seed].mean(0), values[::-1][seed].mean(0)
        assert found["srg"][seed] == pytest.approx(spearmanr(own[:3], there[3:6]).statistic)
        assert found["morf_own"][seed] == pytest.approx(spearmanr(own[:3], there[:3]).statistic)
    assert references(replace(panel, reference=None)) == {}


def test_references_rank_degraded_copies_too():
    values = np.random.default_rng(12).normal(size=(1, 5, 4))
    methods = [*ranked(2), degraded("a", 0.5), degraded("a", 1.0)]
    reference = panel_of(values[:, ::-1] ** 2, methods)
    found = references(replace(panel_of(values, methods), reference=reference))
    expected = spearmanr(values[0].mean(0), (values[0] ** 2).mean(0)).statistic
    assert found["srg_own_degraded"] == pytest.approx([expected])


def test_capped_references_hold_whole_curves_against_capped_ones_of_the_reference_and_of_the_model():
    """The 2 x 2 of cap and fine-tuning: neither is this model whole, both the reference capped."""
    rng = np.random.default_rng(13)
    values, short, there, there_short = rng.normal(size=(4, 2, 5, 7))
    methods = [*ranked(3), *(borrowed(f"{name}_start", name, tuned=("ce", False)) for name in "abc"), degraded("a", 0.5)]
    reference = replace(panel_of(there, methods, srg_half=there_short), model="tuned")
    reference.scores["auc_deletion_half"] = reference.scores["auc_insertion_half"] = there_short
    panel = replace(panel_of(values, methods, srg_half=short), model="ce", reference=reference)
    panel.scores["auc_deletion_half"] = panel.scores["auc_insertion_half"] = short
    found = references(panel, cap="half")
    for seed in range(2):
        whole, own, other = (one[seed].mean(0) for one in (values, short, there_short))
        assert found["srg"][seed] == pytest.approx(spearmanr(whole[:3], other[3:6]).statistic)
        assert found["srg_own"][seed] == pytest.approx(spearmanr(whole[:3], other[:3]).statistic)
        assert found["srg_plain"][seed] == pytest.approx(spearmanr(whole[:3], own[:3]).statistic)
        assert found["morf_plain"][seed] == pytest.approx(spearmanr(whole[:3], -own[:3]).statistic)
    assert set(found) - set(references(panel)) == {f"{part}_plain" for part in INSTRUMENTS}
    with pytest.raises(ClxaiError, match=r"cap must be one of tenth, half\. Got 'third'"):
        references(panel, cap="third")


def test_capped_degradation_is_that_of_the_capped_instrument():
    methods = [*ranked(1), *(degraded("a", share) for share in (0.5, 1.0))]
    rising, falling = np.tile([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]], (2, 3, 1, 1)).transpose(2, 0, 1, 3)
    panel = panel_of(rising, methods, srg_tenth=falling, auc_deletion_tenth=falling, auc_insertion_tenth=falling)
    assert degradation(panel)["srg_macro"] == pytest.approx([-1, -1])
    found = degradation(panel, cap="tenth")
    assert found["srg_macro"] == pytest.approx([1, 1]) and found["morf_micro"] == pytest.approx(-np.ones((2, 3)))


def test_references_that_borrow_nothing_have_their_own_maps_alone():
    panel = panel_of(np.random.default_rng(11).normal(size=(2, 5, 3)), ranked(3))
    assert set(references(replace(panel, reference=panel))) == {"morf_own", "lerf_own", "srg_own"}


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_of_agreement_covers_what_such_studies_have_on_average(seeds):
    """Six methods, six set-ups, 30 images, 200 studies; the nominal 95 % within what chance allows of 200."""
    rng, images, setups, studies = np.random.default_rng(seeds), 30, 6, 200
    quality = np.linspace(0, 0.5, 6) + 0.1 * rng.normal(size=(setups, 6))
    draws = draws_of(images, 0)
    weights = np.stack([np.bincount(draw, minlength=images) for draw in draws]) / images
    wholes, found = [], []
    for _ in range(studies):
        parts = ((seeds, 1, 1), 0.05), ((seeds, 1, setups), 0.03), ((1, images, 1), 0.15), ((seeds, images, setups), 0.15)
        values = quality + sum(size * rng.normal(size=(*shape, 6)) for shape, size in parts)
        whole = pairwise_spearman(values.mean(1))
        drawn = pairwise_spearman(np.einsum("di,sikm->dskm", weights, values))
        wholes.append(whole.mean())
        found.append(summarise(Measured(whole, seeds, images, drawn)))
    covered = [low <= np.mean(wholes) <= high for _, low, high in found]
    assert 0.9 <= np.mean(covered) <= 0.99
