"""What a network is, apart from its weights, and the checkpoint that holds both."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.base import NETWORKS
from clxai.networks.geometry import check_side, check_stem, resolved
from clxai.runtime.artefacts import read_tensors, write_tensors


@dataclass(frozen=True)
class Architecture:
    """What is needed to build a network again: member and options, image shape, channel statistics, classes and what sits on top.

    `shape` is [y, x] in pixels. `options` may be given in part: the defaults are filled in, and a stem `auto` is resolved by the
    smaller side. `mean` and `std` are those of the training images; a network that was trained on others is given images that are
    normalised by its own, `normalise`, a pair (mean, std). `top` is "classifier", "projection" or "nothing"; `projection_size` is
    the output size of the projection head.
    """

    network: str
    options: Mapping[str, Any]
    shape: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    n_classes: int
    top: str
    projection_size: int = 128
    normalise: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        """Complete the options. Raises ClxaiError on an unknown network, option or stem, and on images that are too small."""
        entry = NETWORKS[self.network]
        for name in self.options:
            if name not in entry.semantics["options"]:
                raise ClxaiError(f"network {self.network!r}: {unknown_name('option', name, entry.semantics['options'])}")
        options = entry.options(self.options)
        check_stem(entry.semantics, options, f"network {self.network!r}")
        check_side(self.network, entry.semantics, options, self.shape, "images")
        channels, needed = len(self.mean), entry.semantics["channels"]
        if needed not in (None, channels):
            raise ClxaiError(f"network {self.network!r} takes images of {needed} channels. The data set has {channels}")
        if self.normalise is not None and {len(values) for values in self.normalise} != {channels}:
            raise ClxaiError(f"network {self.network!r}: normalise needs a mean and a std for each of {channels} channels")
        object.__setattr__(self, "options", resolved(options, self.shape))

    def check_fits(self, n_classes: int, shape: Sequence[int], path: str | Path) -> None:
        """Raise ClxaiError unless this is for that number of classes and images of that shape [channel, y, x]."""
        expected, found = (self.n_classes, len(self.mean), *self.shape), (n_classes, *shape)
        if expected != found:
            raise ClxaiError(f"{path}: checkpoint for (classes, channels, height, width) {expected}, the data set has {found}")


def layout(backbone: nn.Module) -> torch.memory_format:
    """Return the memory format of a backbone and its inputs: channels-last if all its widths are multiples of 16.

    Else contiguous: the backward pass of oneDNN's 1x1 convolution with stride 2 corrupts memory in channels-last with fewer than
    8 channels on AVX2 [uxlfoundation/oneDNN issue 6035]. It depends on widths alone, so that numbers do not on the machine.
    """
    widths = (module.out_channels for module in backbone.modules() if isinstance(module, nn.Conv2d))
    return torch.channels_last if all(width % 16 == 0 for width in widths) else torch.contiguous_format


def write_checkpoint(tensors: Mapping[str, Tensor], architecture: Architecture, path: str | Path) -> None:
    """Write weights and architecture as safetensors."""
    fields = {name: value for name, value in asdict(architecture).items() if (name, value) != ("normalise", None)}
    write_tensors(tensors, {"kind": "network", **fields}, path)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], Architecture]:
    """Read weights and architecture. Raises ClxaiError if the file is no network or its weights are not finite."""
    tensors, record = read_tensors(path)
    fields = {name: _tuples(value) for name, value in record.items() if name != "kind"}
    if record.get("kind") != "network" or {"normalise", *fields} != set(Architecture.__dataclass_fields__):
        raise ClxaiError(f"{path}: not a network (kind {record.get('kind')!r}, {len(fields)} fields)")
    if not all_finite(tensors):
        raise ClxaiError(f"{path}: weights are not finite")
    return tensors, Architecture(**fields)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether every number of some tensors is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point())


def check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise ClxaiError if names or shapes of weights are not the expected ones: a checkpoint of another architecture."""
    has, needs = ({name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (found, expected))
    wrong = sorted(name for name in needs.keys() | has.keys() if needs.get(name) != has.get(name))
    if wrong:
        raise ClxaiError(
            f"{path}: checkpoint of another architecture: {wrong[0]} is {has.get(wrong[0], 'absent')}, "
            f"expected {needs.get(wrong[0], 'nothing')} ({len(wrong)} tensors differ)"
        )
