import re

import pytest
import torch
from clxai import vocabularies
from clxai.attribution.base import REDUCTIONS, layer_of
from clxai.errors import ClxaiError
from clxai.heads.base import log_odds
from clxai.registry import COMMON, DATA_BOUNDS, checked_keywords, declared, keywords_of, load
from project import problem_of

METHODS = declared("methods")
HEADS = ["softmax", "linear", "knn", "mahalanobis"]
KEYWORDS = {
    "families",
    "payload",
    "aligned_to",
    "scope",
    "scope_defined_by",
    "signed",
    "blind",
    "seeding",
    "per_head",
    "baseline",
    "baseline_cardinality",
    "complete",
    "reduction",
    "needs_rules",
    "extras",
    "needs",
    "needs_evidence",
    "package",
    "borrows",
    "removes",
    "reads_masks",
    "masks_per_unit",
    "learns",
}
TWO_CHANNELS = torch.tensor([[[[1.0, -2.0]], [[-3.0, -4.0]]]])


@pytest.mark.parametrize("name", METHODS)
def test_declaration_is_complete_and_uses_known_words(name):
    semantics = METHODS[name].semantics
    assert set(semantics) - {*COMMON} == KEYWORDS
    assert semantics["reduction"] in REDUCTIONS
    assert semantics["reads_masks"] in {"nothing", "shapley", "bernoulli", "leave_one_out"}
    if semantics["removes"] or semantics["learns"] or semantics["reads_masks"] != "nothing":
        assert {"units", "fill"} <= set(semantics["options"])
    assert semantics["baseline"] in {None, *declared("fills")}
    assert {type(semantics[flag]) for flag in ("signed", "blind", "per_head")} == {bool}
    for option, bound in semantics.get("at_most", {}).items():
        assert option in semantics["options"]
        assert isinstance(bound, int | float) or bound in {*semantics["options"], *DATA_BOUNDS}


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.semantics["signed"]])
def test_signed_method_keeps_the_sign_when_channels_are_reduced(name):
    assert (REDUCTIONS[METHODS[name].semantics["reduction"]](-torch.ones(1, 1, 2, 2)) < 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_loaded_method_has_the_declared_semantics(name):
    entry = load("methods", name)
    assert entry.name == name
    assert entry.semantics == METHODS[name].semantics


GOOD = {"families": ("gradient",), "reduction": "sum"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"families": ("gradent",)}, "unknown families 'gradent'. Did you mean 'gradient'?"),
        ({"families": ()}, "keyword 'families': [] should be non-empty"),
        ({"payload": "attribution"}, "unknown payload 'attribution'. Did you mean 'attributions'?"),
        ({"aligned_to": "inputs"}, "unknown aligned_to 'inputs'. Did you mean 'input'? Known: input, layer, unit"),
        ({"scope": "locale"}, "unknown scope 'locale'. Did you mean 'local'?"),
        ({"scope": "global"}, "scope 'global' is refused: it is reserved for what is proved for a whole data set"),
        ({"scope_defined_by": "sumary"}, "unknown scope_defined_by 'sumary'. Did you mean 'summary'?"),
        ({"seeding": "global_rng"}, "unknown seeding 'global_rng'. Known: keyed, none"),
        ({"baseline_cardinality": "sets"}, "unknown baseline_cardinality 'sets'. Did you mean 'set'?"),
        ({"complete": "exactly"}, "unknown complete 'exactly'. Did you mean 'exact'?"),
        ({"reduction": "abs"}, "unknown reduction 'abs'. Did you mean 'abs_sum'?"),
        ({"extras": {"steps": {"axes": ("image",), "unit": "counts"}}}, "unknown extras 'counts'. Did you mean 'count'?"),
        ({"extras": {"steps": {"axes": ("step",), "unit": "count"}}}, "keyword 'extras': 'image' was expected"),
        ({"extras": {"steps": {"axes": ("image", "pixel"), "unit": "count"}}}, "unknown extras 'pixel'"),
        ({"extras": {"steps": {"unit": "count"}}}, "'axes' is a required property"),
    ],
    ids=str,
)
def test_word_outside_a_vocabulary_is_refused_with_the_nearest(given, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        checked_keywords({**GOOD, **given}, keywords_of("methods"), "here")


def test_vocabularies_are_those_of_the_code():
    assert tuple(REDUCTIONS) == tuple(keywords_of("methods")["reduction"]["enum"])
    assert {family for entry in METHODS.values() for family in entry.semantics["families"]} <= {*vocabularies.FAMILIES}


def test_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(ClxaiError, match=r"unknown attribution method 'grad_camm'\. Did you mean 'grad_cam'\?.*saliency"):
        load("methods", "grad_camm")


@pytest.mark.parametrize(
    ("name", "expected"), [("sum", [-2.0, -6.0]), ("abs_sum", [4.0, 6.0]), ("mean", [-1.0, -3.0])], ids=lambda value: str(value)
)
def test_reduction_of_two_channels(name, expected):
    assert REDUCTIONS[name](TWO_CHANNELS).tolist() == [[expected]]


def test_reduction_none_drops_the_single_channel():
    assert REDUCTIONS["none"](TWO_CHANNELS[:, :1]).tolist() == [[[1.0, -2.0]]]


@pytest.mark.parametrize(
    ("name", "found"), [("layer1", "layer1"), ("layer3", "layer3"), ("layer4", "layer4"), ("last", "layer4")]
)
def test_layers_of_the_network_are_found_by_name(tiny_run, name, found):
    assert layer_of(tiny_run.encoder, name) is tiny_run.encoder.backbone.get_submodule(found)


@pytest.mark.parametrize("name", ["layer5", "conv1", "relu", "forward", ""])
def test_other_layers_are_refused_with_the_known_ones(tiny_run, name):
    with pytest.raises(ClxaiError, match=rf"'resnet18': unknown layer '{name}'.*Known: last, layer1, layer2, layer3, layer4"):
        layer_of(tiny_run.encoder, name)


def test_inputs_are_normalised_by_the_training_statistics(tiny_run):
    inputs = problem_of(tiny_run, "softmax").inputs
    expected = (tiny_run.images - tiny_run.data.mean[0]) / tiny_run.data.std[0]
    torch.testing.assert_close(inputs.detach(), expected)
    assert inputs.is_leaf and inputs.requires_grad


@pytest.mark.parametrize("name", HEADS)
def test_explained_scalar_is_the_log_odds_that_the_head_is_scored_by(tiny_run, name):
    problem = problem_of(tiny_run, name)
    scores, prediction = tiny_run.heads[name].decide(tiny_run.embeddings)
    found = problem.log_odds(problem.inputs, problem.rows).detach()
    torch.testing.assert_close(found, log_odds(scores, prediction), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", HEADS)
def test_repeated_rows_keep_the_target_and_the_neighbours_of_their_image(tiny_run, name):
    problem, rows = problem_of(tiny_run, name), torch.tensor([4, 0, 4, 17])
    once = problem.log_odds(problem.inputs, problem.rows).detach()
    torch.testing.assert_close(problem.log_odds(problem.inputs[rows], rows).detach(), once[rows], rtol=1e-4, atol=1e-4)
