"""Every analysis keeps its contract: declared numbers, axes and heads, the same for any chunk, company and order."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai import vocabularies
from clxai.analyses.analysing import NOT_AFFINE, analyse, is_affine
from clxai.analyses.base import ANALYSES, Payload
from clxai.errors import ClxaiError
from clxai.heads.base import HEADS
from clxai.measures.analyses import AXES
from clxai.registry import Entry, checked_keywords, declared, keywords_of
from clxai.runtime.artefacts import read_arrays, write_arrays
from clxai.runtime.memory import AT_ONCE, Most

MEMBERS = declared("analyses")
QUICK = {
    "tcav": {"layers": ["layer3"], "images": 8, "random": 800, "least_accuracy": 0.0},
    "probes": {"layers": ["layer3"], "clusters": 20, "pool": 60},
    "spatial_patching": {"layer": "layer4", "fill": "mean"},
    "channel_patching": {"layer": "layer2", "pool": 20},
}


def global_states():
    """The states of the generators that any code may draw from; Python's own is that of the type checker of these tests."""
    numpy = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().numpy(), numpy[1], np.array(numpy[2:])]


@pytest.fixture(scope="module")
def some(tiny_run):
    return tiny_run.at(tiny_run.index[:6].numpy())


def analysed(run, name, seed=0):
    return analyse(run, name, QUICK.get(name, {}), seed)


@pytest.fixture(scope="module")
def found(some):
    return {name: analysed(some, name) for name in MEMBERS}


@pytest.mark.parametrize("name", MEMBERS)
def test_numbers_are_the_declared_ones_with_axes_units_and_a_record(found, some, name, tmp_path):
    write_arrays(found[name], tmp_path / "found.nc")
    stored, semantics = read_arrays(tmp_path / "found.nc"), MEMBERS[name].semantics
    assert set(stored.data_vars) == set(semantics["gives"])
    for quantity, given in semantics["gives"].items():
        assert stored[quantity].dims == tuple(given["axes"])
        assert stored[quantity].attrs["units"] == given["unit"]
        if "image" in given["axes"]:
            assert stored["image"].values.tolist() == some.index.tolist()
    for word in ("payload", "scope", "seeding"):
        assert stored.attrs[word] == semantics[word]
    assert (stored.attrs["analysis"], stored.attrs["seed"]) == (name, 0)
    assert stored.attrs["families"].split(", ") == list(semantics["families"])
    assert {word.removeprefix("option_") for word in stored.attrs if word.startswith("option_")} == set(semantics["options"])


@pytest.mark.parametrize("name", MEMBERS)
def test_declared_numbers_fit_the_table(name):
    """It has no column for places of a layer, and a number of each run has no image."""
    semantics = MEMBERS[name].semantics
    for given in semantics["gives"].values():
        if given.get("shown", "mean") != "none":
            assert set(given["axes"]) <= {"image", *AXES}
        if given.get("shown") in ("each", "test"):
            assert "image" not in given["axes"]
    assert semantics["payload"] in vocabularies.STRUCTURED
    local = all("image" in given["axes"] for given in semantics["gives"].values())
    assert semantics["scope"] == ("local" if local else "aggregated")


@pytest.mark.parametrize("name", MEMBERS)
def test_numbers_do_not_depend_on_chunks_and_global_generators_are_left_alone(found, some, name, monkeypatch):
    for what in AT_ONCE:
        monkeypatch.setitem(AT_ONCE, what, Most(2, 16))
    before = global_states()
    again = analysed(some, name)
    assert all(map(np.array_equal, global_states(), before)), "drew from a global generator"
    for quantity, values in found[name].data_vars.items():
        np.testing.assert_allclose(again[quantity], values, rtol=1e-3, atol=1e-3, err_msg=quantity)


@pytest.mark.parametrize("name", [name for name, entry in MEMBERS.items() if entry.semantics["scope"] == "local"])
def test_numbers_of_an_image_do_not_depend_on_the_others(found, some, name):
    """Of fewer images, in another order."""
    few = some.index[[4, 1]].numpy()
    alone = analysed(some.at(few), name)
    for quantity, values in found[name].sel(image=few).data_vars.items():
        np.testing.assert_allclose(alone[quantity], values, rtol=1e-3, atol=1e-3, err_msg=quantity)


