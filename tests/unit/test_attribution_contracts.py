"""What a method declares is held against what it is given and returns: baselines, extra numbers, shapes, signs."""

import hashlib
import re

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS, Explanation
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.fills.base import fill_images, fill_of
from clxai.fills.baselines import Digest, preview
from clxai.planning.choices import chosen
from clxai.planning.contracts import check_cardinality, check_declaration
from clxai.registry import Entry, checked_keywords, declared
from clxai.runtime.memory import AT_ONCE, Most
from project import filled_config, installed_methods

ERROR = {"completeness_error": {"axes": ("image",), "unit": "1"}}
SET = {"baseline_cardinality": "set", "options": {"references": 4}}


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:5].numpy())


def trial(answer, **keywords):
    """A method that is not registered."""
    keywords = {"families": ("control",), "reduction": "mean", **keywords}
    return Entry("trial", answer, checked_keywords(keywords, METHODS.keywords, "trial"))


@pytest.fixture
def recorder():
    """A method that keeps what it was handed."""
    seen = []

    def answer(problem, options):
        seen.append(problem.baseline.clone())
        return Explanation(problem.images)

    return seen, answer


def digest(images):
    """SHA-256 as the record has it, by other means: bytes, then type and shape."""
    numbers = np.ascontiguousarray(images.numpy())
    return hashlib.sha256(numbers.tobytes() + f"float32 {list(numbers.shape)}".encode()).hexdigest()


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_recorded_hash_is_that_of_the_tensors_that_the_method_was_handed(few, recorder, monkeypatch, at_once):
    seen, answer = recorder
    monkeypatch.setitem(AT_ONCE, "explained", Most(at_once, 16))
    found = explain(few, trial(answer, baseline="noise", per_head=False), {}, 7)
    handed = torch.cat(seen)
    assert handed.shape == (5, 1, 16, 16) and len(seen[0]) == at_once
    assert found.attrs["baseline_sha256"] == digest(handed)
    assert {name: found.attrs[f"baseline_{name}"] for name in ("cardinality", "space", "dtype", "shape", "source")} == {
        "cardinality": "single",
        "space": "normalised",
        "dtype": "float32",
        "shape": [5, 1, 16, 16],
        "source": "fill noise (seed 7)",
    }
    pixels = fill_images(fill_of("noise"), few.images, few.encoder.mean, few.index, 7)
    np.testing.assert_array_equal(found["baseline_preview"], preview(pixels))
    np.testing.assert_allclose(handed, few.encoder.normalise(pixels))


def test_batch_that_does_not_fit_into_the_memory_is_not_counted(few, recorder):
    seen, answer = recorder

    def tight(problem, options):
        if len(problem.images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return answer(problem, options)

    found = explain(few, trial(tight, baseline="blur", per_head=False), {}, 0)
    assert found.attrs["baseline_sha256"] == digest(torch.cat(seen))


def test_another_baseline_has_another_hash(few, recorder):
    mean, zero = (explain(few, trial(recorder[1], baseline=fill, per_head=False), {}, 0).attrs for fill in ("mean", "zero"))
    assert mean["baseline_sha256"] != zero["baseline_sha256"]
    assert Digest().then(torch.zeros(2, 1, 4, 4)).sha256 != Digest().then(torch.zeros(1, 2, 4, 4)).sha256  # the shape counts


def test_set_is_of_training_images_drawn_by_the_seed_and_recorded(few, recorder, monkeypatch):
    seen, answer = recorder
    monkeypatch.setitem(AT_ONCE, "explained", Most(2, 16))
    found = explain(few, trial(answer, per_head=False, **SET), {}, 0)
    index = np.asarray(found.attrs["baseline_images"])
    assert len(index) == 4 and set(index) <= set(few.data.indices("train")) and sorted(index) == index.tolist()
    expected = few.encoder.normalise(few.at(index).images)
    assert len(seen) == 3 and all(torch.equal(handed, expected) for handed in seen)
    assert found.attrs["baseline_sha256"] == digest(expected)
    assert (found.attrs["baseline"], found.attrs["baseline_cardinality"]) == ("training", "set")
    assert found.attrs["option_references"] == 4
    again, other = (explain(few, trial(answer, per_head=False, **SET), {}, seed).attrs["baseline_images"] for seed in (0, 1))
    assert again == index.tolist() != other


def test_set_has_none_of_the_images_that_are_explained(tiny_run, recorder):
    train = tiny_run.data.indices("train")
    some = tiny_run.at(train[:-4])
    found = explain(some, trial(recorder[1], per_head=False, **SET), {}, 0)
    assert found.attrs["baseline_images"] == train[-4:].tolist()
    with pytest.raises(ClxaiError, match="references: 5 training images are asked for, 4 are not explained: lower it"):
        explain(some, trial(recorder[1], per_head=False, **SET), {"references": 5}, 0)


def returned(few, maps=None, extras=None, declared=None, **keywords):
    """Explain by a method that returns these maps and extra numbers."""
    answer = Explanation(torch.rand(5, 1, 16, 16) if maps is None else maps, extras or {})
    method = trial(lambda problem, options: answer, per_head=False, extras=declared or {}, **keywords)
    return explain(few, method, {}, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"delta": torch.zeros(5)}, "extras are declared as completeness_error, but delta are returned"),
        ({}, "extras are declared as completeness_error, but none are returned"),
        ({"completeness_error": torch.zeros(5, 2)}, "completeness_error must be [image] of 5 images. Got [5, 2]"),
    ],
    ids=str,
)
def test_extras_are_the_declared_ones(few, given, message):
    with pytest.raises(ClxaiError, match=re.escape(f"method 'trial': {message}")):
        returned(few, extras=given, declared=ERROR)


