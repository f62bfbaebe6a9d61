import copy

import numpy as np
import pytest
import torch
from clxai.attribution import propagation
from clxai.attribution.explaining import explain
from clxai.attribution.propagation import canonised, canonizer_of, check_exact, embedding_relevance, prepared
from clxai.errors import ClxaiError
from clxai.networks.base import NETWORKS
from clxai.networks.blocks import BasicBlock
from clxai.networks.geometry import resolved
from clxai.networks.models import load_network
from clxai.registry import declared
from project import problem_of
from torch import nn
from zennit.attribution import Gradient
from zennit.canonizers import Canonizer, SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite, layer_map_base
from zennit.layer import Sum
from zennit.rules import Epsilon
from zennit.types import Convolution

HEADS = ["softmax", "linear", "knn", "mahalanobis"]
UNIT_HEADS = ["linear", "knn", "mahalanobis"]


@pytest.fixture(scope="module")
def relevance(tiny_run):
    return explain(tiny_run, "lrp", {}, 0)


@pytest.fixture
def trained(tiny_run):
    return load_network(tiny_run.checkpoint, torch.device("cpu")).backbone


RULED = [name for name, entry in declared("networks").items() if entry.semantics["lrp"] is not None]


def bias_free(name):
    """A network without any bias: its batch norms neither shift nor centre, so that it is piecewise linear."""
    torch.manual_seed(0)
    options = resolved(NETWORKS[name].options({"width": 4}), (16, 16))
    backbone = NETWORKS[name].definition(options, 2).eval().requires_grad_(False)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)
            module.weight.uniform_(0.5, 1.5)
    return backbone


@pytest.mark.parametrize("name", HEADS)
def test_relevance_is_conserved_but_for_what_biases_and_the_flat_rule_keep(relevance, name, config):
    """A network of width 4 loses more to its biases than the checks allow; each addition that is not canonised doubles it."""
    _, most = config["checks"]["lrp_conservation"]
    assert 0.1 <= float(np.median(relevance["conservation_ratio"].sel(head=name))) <= most