@pytest.mark.parametrize("name", MEMBERS)
def test_seed_changes_what_is_drawn_by_it_alone(found, some, name):
    other = analysed(some, name, seed=1)
    assert found[name].equals(other) == (MEMBERS[name].semantics["seeding"] == "none")


def test_heads_that_cannot_be_served_are_left_out_with_the_reason(found, some, capsys):
    assert found["margin"]["head"].values.tolist() == ["softmax", "linear", "mahalanobis"]
    assert found["margin"].attrs["left_out"] == f'{{"knn": "{NOT_AFFINE}"}}'
    assert "left_out" not in found["nearest_unlike"].attrs
    analysed(some, "margin")
    assert f"margin: left out: knn ({NOT_AFFINE})" in capsys.readouterr().out
    with pytest.raises(ClxaiError, match="analysis 'margin' can serve none of the heads knn"):
        analyse(replace(some, heads={"knn": some.heads["knn"]}), "margin", {}, 0)


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_are_declared_affine_give_their_planes(some, name):
    """And these are what they say: differences of scores are affine in the points."""
    head = some.heads[name]
    assert is_affine(head) == HEADS[name].semantics["affine"]
    if is_affine(head):
        points = torch.randn(7, some.embeddings.shape[1])
        weight, bias = head.planes()
        scores, planes = head.point_scores(points).double(), points.double() @ weight.T + bias
        torch.testing.assert_close(scores - scores[:, :1], planes - planes[:, :1], rtol=1e-3, atol=1e-3)


GIVES = {"score": {"axes": ("head", "image"), "unit": "1"}}


def trial(gives, answer):
    words = {"payload": "table", "scope": "local", "families": ("concept",), "gives": gives}
    return Entry("trial", lambda view, options: answer, checked_keywords(words, ANALYSES.keywords, "here"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scores": np.zeros((4, 6))}, "returns what it does not declare: unknown number 'scores'. Did you mean 'score'?"),
        ({}, "analysis 'trial' declares 'score' and does not return it"),
        ({"score": np.zeros((4, 5))}, "score: expected finite numbers or NaN over head, image, [4, 6]. Got [4, 5]"),
        ({"score": np.full((4, 6), np.inf)}, "score: expected finite numbers or NaN over head, image, [4, 6]"),
    ],
)
def test_what_is_returned_must_be_what_is_declared(some, values, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        analyse(some, trial(GIVES, Payload(values)), {}, 0)


def test_axis_without_labels_is_refused(some):
    with pytest.raises(ClxaiError, match="score: no labels are given for the axis 'concept'"):
        analyse(some, trial({"score": {"axes": ("concept",), "unit": "1"}}, Payload({"score": np.zeros(3)})), {}, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"payload": "attributions"}, "unknown payload 'attributions'"),
        ({"scope": "global"}, "scope 'global' is refused: it is reserved"),
        ({"families": ("concepts",)}, "unknown families 'concepts'. Did you mean 'concept'?"),
        ({"gives": {"score": {"axes": ("heads",), "unit": "1"}}}, "unknown gives 'heads'. Did you mean 'head'?"),
        ({"gives": {"score": {"axes": ("head",), "unit": "metre"}}}, "unknown gives 'metre'"),
        ({"gives": {}}, "keyword 'gives': {} should be non-empty"),
    ],
    ids=str,
)
def test_word_outside_a_vocabulary_is_refused(words, message):
    good = {"payload": "table", "scope": "local", "families": ("concept",), "gives": GIVES}
    with pytest.raises(ClxaiError, match=re.escape(message)):
        checked_keywords({**good, **words}, keywords_of("analyses"), "here")


def test_analysis_that_needs_a_fill_is_refused_without(some):
    with pytest.raises(ClxaiError, match="analysis 'spatial_patching' needs the option 'fill'"):
        analyse(some, "spatial_patching", {}, 0)
