"""What an explanation costs, against closed forms and against the counter of PyTorch."""

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS
from clxai.attribution.costing import counted_products, of_one_pass
from clxai.attribution.explaining import explain
from clxai.runtime.memory import AT_ONCE, Most
from project import affine_problem, problem_of
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize(
    ("module", "shape", "products"),
    [(nn.Linear(3, 5), (4, 3), 4 * 3 * 5), (nn.Conv2d(2, 6, 3, padding=1, groups=2), (1, 2, 7, 7), 7 * 7 * 6 * 9)],
    ids=["linear", "convolution"],
)
def test_forward_counts_once_and_each_gradient_once_more(module, shape, products):
    frozen = module.requires_grad_(False)
    inputs = torch.rand(shape, requires_grad=True)
    with counted_products() as counted:
        output = frozen(inputs)
        assert counted.total == products
        torch.autograd.grad(output.sum(), inputs)
        assert counted.total == 2 * products, "weights are frozen: no gradient by them"
    frozen(inputs)
    assert counted.total == 2 * products, "nothing is counted any more"


def test_functions_are_put_back_after_an_error():
    before = functional.conv2d, functional.linear
    with pytest.raises(ZeroDivisionError), counted_products():
        raise ZeroDivisionError
    assert (functional.conv2d, functional.linear) == before


@pytest.mark.parametrize("name", ["lrp", "ablation_cam", "grad_cam"])
def test_count_is_that_of_pytorch_also_for_changed_copies_and_parts_of_the_network(few, name):
    """PyTorch counts two operations a multiplication, below autograd, also what this counter leaves out: the search of heads."""
    problem, entry = problem_of(few, "softmax"), METHODS[name]
    with counted_products() as counted:
        entry.definition(problem, entry.options({}))
    with FlopCounterMode(display=False) as flops:
        entry.definition(problem, entry.options({}))
    assert counted.total == pytest.approx(flops.get_total_flops() / 2, rel=1e-3)


PASSES = {  # forward passes an image; a gradient is two, forward and backward
    "random": ({}, 0),
    "saliency": ({}, 2),
    "smoothgrad": ({"samples": 5}, 10),
    "integrated_gradients": ({"steps": 8, "most_steps": 8}, 2 * 8 + 4),
    "occlusion": ({"window": 8, "stride": 8}, 4 + 1),
    "eigen_cam": ({}, 1),
}


@pytest.mark.parametrize("name", PASSES)
def test_passes_of_a_method_are_stored_for_each_head(few, name):
    options, passes = PASSES[name]
    found = explain(few, name, options, 0)["forward_equivalents"]
    assert found.dims == ("head",)
    assert found.values == pytest.approx([passes] * 4, rel=0.01)  # what heads compute comes on top


def test_passes_do_not_depend_on_the_batch(few, monkeypatch):
    expected = explain(few, "smoothgrad", {"samples": 5}, 0)["forward_equivalents"].values
    monkeypatch.setitem(AT_ONCE, "explained", Most(2, 16))
    np.testing.assert_allclose(explain(few, "smoothgrad", {"samples": 5}, 0)["forward_equivalents"].values, expected, rtol=1e-6)


def test_network_without_products_costs_one_a_pass():
    assert of_one_pass(affine_problem()[0].encoder) == 1
