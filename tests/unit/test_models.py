"""Networks are torchvision's ResNet-18 where that exists, and what they store is what they load."""

from dataclasses import replace

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.networks.architecture import Architecture, write_checkpoint
from clxai.networks.models import Network, load_network, save_network
from torch import nn
from torchvision.models import resnet18, resnet50

PUBLISHED = Architecture("resnet18", {"stem": "large"}, (64, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 10, "classifier")
TINY = replace(PUBLISHED, options={"width": 4}, shape=(16, 16))
CPU = torch.device("cpu")


def network(architecture=TINY, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(architecture)


@pytest.mark.parametrize(("name", "published", "count"), [("resnet18", resnet18, 11_176_512), ("resnet50", resnet50, 23_508_032)])
def test_width_64_with_the_large_stem_is_the_network_of_torchvision(name, published, count):
    """Same parameters by name and shape, and from the same weights the same features."""
    reference = published()
    reference.fc = nn.Identity()
    ours = Network(replace(PUBLISHED, network=name)).double()
    assert sum(parameter.numel() for parameter in ours.backbone.parameters()) == count
    ours.backbone.load_state_dict(reference.double().state_dict())
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    expected = reference.eval()((images - ours.mean) / ours.std)
    torch.testing.assert_close(ours.eval()(images), expected, rtol=1e-9, atol=1e-9)


def test_small_stem_keeps_the_resolution_up_to_layer1():
    backbone, shapes = network().backbone, []
    for layer in (backbone.layer1, backbone.layer4):
        layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    backbone(torch.zeros(1, 3, 16, 16))
    assert shapes == [(4, 16, 16), (32, 2, 2)]


def test_normalise_gives_zero_mean_and_unit_variance():
    images = torch.tensor(PUBLISHED.mean).view(1, 3, 1, 1) + torch.tensor(PUBLISHED.std).view(1, 3, 1, 1) * torch.randn(
        2, 3, 64, 64
    )
    normal = network().normalise(images)
    torch.testing.assert_close(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(normal.std(dim=(0, 2, 3)), torch.ones(3), atol=0.05, rtol=0)


def test_top_is_a_classifier_or_the_projection_of_supcon():
    features = torch.randn(2, 32)
    assert network().top(features).shape == (2, 10)
    projection = network(replace(TINY, top="projection", projection_size=7)).top
    assert [type(module) for module in projection] == [nn.Linear, nn.ReLU, nn.Linear]
    assert projection(features).shape == (2, 7)


def test_relus_are_modules_that_keep_their_input():
    """Attribution hooks need the input of each ReLU."""
    assert not any(module.inplace for module in network().modules() if isinstance(module, nn.ReLU))


@pytest.mark.parametrize("top", ["classifier", "projection"])
def test_saved_network_comes_back_frozen_in_eval_mode_with_equal_outputs(tmp_path, top):
    ours = network(replace(TINY, top=top))
    ours(torch.rand(8, 3, 16, 16))  # moves the running statistics
    save_network(ours, tmp_path / "model.safetensors")
    loaded = load_network(tmp_path / "model.safetensors", CPU)
    images = torch.rand(4, 3, 16, 16)
    assert loaded.architecture == ours.architecture
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded.top(loaded(images)), ours.eval().top(ours(images)))


def test_load_network_refuses_weights_of_another_architecture(tmp_path):
    write_checkpoint(network().state_dict(), replace(TINY, options={"width": 8}), tmp_path / "model.safetensors")
    with pytest.raises(ClxaiError, match=r"model\.safetensors: checkpoint of another architecture: .* is \(4,"):
        load_network(tmp_path / "model.safetensors", CPU)
