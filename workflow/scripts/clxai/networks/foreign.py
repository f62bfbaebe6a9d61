"""What is done to a module from outside so that it keeps the contract of the family, by what its declaration says of it.

The embedding is read off a submodule, or is what its classifier takes, and that classifier becomes the network's top. Names of
weights and layers stay. Its batch norms are not folded and its ReLUs do not work in place, since nothing is known of what it does
with them.
"""

from typing import Any

import torch
from torch import Tensor, nn

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.architecture import Architecture
from clxai.networks.base import NETWORKS
from clxai.registry import is_own

MODULE = "module "  # begins the name of a module that was given as it is


def is_outside(name: str) -> bool:
    """Say whether a network is a user's own: a member in a file outside the library, or a module that was given as it is."""
    return is_own(name) or name.startswith(MODULE)


def taken_in(module: Any, architecture: Architecture) -> tuple[nn.Module, nn.Linear | None]:
    """Return a user's module as a backbone, a module from normalised images to embeddings, and its classifier, taken out of it.

    What its declaration calls embedding and classifier is done to it. Raises ClxaiError if it is no module, if it has none of
    these or not the declared layers, if the classifier is no linear layer for the classes of the data, if the module fails on
    images of that shape, or if it does more with its embedding than to classify it.
    """
    name, says = architecture.network, NETWORKS[architecture.network].semantics
    if not isinstance(module, nn.Module):
        raise ClxaiError(f"network {name!r} must return a torch.nn.Module. Got {type(module).__name__}")
    for layer in says["layers"]:
        submodule(module, layer, name)
    shape = (2, len(architecture.mean), *architecture.shape)
    probe = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    was_training, before = module.training, _tried(module.eval(), probe, name)
    classifier = None if says["classifier"] is None else _taken_out(module, says["classifier"], architecture)
    if says["embedding"] is not None:
        submodule(module, says["embedding"], name).register_forward_hook(_keep)
        module.embedding_layer = says["embedding"]
        module.register_forward_pre_hook(_forget)
        module.register_forward_hook(_hand_over)
    after = _tried(module, probe, name)
    if classifier is not None:
        _check_classifies(classifier, after, before, name)
    _not_in_place(module, probe, after)
    return module.train(was_training), classifier if architecture.top == "classifier" else None


def submodule(module: nn.Module, name: str, network: str) -> nn.Module:
    """Return a submodule by its name. Raises ClxaiError, with the nearest name, if there is none."""
    known = dict(module.named_modules())
    known.pop("")
    if name not in known:
        raise ClxaiError(f"network {network!r}: {unknown_name('layer', name, known)}")
    return known[name]


@torch.no_grad()
def _tried(module: nn.Module, probe: Tensor, name: str) -> Any:
    """Return what a module makes of images. Raises ClxaiError, naming their shape, if it fails or is not the same again."""
    try:
        found, again = module(probe), module(probe)
    except ClxaiError:
        raise
    except Exception as error:
        words = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ClxaiError(f"network {name!r} fails on images of {list(probe.shape)}: {words}") from error
    if isinstance(found, Tensor) and not torch.equal(found.nan_to_num(), again.nan_to_num()):
        raise ClxaiError(
            f"network {name!r} gives other numbers when it is called again in eval mode: it must not draw random ones, "
            "nor change its weights"
        )
    return found


def _taken_out(module: nn.Module, name: str, architecture: Architecture) -> nn.Linear:
    """Return a module's classifier and put the identity into its place. Raises ClxaiError unless it is one for these classes."""
    found, network = submodule(module, name, architecture.network), architecture.network
    if type(found) is not nn.Linear or found.bias is None:
        kind = f"{type(found).__name__}{'' if getattr(found, 'bias', None) is not None else ' without a bias'}"
        raise ClxaiError(f"network {network!r}: classifier {name!r} must be a linear layer with a bias. Got {kind}")
    if architecture.top == "classifier" and found.out_features != architecture.n_classes:
        raise ClxaiError(
            f"network {network!r}: classifier {name!r} is for {found.out_features} classes, the data set has "
            f"{architecture.n_classes}: take loss none, which leaves it out"
        )
    module.set_submodule(name, nn.Identity())
    return found


@torch.no_grad()
def _check_classifies(classifier: nn.Linear, embeddings: Any, logits: Any, name: str) -> None:
    """Raise ClxaiError unless a module's own output is its classifier's, of embeddings."""
    fits = (
        all(isinstance(one, Tensor) and one.ndim == 2 for one in (embeddings, logits))
        and embeddings.shape[1] == classifier.in_features
    )
    if not fits or not torch.allclose(classifier(embeddings), logits, rtol=1e-4, atol=1e-5 * float(logits.abs().max())):
        raise ClxaiError(
            f"network {name!r}: what it returns is not its classifier's output of one embedding per image: "
            "let it return the logits, without a softmax, or declare no classifier"
        )


def _forget(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Drop what a pass that failed has left behind: a hook, free of closures as the others, so that copies keep working."""
    module.get_submodule(module.embedding_layer).__dict__.pop("embedding_output", None)


def _keep(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep the output of a layer until the module hands it over: a hook."""
    if "embedding_output" in layer.__dict__:
        raise ClxaiError("the layer that is declared as the embedding is used more than once: name one that is used once")
    layer.embedding_output = output


def _hand_over(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    """Return the embedding that was kept instead of the module's output, trailing axes of length 1 dropped: a hook."""
    layer = module.get_submodule(module.embedding_layer)
    embedding = layer.__dict__.pop("embedding_output", None)
    while isinstance(embedding, Tensor) and embedding.ndim > 2 and embedding.shape[-1] == 1:
        embedding = embedding.squeeze(-1)
    return embedding


def _not_in_place(module: nn.Module, probe: Tensor, expected: Any) -> None:
    """Let activations work out of place, as attribution hooks need it, unless the module relies on what they overwrite."""
    changed = [inner for inner in module.modules() if getattr(inner, "inplace", False) is True]
    for inner in changed:
        inner.inplace = False
    with torch.no_grad():
        found = module(probe)
    if not (isinstance(found, Tensor) and isinstance(expected, Tensor) and torch.equal(found, expected)):
        for inner in changed:
            inner.inplace = True
