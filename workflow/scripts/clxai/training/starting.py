"""Models from models: a network takes over the trained weights of another, and some of its parts are drawn anew."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.networks.architecture import Architecture, read_checkpoint
from clxai.networks.base import NETWORKS
from clxai.networks.models import Network
from clxai.networks.weights import bring
from clxai.runtime.integrity import file_digest


def start_from(
    network: Network, path: str | Path | None, randomise: Sequence[str], seed: int, brought: bool = False
) -> dict[str, Any]:
    """Give a network the weights of the checkpoint at `path`, draw the parts in `randomise` anew, and return the record of it.

    The backbone is taken over whole, with the running statistics of its batch norms; the top where its kind and shapes agree,
    else the network keeps its own first weights there. The record has the checkpoint's SHA-256 and where the top comes from;
    without a checkpoint it is empty. `brought`: the file is a user's, see `networks.weights`.

    Raises ClxaiError if the file is of another network.
    """
    if path is None:
        return {}
    taken = {"start_top": bring(network, path)} if brought else _take_over(network, path)
    _draw_anew(network, randomise, seed)
    return {"start_sha256": file_digest(path), **taken}


def _take_over(network: Network, path: str | Path) -> dict[str, str]:
    tensors, architecture = read_checkpoint(path)
    _check_same(architecture, network.architecture, path)
    own = network.state_dict()
    keeps_top = _shapes(tensors, "top.") == _shapes(own, "top.")
    network.load_state_dict({**own, **{name: value for name, value in tensors.items() if keeps_top or not _is_top(name)}})
    return {"start_top": "taken over" if keeps_top else "new"}


def part_of(name: str, layers: Iterable[str]) -> str:
    """Return the part of a network that a tensor belongs to: `top`, a layer of the backbone, or `stem`, all else."""
    if _is_top(name):
        return "top"
    return next((layer for layer in layers if name.startswith(f"backbone.{layer}.")), "stem")


def _check_same(found: Architecture, expected: Architecture, path: str | Path) -> None:
    """Raise ClxaiError unless two networks are the same but for what sits on top."""
    alike = replace(found, top=expected.top, projection_size=expected.projection_size)
    if alike != expected:
        differing = next(name for name in vars(expected) if getattr(alike, name) != getattr(expected, name))
        raise ClxaiError(
            f"{path}: the start is another network: {differing} {getattr(found, differing)}, "
            f"expected {getattr(expected, differing)}"
        )


def _draw_anew(network: Network, parts: Sequence[str], seed: int) -> None:
    """Re-initialise parts of a network, batch norms too.

    The weights are those of one network drawn from (seed) alone, so that a part gets the same ones whatever is drawn beside it,
    as a cascade needs; they are not those that the parent's training began with.
    """
    if not parts:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("randomised weights", seed))
        fresh = Network(network.architecture).state_dict()
    layers = NETWORKS[network.architecture.network].semantics["layers"]
    drawn = {name: value for name, value in fresh.items() if part_of(name, layers) in parts}
    network.load_state_dict({**network.state_dict(), **drawn})


def _is_top(name: str) -> bool:
    return name.startswith("top.")


def _shapes(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if name.startswith(prefix)}
