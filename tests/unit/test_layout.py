"""No width reaches a broken convolution kernel: every gradient is that of float64, on the CPU as it is and on AVX2."""

import os
import subprocess
import sys

import pytest
import torch
from clxai.networks.base import NETWORKS

_PROGRAM = """
import copy, sys, torch
from torch import nn
from clxai.networks.architecture import Architecture
from clxai.networks.inference import Encoder
from clxai.networks.models import Network

def gradients(module, images):
    images = images.clone().requires_grad_(True)
    parameters = [images, *module.parameters()]
    output = module(images)
    return torch.autograd.grad(output.square().sum(), parameters)

network_name, widths = sys.argv[1], [int(width) for width in sys.argv[2:]]
for width in widths:
    torch.manual_seed(width)
    network = Network(Architecture(network_name, {"width": width}, (16, 16), (0.5,) * 3, (0.25,) * 3, 5, "classifier")).eval()
    for module in (network.backbone, Encoder(network).backbone):
        module.requires_grad_(True)
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.ReLU):
                    setattr(parent, name, nn.Softplus())
        images = torch.randn(3, 3, 16, 16)
        expected = gradients(copy.deepcopy(module).double(), images.double())
        module.to(memory_format=module.layout)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for given in (torch.contiguous_format, torch.channels_last):
                for found, exact in zip(gradients(module, images.contiguous(memory_format=given)), expected, strict=True):
                    assert (found - exact).norm() <= 1e-3 * exact.norm() + 1e-6, (width, threads, given, exact.shape)
"""


_WIDTHS = {"resnet18": (1, 2, 3, 4, 6, 8, 12, 16), "resnet50": (1, 3, 4, 8, 16), "cnn": (1, 3, 4, 8, 16)}


_SLOW = pytest.mark.campaign  # the deepest network takes as long as the others together
_AVX2 = pytest.param(
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    marks=pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "AVX2", reason="the CPU as it is has AVX2 and no more"),
)


@pytest.mark.parametrize("path", [{}, _AVX2], ids=["own", "avx2"])
@pytest.mark.parametrize("network", [pytest.param(name, marks=_SLOW if name == "resnet50" else ()) for name in NETWORKS])
def test_every_gradient_is_that_of_float64_at_every_small_width(network, path):
    command = [sys.executable, "-c", _PROGRAM, network, *map(str, _WIDTHS[network])]
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