@pytest.mark.parametrize("name", HEADS)
def test_conservation_ratio_compares_the_map_with_the_embedding(tiny_run, relevance, name):
    start = embedding_relevance(problem_of(tiny_run, name)).sum(1).numpy()
    end = relevance["attribution"].sel(head=name).values.sum(axis=(1, 2))
    np.testing.assert_allclose(relevance["conservation_ratio"].sel(head=name), end / start, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", RULED)
def test_epsilon_rule_on_the_canonised_bias_free_network_is_input_x_gradient(network):
    """Relevance is conserved where there is no bias, and an addition that is not canonised would double it."""
    backbone, inputs = bias_free(network), torch.randn(3, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    embedding = copy.deepcopy(backbone).double()(inputs)
    direction = torch.randn_like(embedding[0])
    (gradient,) = torch.autograd.grad((embedding * direction).sum(), inputs)
    start = (embedding * direction).detach()
    composite = LayerMapComposite([(Convolution, Epsilon(epsilon=1e-14)), *layer_map_base(stabilizer=1e-14)])
    with canonised(prepared(backbone), canonizer_of(network)) as model, Gradient(model, composite) as attributor:
        _, maps = attributor(inputs.detach(), start)
    torch.testing.assert_close(maps, (inputs * gradient).detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(maps.sum(dim=(1, 2, 3)), start.sum(1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", UNIT_HEADS)
def test_relevance_through_the_norm_would_cancel_out(tiny_run, name):
    problem = problem_of(tiny_run, name)
    embeddings = tiny_run.embeddings.double().requires_grad_(True)
    points = embeddings / embeddings.norm(dim=1, keepdim=True)
    odds = problem.point_log_odds(points.float(), problem.rows).sum()
    (gradient,) = torch.autograd.grad(odds, embeddings)
    through_norm = (embeddings * gradient).detach()
    held = embedding_relevance(problem)
    assert float(through_norm.sum(1).abs().max()) < 1e-3 * float(held.abs().sum(1).max())
    assert float(held.sum(1).abs().median()) > 0.05 * float(held.abs().sum(1).median())


def test_relevance_of_the_affine_head_is_embedding_times_weight_difference(tiny_run):
    head, problem = tiny_run.heads["softmax"], problem_of(tiny_run, "softmax")
    scores = tiny_run.embeddings @ head.weight.T + head.bias
    expected = torch.empty_like(tiny_run.embeddings)
    for row, (z, s, own) in enumerate(zip(tiny_run.embeddings, scores, problem.target.tolist(), strict=True)):
        others = [c for c in range(10) if c != own]
        expected[row] = z * (head.weight[own] - s[others].softmax(0) @ head.weight[others])
    torch.testing.assert_close(embedding_relevance(problem), expected, rtol=1e-3, atol=1e-3)


def test_prepared_copy_computes_the_same_with_eps_inside_the_variance(trained):
    before, inputs = copy.deepcopy(trained.state_dict()), torch.randn(2, 1, 16, 16, dtype=torch.float64)
    copied = prepared(trained)
    torch.testing.assert_close(copied(inputs), copy.deepcopy(trained).double()(inputs), rtol=1e-12, atol=1e-12)
    assert {module.eps for module in copied.modules() if isinstance(module, nn.BatchNorm2d)} == {0.0}
    assert {module.eps for module in trained.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-5}
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


class _OwnBlock(BasicBlock):
    pass


@pytest.mark.parametrize("module", [_OwnBlock(4, 4, 1), nn.GELU()], ids=["private block", "other activation"])
def test_network_with_a_module_without_rule_is_refused(trained, module):
    trained.layer1.append(module)
    with pytest.raises(ClxaiError, match=rf"lrp has no rule for {type(module).__name__}\. Known: Conv2d, .*BasicBlock"):
        prepared(trained)


class _Nothing(Canonizer):
    def apply(self, root_module):
        return []

    def copy(self):
        return _Nothing()

    def register(self):
        pass

    def remove(self):
        pass


def test_canonising_without_sums_is_refused(trained):
    with (
        pytest.raises(ClxaiError, match="0 of 8 additions are canonised"),
        canonised(prepared(trained), SequentialMergeBatchNorm()),
    ):
        pytest.fail("the block must not run")


class _Forgetful(_Nothing):
    def apply(self, root_module):
        instances = canonizer_of("resnet18").apply(root_module)
        root_module.layer2[1].add.canonizer_sum = nn.Identity()
        return instances


def test_one_missing_sum_is_refused(trained):
    with pytest.raises(ClxaiError, match="7 of 8 additions are canonised"), canonised(prepared(trained), _Forgetful()):
        pytest.fail("the block must not run")


def test_batch_norm_that_was_not_merged_is_refused(trained):
    backbone = prepared(trained)
    backbone.layer3[0].conv2 = nn.Sequential(backbone.layer3[0].conv2, nn.ReLU())
    with (
        pytest.raises(ClxaiError, match=r"batch norm layer3\.0\.bn2 was not merged"),
        canonised(backbone, canonizer_of("resnet18")),
    ):
        pytest.fail("the block must not run")


def same_weights(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_canonising_changes_the_weights_only_inside_the_block(trained):
    backbone = prepared(trained)
    before = copy.deepcopy(backbone.state_dict())
    with canonised(backbone, canonizer_of("resnet18")):
        assert sum(isinstance(module, Sum) for module in backbone.modules()) == 8
        assert not same_weights(backbone, {**backbone.state_dict(), **before})
    assert same_weights(backbone, before)
    assert set(backbone.state_dict()) == set(before)


def test_canonising_is_undone_after_an_exception(trained):
    backbone, inputs = prepared(trained), torch.randn(2, 1, 16, 16, dtype=torch.float64)
    before, output = copy.deepcopy(backbone.state_dict()), backbone(inputs)
    with pytest.raises(KeyError), canonised(backbone, canonizer_of("resnet18")):
        raise KeyError("inside")
    assert same_weights(backbone, before)
    torch.testing.assert_close(backbone(inputs), output, rtol=0, atol=0)


@pytest.mark.parametrize("network", RULED)
def test_canonised_network_of_each_kind_is_exact_in_float64(network):
    backbone, inputs = bias_free(network), torch.randn(2, 2, 16, 16)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.normal_(std=0.3)
            module.running_mean.normal_(std=0.3)
    with canonised(prepared(backbone), canonizer_of(network)) as model:
        check_exact(backbone, model, inputs)


def test_network_without_rules_is_refused(monkeypatch):
    monkeypatch.setitem(NETWORKS["cnn"].semantics, "lrp", None)
    with pytest.raises(ClxaiError, match="lrp has no rules for network 'cnn'"):
        canonizer_of("cnn")


def test_canonised_network_is_exact_and_a_changed_one_is_not(trained):
    inputs, changed = torch.randn(2, 1, 16, 16), prepared(trained)
    with canonised(changed, canonizer_of("resnet18")) as model:
        check_exact(trained, model, inputs)
    changed.conv1.weight.data *= 1 + 1e-6
    with pytest.raises(ClxaiError, match=r"canonising changed the embedding by .*allowed 1e-09"):
        check_exact(trained, changed, inputs)


def test_lrp_raises_when_canonising_is_inexact(tiny_run, monkeypatch):
    monkeypatch.setattr(propagation, "EXACTNESS", 0.0)
    with pytest.raises(ClxaiError, match="canonising changed the embedding"):
        explain(tiny_run.at(tiny_run.index[:2].numpy()), "lrp", {}, 0)
