"""Every network of the family trains, is stored, folds exactly, embeds and explains, whatever its layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS
from clxai.attribution.explaining import explain
from clxai.heads.base import HEADS
from clxai.networks.architecture import Architecture
from clxai.networks.base import NETWORKS
from clxai.networks.inference import Encoder, load_encoder
from clxai.networks.models import Network, load_network, save_network
from clxai.registry import declared
from clxai.runs import Run
from clxai.training.training import train
from torch import nn

CPU = torch.device("cpu")


def disturbed(network):
    """A network whose batch norms are far from their first values."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def architecture_of(name, **changes):
    return Architecture(name, **{"options": {"width": 4}, "shape": (24, 40), "top": "classifier", **STATISTICS, **changes})


STATISTICS = {"mean": (0.5, 0.4), "std": (0.1, 0.2), "n_classes": 5}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_is_exact_in_float64(name):
    """All batch norms go, and the embedding and its gradient stay."""
    network = disturbed(Network(architecture_of(name))).double()
    encoder, found = Encoder(network), []
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    for module in (network, encoder):
        images = torch.rand(3, 2, 24, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        embeddings = module(images)
        (gradient,) = torch.autograd.grad(embeddings.square().sum(), images)
        found.append((embeddings.detach(), gradient))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_relu_is_used_once_and_keeps_its_input(name):
    encoder, calls = Encoder(Network(architecture_of(name))), []
    relus = [module for module in encoder.modules() if isinstance(module, nn.ReLU)]
    for relu in relus:
        assert not relu.inplace
        relu.register_forward_hook(lambda module, inputs, output: calls.append(id(module)))
    encoder(torch.rand(1, 2, 24, 40))
    assert len(relus) == len(calls) == len(set(calls)) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_first_weights_do_not_depend_on_what_sits_on_top(name):
    weights = []
    for top in ("classifier", "projection"):
        torch.manual_seed(3)
        weights.append(Network(architecture_of(name, top=top)).backbone.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize("name", NETWORKS)
def test_declared_layers_have_a_spatial_output_in_the_order_of_the_flow(name):
    encoder, shapes = Encoder(Network(architecture_of(name))), []
    for layer in NETWORKS[name].semantics["layers"]:
        module = encoder.backbone.get_submodule(layer)
        module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    encoder(torch.rand(1, 2, 24, 40))
    sizes = [shape[2] * shape[3] for shape in shapes]
    assert all(len(shape) == 4 for shape in shapes)
    assert sizes == sorted(sizes, reverse=True)
    assert len(shapes) == len(NETWORKS[name].semantics["layers"])


@pytest.mark.parametrize("name", NETWORKS)
def test_smallest_image_leaves_the_last_layer_two_by_two(name):
    smallest = NETWORKS[name].semantics["smallest"]
    stems = smallest.items() if isinstance(smallest, dict) else [(None, smallest)]
    for stem, side in stems:
        options = {"width": 2, **({"stem": stem} if stem else {})}
        encoder, found = Encoder(Network(architecture_of(name, options=options, shape=(side, side)))), []
        last = encoder.backbone.get_submodule(NETWORKS[name].semantics["layers"][-1])
        last.register_forward_hook(lambda module, inputs, output, found=found: found.append(output.shape[2:]))
        encoder(torch.rand(1, 2, side, side))
        assert [tuple(shape) for shape in found] == [(2, 2)]


@pytest.fixture(scope="module")
def oblong(tiny_data):
    """The digits, 16 x 24 px: repeated to the right."""
    images = np.array(tiny_data.data.images)
    return replace(tiny_data.data, images=np.concatenate([images, images[..., :8]], axis=3))


@pytest.mark.parametrize("name", NETWORKS)
def test_member_is_trained_stored_read_and_explained(name, oblong, tiny_recipe, tmp_path):
    recipe = {**tiny_recipe, "network": name, "network_options": {"width": 2}, "epochs": 1, "warmup_epochs": 0, "batch_size": 50}
    path = str(tmp_path / "model.safetensors")
    network = train(oblong, recipe, 0, CPU).network
    save_network(network, path)
    images = torch.from_numpy(oblong.images[:4]).float() / 255
    encoder = load_encoder(path, CPU)
    assert encoder.architecture == network.architecture
    torch.testing.assert_close(encoder(images), network.eval()(images), rtol=1e-4, atol=1e-5)
    assert torch.equal(load_network(path, CPU)(images), network(images))
    embeddings = encoder(torch.from_numpy(oblong.images).float() / 255)
    labels = torch.from_numpy(oblong.labels)
    head = HEADS["softmax"].definition.fit(embeddings, labels, 10, {}, encoder.classifier)
    run = Run(oblong, encoder, path, {"softmax": head}, embeddings, torch.arange(3))
    methods = ["saliency", "grad_cam", "grad_cam_pp", "guided_grad_cam"]
    for method in [*methods, *(["lrp"] if declared("networks")[name].semantics["lrp"] else [])]:
        result = explain(run, method, METHODS[method].options({}), 0)
        assert result["attribution"].shape == (1, 3, 16, 24)
        assert np.isfinite(result["attribution"]).all()
        assert result.attrs.get("option_layer") in (None, NETWORKS[name].semantics["layers"][-1])


def test_network_that_gives_no_embedding_is_refused(monkeypatch):
    entry = replace(NETWORKS["cnn"], definition=lambda options, channels: nn.Conv2d(channels, 4, 3))
    monkeypatch.setitem(NETWORKS._entries, "cnn", entry)
    with pytest.raises(Exception, match=r"network 'cnn' must give \[image, feature\]\. Got \[1, 4, 22, 38\] for one image"):
        Network(architecture_of("cnn"))
