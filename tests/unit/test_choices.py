"""What the config chooses: members with options, heads, contrasts, metrics."""

import pytest
from clxai.errors import ClxaiError
from clxai.measures.identities import CHECKED_METRICS
from clxai.options import check_options
from clxai.planning import params
from clxai.planning.choices import chosen, contrasts_of, heads_of
from clxai.planning.config import check_values
from clxai.planning.outputs import figures_left_out, figures_of, metrics_of
from clxai.planning.provenance import code_of
from clxai.planning.usage import members
from clxai.registry import LIBRARY, declared
from project import changed, check


@pytest.mark.parametrize(
    ("family", "name", "member", "options"),
    [
        ("heads", "knn", "knn", {"k": 20, "temperature": 0.07}),
        ("heads", "knn5", "knn", {"k": 5, "temperature": 0.07}),
        ("heads", "linear", "linear", {"C": 10.0}),
        ("heads", "knn9", "knn", {"temperature": 0.9}),
        ("methods", "early", "grad_cam", {"layer": "layer2"}),
        ("methods", "saliency", "saliency", {}),
        ("methods", "occlusion", "occlusion", {"stride": 2, "baseline": "mean"}),
    ],
)
def test_chosen_is_the_member_with_all_its_options(config, family, name, member, options):
    config["heads"] = {"knn": {"k": 20}, "knn5": {"head": "knn", "k": 5}, "knn9": {"head": "knn", "temperature": 0.9}}
    config["methods"] = {"early": {"method": "grad_cam", "layer": "layer2"}, "occlusion": {"stride": 2}}
    assert chosen(config, family, name) == (member, options)


def test_head_by_another_name_is_checked_like_its_member(config):
    config["heads"] = {"knn5": {"head": "knn", "k": 5000}}
    config["study"]["heads"] = ["knn5"]
    with pytest.raises(ClxaiError, match=r"heads\.knn5\.k must be at most the 1222 training images of digits\. Got 5000"):
        check_values(config)


def test_heads_that_need_a_classifier_are_left_out_for_contrastive_models(config):
    assert heads_of(config, "ce") == ["softmax", "linear", "knn", "mahalanobis"]
    assert heads_of(config, "supcon") == ["linear", "knn", "mahalanobis"]


@pytest.mark.parametrize(("default", "value"), [(0.0, 0), (0, 0), (1.0, 2), ("x", "y"), (True, False)])
def test_option_of_the_type_of_its_default_passes(default, value):
    check_options({"option": value}, {"option": default}, "here")


@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": 1}])
def test_option_without_a_type_allows_anything(value):
    check_options({"option": value}, {"option": None}, "here", {"option": 5} if value == 3 else None)


@pytest.mark.parametrize(
    ("default", "value", "message"),
    [
        ([1, 2], [1, -1], r"here\.option\.1 must be > 0"),
        ([1, 2], 3, "must be a list"),
        (["a"], [1], "must be a name"),
        ({}, 1, "a mapping"),
    ],
)
def test_option_in_a_list_is_of_the_type_of_the_first_default(default, value, message):
    check_options({"option": default}, {"option": default}, "here")
    with pytest.raises(ClxaiError, match=message):
        check_options({"option": value}, {"option": default}, "here")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [["supcon", "ce"], ["ce_matched", "ce"], ["ce_matched", "supcon"]]),
        ([["supcon", "ce_matched"]], [["supcon", "ce_matched"]]),
        ([], []),
    ],
)
def test_contrasts_are_the_named_pairs_or_every_later_model_minus_every_earlier(config, given, expected):
    config["study"]["models"], config["study"]["contrasts"] = ["ce", "supcon", "ce_matched"], given
    assert contrasts_of(config) == expected


