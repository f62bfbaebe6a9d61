"""A module from outside keeps its numbers as a network of this library, and is refused where it cannot keep the contract."""

import copy
import doctest
import re

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.heads.base import HEADS
from clxai.networks import outside
from clxai.networks.inference import Encoder, prepared_for_flipping
from clxai.networks.models import load_network, save_network
from clxai.networks.outside import network_of
from clxai.runs import Run
from torch import nn

CPU = torch.device("cpu")
IMAGES = torch.rand(6, 3, 16, 20, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """A small residual network in the manner of torchvision: one ReLU in place for all, a functional flatten, logits."""

    def __init__(self, n_classes=4):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, n_classes)

    def features(self, inputs):
        first = self.relu(self.bn1(self.conv1(inputs)))
        return torch.flatten(self.avgpool(self.relu(self.bn2(self.conv2(first)) + first)), 1)

    def forward(self, inputs):
        return self.fc(self.features(inputs))


def small(kind=Small, **changes):
    """A module with batch norms that have seen something; `changes` replaces attributes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = kind()
        module.train()(torch.rand(8, 3, 16, 20))
    for name, value in changes.items():
        setattr(module, name, value)
    return module.eval()


@pytest.mark.parametrize(
    "told", [{"classifier": "fc"}, {"embedding": "avgpool"}, {"embedding": "avgpool", "classifier": "fc"}], ids=str
)
def test_embedding_is_that_of_the_module_itself(told):
    module = small()
    expected = module.features(IMAGES)
    network = network_of(module, IMAGES, **told)
    for copied in (
        network,
        Encoder(network),
        copy.deepcopy(Encoder(network)),
        prepared_for_flipping(Encoder(network), "float32"),
    ):
        torch.testing.assert_close(copied(IMAGES), expected, rtol=1e-5, atol=1e-6)
    if "classifier" in told:
        torch.testing.assert_close(Encoder(network).classifier(expected), module(IMAGES), rtol=1e-5, atol=1e-6)
    else:
        assert Encoder(network).classifier is Encoder(network).projection is None


def test_normalisation_of_its_own_leaves_the_mean_colour_that_fills_take():
    module, own = small(), ((0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
    network = network_of(module, IMAGES, classifier="fc", normalise=own)
    mean, std = (torch.tensor(values)[:, None, None] for values in own)
    torch.testing.assert_close(network(IMAGES), module.features((IMAGES - mean) / std), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.mean.flatten(), IMAGES.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(network.scale, std)


def test_given_module_stays_as_it_is():
    module = small()
    before, text = {name: value.clone() for name, value in module.state_dict().items()}, repr(module)
    network = network_of(module, IMAGES, classifier="fc")
    module.conv1.weight.data.zero_()
    assert network(IMAGES).std() > 0
    assert repr(module) == text
    assert module.state_dict().keys() == before.keys()


def test_checkpoint_of_it_comes_back_equal(tmp_path):
    network = network_of(small(), IMAGES, classifier="fc", normalise=((0.1,) * 3, (0.9,) * 3))
    save_network(network, tmp_path / "model.safetensors")
    found = load_network(tmp_path / "model.safetensors", CPU)
    assert found.architecture == network.architecture
    assert torch.equal(found(IMAGES), network(IMAGES))


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam", "contrast"])
def test_it_is_explained_like_the_networks_of_the_library(method, tiny_data):
    images = torch.from_numpy(np.array(tiny_data.data.images)).float().expand(-1, 3, -1, -1) / 255
    data = type(tiny_data.data)(**{**vars(tiny_data.data), "images": (images * 255).byte().numpy()})
    encoder = Encoder(network_of(small(lambda: Small(10)), images, classifier="fc", layers=("conv1", "conv2")))
    embeddings = encoder(images)
    head = HEADS["softmax"].definition.fit(embeddings, torch.from_numpy(data.labels), 10, {}, encoder.classifier)
    run = Run(data, encoder, "none", {"softmax": head}, embeddings, torch.arange(3))
    found = explain(run, method, {"baseline": "zero"} if method == "contrast" else METHODS[method].options({}), 0)
    assert np.isfinite(found["attribution"]).all()
    assert found.attrs.get("option_layer") in (None, "conv2")


class Altered(Small):
    """The same with a change of what it returns."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, inputs):
        return self.change(self, inputs)


def altered(change):
    """A module that is like no other in what it returns: `change` of the module and its inputs."""
    return small(lambda: Altered(change))


def counting(module, inputs):
    if "calls" not in dict(module.named_buffers()):
        module.register_buffer("calls", torch.zeros(()))
    module.calls += 1
    return Small.features(module, inputs)


WRONG = {
    "not one vector": (small().conv1, {}, r"must give [image, feature]. Got [1, 8, 8, 10] for one image"),
    "several outputs": (altered(lambda self, x: (self.features(x), 1)), {}, "must give [image, feature]. Got tuple"),
    "other channels": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)), {}, "fails on images of [2, 3, 16, 20]"),
    "other size": (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), {}, "fails on images of [2, 3, 16, 20]"),
    "random in eval mode": (
        altered(lambda self, x: nn.functional.dropout(self.features(x), 0.5)),
        {},
        "gives other numbers when it is called again in eval mode",
    ),
    "weights change": (altered(counting), {}, "calls changes when it is called in eval mode (1 tensors)"),
    "depends on the batch": (
        altered(lambda self, x: self.features(x - x.mean(dim=0))),
        {},
        "the embedding of an image depends on the other images of its batch",
    ),
    "not finite": (altered(lambda self, x: self.features(x).log().log()), {}, "images are not finite"),
    "one for all": (altered(lambda self, x: self.features(x) * 0), {}, "gives every image the same embedding"),
    "no gradient": (altered(lambda self, x: self.features(x).detach()), {}, "its embedding has no gradient by the image"),
    "unknown layer": (small(), {"layers": ("convv2",), "classifier": "fc"}, "unknown layer 'convv2'. Did you mean 'conv2'?"),
    "unknown classifier": (small(), {"classifier": "fcc"}, "unknown layer 'fcc'. Did you mean 'fc'?"),
    "classifier not linear": (small(), {"classifier": "avgpool"}, "must be a linear layer with a bias. Got AdaptiveAvgPool2d"),
    "softmax behind it": (
        altered(lambda self, x: Small.forward(self, x).softmax(1)),
        {"classifier": "fc"},
        "what it returns is not its classifier's output of one embedding per image: let it return the logits, without a softmax",
    ),
    "layer used twice": (small(), {"embedding": "relu"}, "is used more than once"),
}


@pytest.mark.parametrize("case", WRONG)
def test_module_that_cannot_keep_the_contract_is_refused_in_one_line(case):
    module, told, message = WRONG[case]
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        network_of(module, IMAGES, **told)
    assert "\n" not in str(refused.value)


def test_docstring_is_true():
    assert doctest.testmod(outside).failed == 0
