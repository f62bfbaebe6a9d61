"""Weights that a user brings in a file: read without running code, and fitted to a network by their names.

A file is safetensors, or what `torch.save` wrote of a state dict, alone or in a dict as trainers write it. Names are read without
what wraps the network: `module.` and `_orig_mod.` wherever they stand, then one of `encoder.`, `backbone.`, `model.`, `network.`,
`net.` before all of them; `shortcut.` is `downsample.`. The network's own weights must then all be there, and nothing else but
what sits on it: names that begin with `fc.`, `linear.`, `classifier.`, `head.`, `projector.`, `projection_head.` or `top.`.
"""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.architecture import all_finite, check_shapes
from clxai.networks.base import NETWORKS
from clxai.networks.models import Network
from clxai.runtime.artefacts import existing

_INSIDE = ("state_dict", "model", "model_state_dict", "network", "net")  # where trainers keep the state dict
_WRAPPERS = ("module.", "_orig_mod.")  # of torch's DataParallel and compile
_BEFORE = ("", "encoder.", "backbone.", "model.", "network.", "net.")
_TOPS = ("fc.", "linear.", "classifier.", "head.", "projector.", "projection_head.", "top.")
_COUNTER = "num_batches_tracked"  # of batch norms: of no use here, and absent in old files
_OWN = ("mean", "std")  # channel statistics that a checkpoint of this library has besides


def bring(network: Network, path: str | Path) -> str:
    """Give a network the weights of a user's file; return whether its top is "taken over" or "left out".

    A classifier or a projection is taken over where the network has one, and must be of its shape.

    Raises ClxaiError if the file is missing, holds code, or is of another network.
    """
    tensors = read_weights(path)
    _check_statistics(network, tensors, path)
    expected = {name: value for name, value in network.state_dict().items() if name.startswith(("backbone.", "top."))}
    found, tops = _backbone(tensors, network, path)
    found |= _top(tops, network, path)
    found |= {name: value for name, value in expected.items() if name.endswith(_COUNTER) and name not in found}
    check_shapes(found, expected, path)
    if not all_finite(found):
        raise ClxaiError(f"{path}: weights are not finite")
    network.load_state_dict({**network.state_dict(), **found})
    return "left out" if network.architecture.top == "nothing" else "taken over"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a user's file by name. Raises ClxaiError if it is missing, is no such file, or holds code."""
    path = existing(path)
    is_safe = path.suffix == ".safetensors"
    try:
        content = load_file(path) if is_safe else _unpickled(path)
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        code = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        reason = f"it holds {code[1]}, and code is never run" if code else (str(error).splitlines() or [""])[0]
        advice = "" if is_safe else ": store module.state_dict()"
        raise ClxaiError(f"{path}: not readable as weights alone ({reason}){advice}") from error
    return _state(content, path)


def _unpickled(path: Path) -> object:
    # The options of a run, which SupContrast's checkpoints hold: a plain container.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _state(content: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict in what a file holds: the content itself, or one of its entries."""
    places = [content, *(content.get(name) for name in _INSIDE)] if isinstance(content, Mapping) else []
    for place in places:
        if isinstance(place, Mapping) and place and all(isinstance(value, Tensor) for value in place.values()):
            return dict(place)
    found = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
    raise ClxaiError(f"{path}: holds no state dict, nor one as {', '.join(_INSIDE)}. Found {found or 'nothing'}")


def _check_statistics(network: Network, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Take the channel statistics out of a checkpoint of this library; raise ClxaiError if the network normalises by others."""
    if not all(name.startswith(("backbone.", "top.", *_OWN, "own_")) for name in tensors):
        return
    given = {name: tensors.pop(name, None) for name in (*_OWN, *(f"own_{name}" for name in _OWN))}
    stored = [given[name] if given[f"own_{name}"] is None else given[f"own_{name}"] for name in _OWN]
    used = network.architecture.normalise or (network.architecture.mean, network.architecture.std)
    if any(one is None for one in stored):
        return
    if any(not torch.allclose(one.flatten(), torch.tensor(own), rtol=1e-4) for one, own in zip(stored, used, strict=True)):
        pair = [[round(float(value), 6) for value in values.flatten()] for values in stored]
        raise ClxaiError(f"{path}: was trained on images that were normalised by others than these: set `normalise: {pair}`")


def _backbone(tensors: Mapping[str, Tensor], network: Network, path: str | Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the backbone by the network's names for them, and the others by their bare ones.

    Raises ClxaiError, with what is nearest, if a weight of the backbone is not there.
    """
    own = set(network.backbone.state_dict())
    needed = [name for name in network.backbone.state_dict() if not name.endswith(_COUNTER)]
    read = [{_bare(name, before, own): name for name in tensors} for before in _BEFORE]
    names = min(read, key=lambda names: sum(name not in names for name in needed))
    missing = [name for name in needed if name not in names]
    if missing:
        raise ClxaiError(
            f"{path}: {len(missing)} of {len(needed)} weights of network {network.architecture.network!r} are missing: "
            f"{unknown_name('name of a weight', missing[0], _few(names, missing[0]))}"
        )
    found = {f"backbone.{name}": tensors[there] for name, there in names.items() if name in own}
    return found, {name: tensors[there] for name, there in names.items() if name not in own}


def _bare(name: str, before: str, own: Iterable[str]) -> str:
    """Return a name without what wraps the network, and with the network's own word for a shortcut."""
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper).replace(f".{wrapper}", ".")
    bare = name.removeprefix(before)
    return bare if bare in own else bare.replace("shortcut.", "downsample.")


def _few(names: Iterable[str], like: str) -> list[str]:
    """Return some names, those of the same layer first."""
    layer = like.partition(".")[0]
    return sorted(names, key=lambda name: (not name.startswith(layer), name))[:8]


def _top(tensors: Mapping[str, Tensor], network: Network, path: str | Path) -> dict[str, Tensor]:
    """Return the weights of what sits on the embedding by the network's names; those of other tops are left out.

    Raises ClxaiError if there are none or several that fit, and on names that are of no top.
    """
    classifier = NETWORKS[network.architecture.network].semantics["classifier"]
    known = (*_TOPS, *([f"{classifier}."] if classifier else []))
    unknown = [name for name in tensors if not name.startswith(known)]
    if unknown:
        raise ClxaiError(
            f"{path}: {unknown[0]} is no weight of network {network.architecture.network!r}, nor of what sits on it "
            f"({', '.join(known)}): {len(unknown)} such names"
        )
    own = [name.removeprefix("top.") for name in network.state_dict() if name.startswith("top.")]
    starts = [start for start in dict.fromkeys(known) if {f"{start}{name}" for name in own} <= set(tensors)]
    if own and len(starts) != 1:
        raise ClxaiError(
            f"{path}: needed is one {network.architecture.top}, {', '.join(own)} behind one of {', '.join(known)}. Found "
            f"{', '.join(sorted(tensors)[:6]) or 'none'}: with `loss: none` what sits on the embedding is left out"
        )
    return {f"top.{name}": tensors[f"{starts[0]}{name}"] for name in own}