def test_undeclared_extras_are_refused(few):
    with pytest.raises(ClxaiError, match="extras are declared as none, but depth are returned"):
        returned(few, extras={"depth": torch.zeros(5)})


def test_extras_are_stored_with_their_axes_and_unit(few):
    extras = {"by_class": {"axes": ("image", "class"), "unit": "nat"}}
    found = returned(few, extras={"by_class": torch.ones(5, 3)}, declared=extras)
    assert found["by_class"].dims == ("head", "image", "class")
    assert found["by_class"].attrs == {"units": "nat"}


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.rand(5, 1, 8, 8), "maps must be [image, channel, y, x] of images [5, 1, 16, 16]. Got [5, 1, 8, 8]"),
        (torch.rand(4, 1, 16, 16), "Got [4, 1, 16, 16]"),
        (-torch.rand(5, 1, 16, 16), "is declared without signs, but has values down to -"),
    ],
    ids=lambda value: "" if isinstance(value, torch.Tensor) else value,
)
def test_maps_of_another_shape_or_sign_are_refused(few, maps, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        returned(few, maps)


def test_maps_of_several_channels_need_a_reduction(few):
    with pytest.raises(ClxaiError, match=r"reduction 'none' needs maps of one channel\. Got 2"):
        returned(few, torch.rand(5, 2, 16, 16), reduction="none")


def test_values_that_are_not_finite_and_signs_that_are_declared_stay(few):
    maps = torch.rand(5, 1, 16, 16) - 0.5
    maps[0, 0, 0, 0] = torch.nan
    np.testing.assert_array_equal(returned(few, maps, signed=True)["attribution"][0], maps[:, 0])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"baseline_cardinality": "set"}, "needs the option 'references', how many training images, and no baseline"),
        ({**SET, "baseline": "mean"}, "Got references, baseline mean"),
        ({"options": {"references": 4}}, "has the option 'references', which needs baseline_cardinality 'set'. Got 'single'"),
        ({"complete": "exact"}, "must return the extra 'completeness_error'. Got none"),
    ],
    ids=str,
)
def test_declaration_that_cannot_be_is_refused(keywords, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_declaration("trial", trial(print, **keywords).semantics)


@pytest.mark.parametrize(
    ("keywords", "given", "message"),
    [
        (
            SET,
            {"baseline": "mean"},
            "methods.mine.baseline: it takes a set of training images, as many as methods.mine.references",
        ),
        (
            {"baseline": "mean"},
            {"references": 64},
            "methods.mine.references: it takes one image for each that is explained, the fill",
        ),
    ],
    ids=["one image to a set", "a set to one image"],
)
def test_mismatch_of_cardinality_is_refused(keywords, given, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_cardinality(trial(print, **keywords).semantics, given, "methods.mine")


GIVEN = {"baseline": "zero", "references": 8}


@pytest.fixture(scope="module")
def plain():
    return filled_config()


@pytest.mark.parametrize("option", GIVEN)
@pytest.mark.parametrize("name", installed_methods())
def test_every_method_takes_the_baseline_that_it_declares_and_no_other_while_planning(plain, name, option):
    semantics = declared("methods")[name].semantics
    takes = {"baseline": semantics["baseline"] is not None, "references": semantics["baseline_cardinality"] == "set"}
    config = {**plain, "methods": {name: {option: GIVEN[option]}}}
    if takes[option]:
        assert chosen(config, "methods", name)[1][option] == GIVEN[option]
        return
    reason = "it takes " if any(takes.values()) else f"unknown option {option!r}"
    with pytest.raises(ClxaiError, match=re.escape(f"methods.{name}") + f".*{reason}"):
        chosen(config, "methods", name)