def test_methods_are_matched_with_the_fills_that_are_their_baseline(config):
    methods = {"ig_zero": {"method": "integrated_gradients", "baseline": "zero"}, "edges": {"method": "sobel"}}
    shown = ["random", "edges", "saliency", "occlusion", "ig_zero"]
    fills = {"fills": {"grey": {"fill": "mean"}}, "flipping.fills": ["mean", "grey", "zero", "blur"]}
    config = changed(config, {"methods": methods, "study.methods": shown, **fills})
    check(config)
    found = params.summarise(config, None)
    assert found["matched"] == {"ig_zero": ["zero"], "occlusion": ["mean", "grey"]}
    assert found["blind"] == ["random", "edges"]


def test_declared_contrasts_are_filled_in_and_turn_the_pairs(config):
    config = changed(config, {"statistics.confirmatory": [{"model": "supcon", "minus": "ce_matched", "head": "knn"}]})
    check(config)
    found = params.summarise(config, None)
    pair = {"model": "supcon", "minus": "ce_matched", "quantity": "value", "metric": "srg_matched"}
    assert found["confirmatory"] == [{**pair, "method": "all", "head": "knn", "units": "grid", "fill": "mean"}]
    assert found["contrasts"] == [["supcon", "ce"], ["ce_matched", "ce"], ["supcon", "ce_matched"]]


def test_declared_contrasts_of_models_that_a_study_leaves_out_are_named_as_not_tested(config):
    pairs = [{"model": "supcon", "minus": "ce"}, {"model": "supcon", "minus": "ce_matched"}]
    config = changed(config, {"statistics.confirmatory": pairs, "study.models": ["ce", "supcon"]})
    check(config)
    assert [(row["model"], row["minus"]) for row in params.summarise(config, None)["confirmatory"]] == [("supcon", "ce")]
    assert params.state_verdict(config, None)["not_tested"] == [["supcon", "ce_matched"]]


def test_metrics_are_all_that_are_declared_or_those_that_are_named(config):
    assert metrics_of(config) == [name for name, entry in declared("metrics").items() if entry.semantics["reads"] != "masks"]
    config["study"]["metrics"] = [*CHECKED_METRICS[::-1], "roughness"]
    assert metrics_of(config) == [*CHECKED_METRICS[::-1], "roughness"]


def test_figures_of_tables_that_a_study_lacks_are_left_out_of_it(config):
    reasons = figures_left_out(config)
    assert reasons["randomisation"] == "shows maps of randomised copies: set randomisation.methods"
    assert reasons["stability"] == "shows maps of images with noise: set stability.methods"
    assert reasons["analyses"] == "shows what analyses found: name some in study.analyses"
    assert not {*reasons} & {*figures_of(config)}
    config["stability"]["methods"], config["study"]["analyses"] = ["lrp"], ["margin"]
    assert {"analyses", "stability"} <= {*figures_of(config)}
    config["study"]["figures"] = ["randomisation"]
    with pytest.raises(ClxaiError, match=r"study\.figures: 'randomisation' shows maps of randomised copies: set randomisation"):
        figures_of(config)


def test_figures_of_cross_cells_are_left_out_of_a_study_without_them(config):
    assert "cross" in figures_of(config)
    config["statistics"]["cross"] = False
    absent = ("analyses", "cross", "randomisation", "stability")
    assert figures_of(config) == [name for name in declared("figures") if name not in absent]
    assert set(figures_left_out(config)) == set(absent)
    config["study"]["figures"] = ["srg"]
    assert (figures_of(config), figures_left_out(config)) == (["srg"], {})


def test_metrics_are_code_of_the_summaries_alone(config):
    config["study"]["metrics"] = [*CHECKED_METRICS, "roughness"]
    chosen = members(config, "summarise", None)
    assert chosen == [("metrics", name) for name in (*CHECKED_METRICS, "roughness")]
    files = {file.name for file in code_of(LIBRARY.parent / "summarise.py", *chosen)}
    assert {"areas.py", "path.py"} <= files
    assert "monotonicity.py" not in files
