"""The folded encoder computes what the trained network computes in eval mode, and imports less."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.networks.architecture import Architecture, write_checkpoint
from clxai.networks.inference import Encoder, folded_backbone, load_encoder
from clxai.networks.models import Network, save_network
from torch import nn

SMALL = Architecture("resnet18", {"width": 4}, (16, 16), (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), 5, "classifier")
LARGE = replace(SMALL, options={"width": 4, "stem": "large"}, shape=(64, 72))
CPU = torch.device("cpu")


def trained_like(architecture):
    """A network whose batch norms are far from their first values."""
    network = Network(architecture).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("architecture", [SMALL, LARGE, replace(SMALL, mean=(0.5,), std=(0.2,))], ids=["small", "large", "grey"])
def test_encoder_equals_the_network_in_eval_mode(architecture):
    network = trained_like(architecture)
    images = torch.rand(8, len(architecture.mean), *architecture.shape)
    expected = network(images)
    error = (Encoder(network)(images) - expected).abs().max() / expected.abs().max()
    assert error < 1e-5


def test_encoder_equals_the_network_in_its_gradient():
    """Attribution differentiates the encoder in place of the network."""
    network = trained_like(SMALL)
    gradients = []
    for module in (network, Encoder(network)):
        images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        module(images).square().sum().backward()
        gradients.append(images.grad)
    assert (gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max() < 1e-4


def test_encoder_does_not_follow_the_network_afterwards():
    network = trained_like(SMALL)
    encoder, images = Encoder(network), torch.rand(2, 3, 16, 16)
    before = encoder(images)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    assert torch.equal(encoder(images), before)


@pytest.mark.parametrize(("top", "other"), [("classifier", "projection"), ("projection", "classifier")])
def test_encoder_carries_what_sits_on_top(top, other):
    network = trained_like(replace(SMALL, top=top))
    encoder, features = Encoder(network), torch.randn(3, 32)
    assert torch.equal(getattr(encoder, top)(features), network.top(features))
    assert getattr(encoder, other) is None


def test_encoder_uses_each_relu_once():
    """A hook sees one activation for each module: 1 of the stem and 2 of each of 8 blocks."""
    encoder, calls = Encoder(trained_like(SMALL)), []
    relus = [module for module in encoder.modules() if isinstance(module, nn.ReLU)]
    for relu in relus:
        relu.register_forward_hook(lambda module, inputs, output: calls.append(id(module)))
    encoder(torch.rand(1, 3, 16, 16))
    assert len(relus) == len(calls) == len(set(calls)) == 17


class Crossed(nn.Module):
    """Two convolutions whose batch norms are registered in the other's place."""

    def __init__(self, shared=False):
        super().__init__()
        self.one, self.norm_of_two = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.two, self.norm_of_one = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shared = shared

    def forward(self, inputs):
        first = self.one(inputs)
        found = self.norm_of_two(self.two(self.norm_of_one(first).relu()))
        return (found + first if self.shared else found).mean(dim=(2, 3))


def far_from_the_first(module):
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.normal_(norm.running_mean)
    return module.eval()


def test_batch_norms_are_folded_into_the_convolution_they_follow_not_the_one_they_are_listed_after():
    backbone, images = far_from_the_first(Crossed()), torch.rand(2, 3, 16, 16)
    folded = folded_backbone(backbone, SMALL)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), backbone(images))


def test_convolution_that_serves_others_beside_its_batch_norm_is_refused():
    with pytest.raises(ClxaiError, match=r"with its batch norms folded .* differ by .* to its batch norm and to nothing else"):
        folded_backbone(far_from_the_first(Crossed(shared=True)), SMALL)


def test_load_encoder_reads_what_save_network_writes(tmp_path):
    network = trained_like(SMALL)
    save_network(network, tmp_path / "model.safetensors")
    encoder, images = load_encoder(tmp_path / "model.safetensors", CPU), torch.rand(2, 3, 16, 16)
    assert torch.equal(encoder(images), Encoder(network)(images))
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"width": 8}},
        {"options": {"width": 4, "stem": "large"}, "shape": (64, 64)},
        {"network": "cnn", "options": {"width": 4}},
        {"n_classes": 6},
        {"mean": (0.5,), "std": (0.5,)},
    ],
)
def test_load_encoder_refuses_weights_of_another_architecture(tmp_path, changes):
    write_checkpoint(trained_like(SMALL).state_dict(), replace(SMALL, **changes), tmp_path / "model.safetensors")
    with pytest.raises(ClxaiError, match=r"model\.safetensors: checkpoint of another architecture"):
        load_encoder(tmp_path / "model.safetensors", CPU)


@pytest.mark.parametrize(
    "missing",
    ["backbone.conv1.weight", "backbone.bn1.running_var", "backbone.layer2.0.downsample.1.bias", "top.weight", "top.bias"],
)
def test_load_encoder_refuses_a_checkpoint_with_a_part_missing(tmp_path, missing):
    tensors = trained_like(SMALL).state_dict()
    del tensors[missing]
    write_checkpoint(tensors, SMALL, tmp_path / "model.safetensors")
    with pytest.raises(ClxaiError, match=rf"checkpoint of another architecture: {missing} is absent"):
        load_encoder(tmp_path / "model.safetensors", CPU)


def test_importing_inference_does_not_import_torchvision_or_scikit_learn():
    """Every job of the workflow pays for what this module imports."""
    heavy = "{'torchvision', 'sklearn', 'pandas', 'xarray'}"
    code = f"import sys, clxai.networks.inference; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
