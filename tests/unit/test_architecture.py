"""A checkpoint holds weights and what is needed to build their network again, and is refused where it does not fit."""

from dataclasses import replace

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.networks.architecture import Architecture, check_shapes, read_checkpoint, write_checkpoint
from clxai.runtime.artefacts import write_tensors

SMALL = Architecture("resnet18", {"width": 4}, (16, 16), (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), 10, "classifier")


@pytest.mark.parametrize(("stem", "shape", "least"), [("small", (15, 32), 16), ("large", (96, 63), 64), ("auto", (15, 200), 16)])
def test_architecture_refuses_images_too_small_for_the_stem(stem, shape, least):
    with pytest.raises(ClxaiError, match=rf"at least {least} px for resnet18 with the .* stem. Got {shape[0]} x {shape[1]} px"):
        replace(SMALL, options={"stem": stem}, shape=shape)
    assert replace(SMALL, options={"stem": stem}, shape=(least, least)).shape == (least, least)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"stem": "tiny"}}, r"network 'resnet18'\.stem: unknown stem 'tiny'. Known: auto, large, small"),
        ({"options": {"widht": 4}}, "network 'resnet18': unknown option 'widht'. Did you mean 'width'"),
        ({"network": "resnet19"}, "unknown network 'resnet19'. Did you mean 'resnet18'"),
        ({"network": "cnn", "options": {}, "shape": (15, 16)}, "images must be at least 16 px for cnn. Got 15 x 16 px"),
    ],
)
def test_architecture_refuses_what_the_network_does_not_know(changes, message):
    with pytest.raises(ClxaiError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(("shape", "stem"), [((16, 16), "small"), ((95, 300), "small"), ((96, 96), "large")])
def test_architecture_completes_its_options(shape, stem):
    assert replace(SMALL, options={"width": 8}, shape=shape).options == {"width": 8, "stem": stem}


def test_checkpoint_comes_back_equal(tmp_path):
    weights = {"a": torch.randn(2, 3), "n": torch.tensor(4)}
    write_checkpoint(weights, SMALL, tmp_path / "model.safetensors")
    tensors, architecture = read_checkpoint(tmp_path / "model.safetensors")
    assert architecture == SMALL
    assert tensors.keys() == weights.keys()
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_read_checkpoint_refuses_weights_that_are_not_finite(tmp_path, value):
    write_checkpoint({"a": torch.tensor([1.0, value])}, SMALL, tmp_path / "model.safetensors")
    with pytest.raises(ClxaiError, match=r"model\.safetensors: weights are not finite"):
        read_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("record", [{"kind": "head", "head": "knn"}, {"kind": "network", "network": "resnet18"}, {}])
def test_read_checkpoint_refuses_other_artefacts(tmp_path, record):
    write_tensors({"a": torch.ones(1)}, record, tmp_path / "a.safetensors")
    with pytest.raises(ClxaiError, match=rf"a\.safetensors: not a network \(kind {record.get('kind')!r}"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("n_classes", "shape", "found"),
    [
        (9, (3, 16, 16), r"\(9, 3, 16, 16\)"),
        (10, (1, 16, 16), r"\(10, 1, 16, 16\)"),
        (10, (3, 16, 32), r"\(10, 3, 16, 32\)"),
        (10, (3, 32, 16), r"\(10, 3, 32, 16\)"),
    ],
)
def test_check_fits_names_both_sides(n_classes, shape, found):
    SMALL.check_fits(10, (3, 16, 16), "model.safetensors")
    with pytest.raises(ClxaiError, match=rf"model\.safetensors: checkpoint for .* \(10, 3, 16, 16\), the data set has {found}"):
        SMALL.check_fits(n_classes, shape, "model.safetensors")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": torch.ones(3), "b": torch.ones(1)}, r"a is \(3,\), expected \(2,\) \(1 tensors differ\)"),
        ({"a": torch.ones(2)}, r"b is absent, expected \(1,\)"),
        ({"a": torch.ones(2), "b": torch.ones(1), "c": torch.ones(4)}, r"c is \(4,\), expected nothing"),
    ],
)
def test_check_shapes_names_the_first_tensor_that_differs(found, message):
    with pytest.raises(ClxaiError, match=rf"model: checkpoint of another architecture: {message}"):
        check_shapes(found, {"a": torch.ones(2), "b": torch.ones(1)}, "model")
