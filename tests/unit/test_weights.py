"""Weights that a user brings fit the network by their names, whatever wraps them; others are refused in one line."""

import argparse
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.heads.fitting import fit_heads
from clxai.networks.architecture import Architecture
from clxai.networks.embeddings import embed_dataset
from clxai.networks.inference import Encoder, load_encoder
from clxai.networks.models import Network, save_network
from clxai.networks.weights import bring
from clxai.training.training import train
from safetensors.torch import save_file

CPU = torch.device("cpu")
TINY = Architecture("resnet18", {"width": 2}, (16, 16), (0.5,), (0.2,), 10, "classifier")
CONTRASTIVE = replace(TINY, top="projection", projection_size=8)
BARE = replace(TINY, top="nothing")


def network(architecture=TINY, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(architecture)


def named(source, backbone="", top="fc."):
    """The weights of a network as others name them: what stands before those of the backbone, and before those of its top."""
    state = {name: value for name, value in source.state_dict().items() if name not in ("mean", "std")}
    return {
        name.replace("backbone.", backbone, 1) if name[0] == "b" else name.replace("top.", top): state[name] for name in state
    }


def supcontrast(source):
    """A checkpoint as SupContrast's trainer writes it: the encoder in DataParallel, options as a namespace, `shortcut`."""
    state = named(source, "encoder.module.", "head.")
    model = {name.replace("downsample.", "shortcut."): value for name, value in state.items()}
    return {"opt": argparse.Namespace(epochs=3), "model": model, "epoch": 3}


FORMS = {
    "torchvision": (TINY, named, "taken over"),
    "DataParallel": (TINY, lambda source: {"state_dict": named(source, "module.", "module.fc.")}, "taken over"),
    "torch.compile": (TINY, lambda source: named(source, "_orig_mod.model.", "_orig_mod.linear."), "taken over"),
    "SupContrast": (CONTRASTIVE, supcontrast, "taken over"),
    "left out": (BARE, named, "left out"),
    "backbone alone": (BARE, lambda source: named(source, "backbone."), "left out"),
    "of this library": (TINY, lambda source: source.state_dict(), "taken over"),
    "without counters": (TINY, lambda s: {k: v for k, v in named(s).items() if "num_batches" not in k}, "taken over"),
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_others_give_the_same_embeddings(form, tmp_path):
    architecture, written, said = FORMS[form]
    source = network(replace(architecture, top="classifier") if architecture is BARE else architecture, seed=1).eval()
    torch.save(written(source), tmp_path / "weights.pth")
    found = network(architecture).eval()
    assert bring(found, tmp_path / "weights.pth") == said
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(found(images), source(images))
    if said == "taken over":
        assert torch.equal(found.outputs(images), source.outputs(images))


class Harmful:
    def __reduce__(self):
        return print, ("harm",)


def without(state, *parts):
    return {name: value for name, value in state.items() if not name.startswith(parts)}


STATE = named(network(seed=1))
WRONG = {
    "no file": (TINY, None, "weights.pth: no such file"),
    "code": (TINY, {**STATE, "x": Harmful()}, "not readable as weights alone (it holds print, and code is never run)"),
    "no pickle": (TINY, b"text", "not readable as weights alone ("),
    "no state dict": (TINY, {"epoch": 3}, "holds no state dict, nor one as state_dict, model"),
    "a list": (
        TINY,
        [torch.ones(1)],
        "holds no state dict, nor one as state_dict, model, model_state_dict, network, net. Found list",
    ),
    "missing keys": (
        TINY,
        without(STATE, "layer4.1"),
        "weights of network 'resnet18' are missing: unknown name of a weight 'layer4.1",
    ),
    "unexpected keys": (TINY, {**STATE, "layer5.weight": torch.ones(1)}, "layer5.weight is no weight of network 'resnet18'"),
    "other width": (TINY, named(network(replace(TINY, options={"width": 4}))), "checkpoint of another architecture: "),
    "other channels": (
        TINY,
        named(network(replace(TINY, mean=(0.5,) * 3, std=(0.2,) * 3))),
        "backbone.conv1.weight is (2, 3, 3, 3), expected (2, 1, 3, 3)",
    ),
    "other classes": (TINY, named(network(replace(TINY, n_classes=7))), "top.bias is (7,), expected (10,)"),
    "no classifier": (TINY, without(STATE, "fc."), "needed is one classifier, weight, bias behind one of fc., linear."),
    "not finite": (TINY, {**STATE, "bn1.bias": torch.full((2,), torch.nan)}, "weights are not finite"),
    "other normalisation": (
        TINY,
        network(replace(TINY, mean=(0.4,))).state_dict(),
        "was trained on images that were normalised by others than these: set `normalise: [[0.4], [0.2]]`",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_are_refused_in_one_line(case, tmp_path, capsys):
    architecture, content, message = WRONG[case]
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        bring(network(architecture), path)
    assert "\n" not in str(refused.value)
    assert "harm" not in capsys.readouterr().out


OWN = '''
"""A network of a stranger."""

import torch
from beside import WIDTH
from clxai.networks.base import network
from torch import nn


class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, WIDTH, 3, 2), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True))
        self.last = nn.Linear(WIDTH, 10)

    def forward(self, inputs):
        return self.last(self.body(inputs).mean(dim=(2, 3)))


@network("build", layers=("body",), smallest=8, classifier="last", normalise=((0.5,), (0.25,)))
def build(options, channels):
    """Eight features."""
    return Net(channels)


@network("nothing", layers=(), smallest=8)
def nothing(options, channels):
    """No module."""
    return 3
'''


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A user's file with a network, and one beside it that it imports."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    return tmp_path / "own.py"


def brought(tiny_recipe, **changes):
    return {**tiny_recipe, "network_options": {}, "epochs": 0, "warmup_epochs": 0, "network": "own.py:build", **changes}


def test_network_in_a_file_is_adopted_embedded_and_gets_heads(own_file, tiny_data, tiny_recipe):
    """Its embeddings and logits are those of the module itself, and its classifier is the softmax head."""
    from clxai.networks.base import NETWORKS

    module = NETWORKS["own.py:build"].definition({}, 1).eval()
    save_file({f"model.{name}": value for name, value in module.state_dict().items()}, "own.safetensors")
    result = train(tiny_data.data, brought(tiny_recipe, weights="own.safetensors"), 0, CPU, start="own.safetensors")
    assert result.record()["start_top"] == "taken over"
    save_network(result.network, "model.safetensors")
    encoder = load_encoder("model.safetensors", CPU)
    images = torch.from_numpy(np.array(tiny_data.data.images[:9])).float() / 255
    expected = module.body((images - 0.5) / 0.25).mean(dim=(2, 3))
    torch.testing.assert_close(encoder(images), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoder.classifier(encoder(images)), module((images - 0.5) / 0.25), rtol=1e-5, atol=1e-6)
    assert encoder.mean.item() == pytest.approx(tiny_data.data.mean[0])
    found = torch.from_numpy(embed_dataset(encoder, tiny_data.data, CPU, "model")["embedding"].values)
    heads, table = fit_heads(encoder, tiny_data.data, found, {"softmax": {}, "linear": {}})
    assert torch.equal(heads["softmax"].weight, module.last.weight)
    assert list(table["head"]) == ["softmax", "softmax", "linear", "linear"]


def test_network_in_a_file_can_be_trained_too(own_file, tiny_data, tiny_recipe):
    result = train(tiny_data.data, brought(tiny_recipe, epochs=2), 0, CPU)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert Encoder(result.network).classifier is not None


@pytest.mark.parametrize(
    ("changes", "edit", "message"),
    [
        ({"network": "own.py:nothing"}, None, "network 'own.py:nothing' must return a torch.nn.Module. Got int"),
        ({}, ("nn.Linear(WIDTH, 10)", "nn.Linear(WIDTH, 9)"), "classifier 'last' is for 9 classes, the data set has 10"),
        ({}, ("mean(dim=(2, 3))", "mean(dim=2)"), "fails on images of [2, 1, 16, 16]: RuntimeError"),
        ({}, ("from beside", "from absent"), "own.py cannot be run: ModuleNotFoundError: No module named 'absent'"),
        ({}, ("smallest=8", "smallest=8, channels=3"), "takes images of 3 channels. The data set has 1"),
        (
            {},
            ("smallest=8", "smallest=8, size=(32, 32)"),
            "images must be [32, 32] (height, width) for own.py:build. Got 16 x 16",
        ),
        ({}, ("(0.5,), (0.25,)", "(0.5,) * 1, (0.25,)"), "keywords must be literals"),
        ({}, ("(0.5,), (0.25,)", "(0.5, 0.5), (0.25, 0.2)"), "normalise needs a mean and a std for each of 1 channels"),
    ],
    ids=["no module", "classes", "fails", "import", "channels", "size", "no literal", "normalisation"],
)
def test_file_that_cannot_be_a_network_is_refused_by_the_first_job(own_file, tiny_data, tiny_recipe, changes, edit, message):
    name = f"own{abs(hash(message))}.py"
    own_file.rename(name)
    text = OWN if edit is None else OWN.replace(*edit)
    (own_file.parent / name).write_text(text)
    recipe = brought(tiny_recipe, **changes)
    recipe["network"] = recipe["network"].replace("own.py", name)
    with pytest.raises(ClxaiError, match=re.escape(message.replace("own.py", name))) as refused:
        train(tiny_data.data, recipe, 0, CPU)
    assert "\n" not in str(refused.value)
