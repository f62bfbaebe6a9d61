"""Resume of a training, bit for bit: what one epoch leaves to the next, in a side file beside the outputs.

Kept are the weights and buffers, the state of the optimiser, the kept epoch so far and the history. There is no state of random
numbers to keep: the order of the images and their augmentation are keyed by (purpose, seed, epoch), the first weights by the
seed; losses draw nothing, validation nothing that it uses, and the learning rate is a function of the epoch. A training loop
that comes to carry more has to keep it here.

The file is not an output of its rule: Snakemake deletes the outputs of failed jobs. It is used only if it is intact and has the
same fingerprint (recipe, seed, start, data, code, PyTorch, device, threads); else it is ignored, in words.
"""

import copy
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError, some_of
from clxai.networks.architecture import all_finite
from clxai.runtime.artefacts import read_tensors, write_tensors
from clxai.runtime.devices import describe

PAUSE = 20.0  # least time between two saves, in multiples of what one takes: at most 5 % of a training
_ROWS = 4096  # images hashed at a time
_NAMED = 4  # differences that are named; the others are counted


@runtime_checkable
class Result(Protocol):
    """What a training has found: the kept network, its epoch and validation accuracy, one row per epoch.

    And what decides it: recipe, seed, and the record of the model that it starts from.
    """

    network: nn.Module
    epoch: int
    val_accuracy: float
    history: list[dict[str, float]]
    recipe: Mapping[str, Any]
    seed: int
    start: Mapping[str, Any]


