"""What a network is, apart from its weights, and the checkpoint that holds both."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.names import STEMS, smallest_size
from clxai.runtime.artefacts import read_tensors, write_tensors


@dataclass(frozen=True)
class Architecture:
    """What is needed to build a network again: stem, width, size, channel statistics, classes and what sits on top.

    `top` is "classifier" or "projection"; `projection_size` is the output size of the projection head.
    """

    stem: str
    width: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    n_classes: int
    top: str
    projection_size: int = 128

    def __post_init__(self) -> None:
        """Refuse an unknown stem and images too small for the network."""
        if self.stem not in STEMS:
            raise ClxaiError(f"stem must be one of {', '.join(STEMS)}. Got {self.stem!r}")
        least = smallest_size(self.stem)
        if self.size < least:
            raise ClxaiError(f"image size must be at least {least} px for the {self.stem} stem. Got {self.size}")

    @property
    def n_features(self) -> int:
        """Size of the embedding: 8 x width."""
        return 8 * self.width

    def check_fits(self, n_classes: int, shape: Sequence[int], path: str | Path) -> None:
        """Raise ClxaiError unless this is for that number of classes and images of that shape [channel, y, x]."""
        expected, found = (self.n_classes, len(self.mean), self.size), (n_classes, shape[0], shape[1])
        if expected != found:
            raise ClxaiError(f"{path}: checkpoint for (classes, channels, size) {expected}, the data set has {found}")


def layout(width: int) -> torch.memory_format:
    """Return the memory format of a network and its inputs: channels-last where the width is a multiple of 16.

    Else contiguous: the backward pass of oneDNN's 1x1 convolution with stride 2 corrupts memory in channels-last with fewer than
    8 channels on AVX2 [uxlfoundation/oneDNN issue 6035]. It depends on the width alone, so that numbers do not on the machine.
    """
    return torch.channels_last if width % 16 == 0 else torch.contiguous_format


def write_checkpoint(tensors: Mapping[str, Tensor], architecture: Architecture, path: str | Path) -> None:
    """Write weights and architecture as safetensors."""
    write_tensors(tensors, {"kind": "network", **asdict(architecture)}, path)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], Architecture]:
    """Read weights and architecture. Raises ClxaiError if the file is no network or its weights are not finite."""
    tensors, record = read_tensors(path)
    fields = {name: value for name, value in record.items() if name != "kind"}
    if record.get("kind") != "network" or set(fields) != set(Architecture.__dataclass_fields__):
        raise ClxaiError(f"{path}: not a network (kind {record.get('kind')!r}, {len(fields)} fields)")
    if any(not torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise ClxaiError(f"{path}: weights are not finite")
    return tensors, Architecture(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})


def check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise ClxaiError if names or shapes of weights are not the expected ones: a checkpoint of another architecture."""
    has, needs = ({name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (found, expected))
    wrong = sorted(name for name in needs.keys() | has.keys() if needs.get(name) != has.get(name))
    if wrong:
        raise ClxaiError(
            f"{path}: checkpoint of another architecture: {wrong[0]} is {has.get(wrong[0], 'absent')}, "
            f"expected {needs.get(wrong[0], 'nothing')} ({len(wrong)} tensors differ)"
        )
