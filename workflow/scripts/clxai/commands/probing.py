"""How fast one core of this machine is with a network: a probe of seconds, in CPU time, since others may use the machine too."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clxai.planning.estimating import Rates
from clxai.planning.work import Network

if TYPE_CHECKING:  # imported where it is used, so that `clxai --help` is quick
    import torch
    from torch import nn

REFERENCE_FLOP = 42e9  # a second of one AVX2 core in float32, as probed with width 16; 59e9 at width 64 (docs/performance.md)
REFERENCE_START = 3.2  # CPU seconds of such a core until a job computes
_SECONDS = 2.0  # that a probe takes at least, warm-up not counted
_FORWARD, _STEP = 2e10, 1e10  # FLOP of a probed batch: some tenths of a second
_MOST = 128  # images of a batch
_STARTED = "import clxai.attribution.explaining, clxai.runs, clxai.runtime.artefacts"


def probe(network: Network) -> Rates:
    """Return the rates of one core with a network of random weights, on which the time of a pass does not depend."""
    import torch

    from clxai.networks.inference import Encoder

    torch.set_num_threads(1)
    trained = _built(network)
    flop, held = _counted(trained)
    few, some = (int(min(_MOST, max(2, budget / flop))) for budget in (_STEP, _FORWARD))
    encoder = Encoder(trained)
    with torch.no_grad():
        forward = _rate(lambda: encoder(torch.rand(some, network.channels, *network.size)), some)
    step = _rate(lambda: _step(trained, torch.rand(few, network.channels, *network.size)), few)
    return Rates(forward, step, flop, held, _weights(trained), trained.n_features)


def reference(network: Network) -> Rates:
    """Return the rates of one core of the reference machine, by the FLOP alone: nothing is timed."""
    trained = _built(network)
    flop, held = _counted(trained)
    return Rates(REFERENCE_FLOP / flop, REFERENCE_FLOP / (3 * flop), flop, held, _weights(trained), trained.n_features)


def start_up() -> float:
    """Return the CPU seconds of a job before it computes: the start of Python and the imports."""
    import psutil

    before = psutil.Process().cpu_times()
    subprocess.run([sys.executable, "-c", _STARTED], check=True)
    after = psutil.Process().cpu_times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _built(network: Network) -> "nn.Module":
    """Return a network with random weights and a classifier, as it is trained."""
    from clxai.networks.architecture import Architecture
    from clxai.networks.models import Network as Trained

    values = (0.5,) * network.channels
    architecture = Architecture(network.name, dict(network.options), network.size, values, values, network.classes, "classifier")
    trained = Trained(architecture)
    return trained.to(memory_format=trained.backbone.layout)


def _weights(network: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _step(network: "nn.Module", images: "torch.Tensor") -> None:
    network.train()
    network.zero_grad(set_to_none=True)
    network.outputs(images).square().mean().backward()


def _counted(network: "nn.Module") -> tuple[float, float]:
    """Return the FLOP of a forward pass of one image, and the bytes that a training step keeps of it: all that modules make."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    kept = 0

    def note(module: "nn.Module", inputs: object, output: "torch.Tensor") -> None:
        nonlocal kept
        kept += output.numel() * output.element_size()

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    image = torch.zeros(1, len(network.mean), *network.architecture.shape)
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network.outputs(image)
    for hook in hooks:
        hook.remove()
    return float(flops.get_total_flops()), float(kept)


def _rate(call: Callable[[], object], images: int) -> float:
    """Return how many images a call treats in a CPU second."""
    call()
    began, calls = time.process_time(), 0
    while time.process_time() - began < _SECONDS or calls < 2:
        call()
        calls += 1
    return calls * images / (time.process_time() - began)