@dataclass(frozen=True)
class SideFile:
    """Where a training keeps its state, the code that decides what the state means, and how rarely it is saved."""

    path: Path
    code: tuple[str, ...] = ()
    pause: float = PAUSE

    @classmethod
    def beside(cls, output: str | Path, code: Sequence[str]) -> "SideFile":
        """Return the side file of the training that writes `output`."""
        return cls(Path(output).parent / ".state" / "training.safetensors", tuple(code))

    def remove(self) -> None:
        """Delete the state, and what killed processes left of unfinished ones: for when the outputs are written."""
        for file in (self.path, *self.path.parent.glob(f".{self.path.name}.*")):
            file.unlink(missing_ok=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


@dataclass
class Progress:
    """A training on its way. Without a side file it starts afresh and saves nothing."""

    side: SideFile | None
    fingerprint: Mapping[str, Any]
    network: nn.Module
    optimiser: torch.optim.Optimizer
    result: Result
    saved_epoch: int = 0
    saved_at: float = 0.0
    took: float = 0.0

    def resume(self) -> int:
        """Put everything back as it was after the last saved epoch and return that epoch; 0 if there is nothing to resume.

        Prints the history and the epoch, or why a state is ignored.
        """
        if self.side is None or not self.side.path.exists():
            return 0
        try:
            tensors, record = _read_fitting(self.side.path, self.fingerprint)
        except ClxaiError as error:
            print(f"the saved state is ignored and training starts afresh: {error}", flush=True)
            return 0
        self._restore(tensors, record)
        for row in self.result.history:
            print(row_in_words(row))
        print(f"resuming after epoch {self.saved_epoch} of {self.result.recipe['epochs']}, from {self.side.path}", flush=True)
        return self.saved_epoch

    def save(self, epoch: int) -> None:
        """Save the state after an epoch: not too often, but after the last one; never weights that are not finite."""
        started = time.monotonic()
        too_soon = started - self.saved_at < self.took * (self.side.pause if self.side else 0.0)
        if self.side is None or (too_soon and epoch < self.result.recipe["epochs"]) or not all_finite(self.network.state_dict()):
            return
        tensors = {**_prefixed("network", self.network.state_dict()), **self._optimiser_tensors()}
        if self.result.epoch not in (0, epoch):  # 0: not validated yet; the current network is not stored twice
            tensors |= _prefixed("best", self.result.network.state_dict())
        record = {"done": epoch, "best": self.result.epoch, "val_accuracy": self.result.val_accuracy}
        history = [list(row.items()) for row in self.result.history]  # pairs: records sort their keys, columns have an order
        state = {**record, "history": history, "fingerprint": self.fingerprint}
        write_tensors(tensors, {"training": state}, self.side.path)
        self.saved_epoch, self.saved_at = epoch, time.monotonic()
        self.took = self.saved_at - started

    def kept(self) -> str:
        """Say which state is kept, as the end of an error's message; nothing if none is."""
        return f"; the state after epoch {self.saved_epoch} is kept in {self.side.path}" if self.side and self.saved_epoch else ""

    def _optimiser_tensors(self) -> dict[str, Tensor]:
        named = [(name, self.optimiser.state.get(parameter, {})) for name, parameter in self.network.named_parameters()]
        tensors = {name: {key: value for key, value in state.items() if torch.is_tensor(value)} for name, state in named}
        return {f"optimiser/{name}/{key}": value for name, state in tensors.items() for key, value in state.items()}

    def _restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        self.network.load_state_dict(_under("network", tensors))
        state = {
            number: {key: _laid_out_as(parameter, value) for key, value in _under(f"optimiser/{name}", tensors).items()}
            for number, (name, parameter) in enumerate(self.network.named_parameters())
        }
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": {n: own for n, own in state.items() if own}, "param_groups": groups})
        result = self.result
        result.epoch, result.val_accuracy = record["best"], record["val_accuracy"]
        result.history = [dict(pairs) for pairs in record["history"]]
        if result.epoch:
            result.network = copy.deepcopy(self.network)
            result.network.load_state_dict(_under("network" if result.epoch == record["done"] else "best", tensors))
        self.saved_epoch, self.saved_at = record["done"], time.monotonic()


def follow(
    side: SideFile | None,
    data: ImageData,
    device: torch.device,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    result: Result,
) -> Progress:
    """Return the progress of a training that is about to start: call `resume` before the first epoch, `save` after each."""
    mark = {} if side is None else fingerprint(data, result, device, side.code)
    return Progress(side, mark, network, optimiser, result)


def fingerprint(data: ImageData, result: Result, device: torch.device, code: Sequence[str]) -> dict[str, Any]:
    """Return all that decides the numbers of a training, flat and readable: recipe keys, seed, start, digests, PyTorch, device.

    The data are hashed whole: that reads them once, as every epoch does. On the CPU, instruction set and threads count, since
    they change the order of sums.
    """
    mark = {
        **{f"recipe key {name}": value for name, value in result.recipe.items()},
        "seed": result.seed,
        "start": dict(result.start),
        "data set": _digest_of(data),
        "PyTorch": torch.__version__,
        "device": describe(device) if device.type == "cpu" else device.type,
        **{f"code {'/'.join(Path(file).parts[-2:])}": hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in code},
    }
    return json.loads(json.dumps(mark))  # as it is read again: tuples are lists


def row_in_words(row: Mapping[str, float | int]) -> str:
    """Return a row of the history as one line of the log."""
    return " ".join(f"{name} {value:.6g}" for name, value in row.items())


def _digest_of(data: ImageData) -> str:
    digest = hashlib.sha256(json.dumps([data.images.shape, data.mean, data.std, data.class_names]).encode())
    for array in (data.labels, data.split, *(data.images[start : start + _ROWS] for start in range(0, len(data.images), _ROWS))):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _read_fitting(path: Path, mark: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and record of a state. Raises ClxaiError if it is damaged or of another training."""
    tensors, stored = read_tensors(path)
    record = stored.get("training", {})
    saved = record.get("fingerprint", {})
    differing = sorted(name for name in saved.keys() | mark.keys() if saved.get(name) != mark.get(name))
    if differing:
        raise ClxaiError(f"{path}: saved with another {some_of(differing, _NAMED)}")
    return tensors, record


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a state of the optimiser on the device and in the memory format of its parameter, as the optimiser makes it."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
