"""A network from outside: any torch module with an embedding, as a network of this library.

    network_of(module, images, classifier="fc", layers=("layer4",))

The module stays what it is: the names of its weights and layers are its own. `foreign` says what is done to it.
"""

import copy
from collections.abc import Sequence
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clxai.errors import ClxaiError
from clxai.networks.architecture import Architecture, all_finite
from clxai.networks.base import NETWORKS
from clxai.networks.foreign import MODULE, submodule
from clxai.networks.models import Network
from clxai.registry import Entry, fill_keywords

_NUMBERS = count(1)
_BATCH_TOLERANCE = 1e-3  # of the largest value of an embedding: what the order of sums in another batch size may change
PROBED = 4  # images that a network is tried on


def network_of(
    module: nn.Module,
    images: Float[Tensor, "image channel y x"],
    *,
    embedding: str | None = None,
    classifier: str | None = None,
    layers: Sequence[str] = (),
    normalise: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Network:
    """Return a copy of any torch module as a network of this library, in eval mode, without gradients for its weights.

    `images` are some in [0, 1], of the size that it takes, on which it is tried and whose mean and standard deviation stand for
    those of the training set. `embedding` names the submodule whose output is the embedding [image, feature], trailing axes of
    length 1 dropped; without it, and without a classifier, the module itself must return it. `classifier` names its last linear
    layer: the embedding is then what that layer takes. `layers` are submodules for class activation maps, in the order of the
    flow. `normalise` are mean and std per channel by which images are normalised before the module takes them, none by default.
    The copy is made when this is called: later changes of the module change nothing.

    Raises ClxaiError, see `taken_in` and `check_behaviour`.

    >>> import torch
    >>> pool, flat = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), pool, flat, torch.nn.Linear(8, 2))
    >>> network = network_of(module, torch.rand(4, 3, 16, 16), classifier="3", layers=("0",))
    >>> network(torch.rand(5, 3, 16, 16)).shape, network.top
    (torch.Size([5, 8]), Linear(in_features=8, out_features=2, bias=True))
    """
    name, channels = f"{MODULE}{next(_NUMBERS)} ({type(module).__name__})", images.shape[1]
    kept = copy.deepcopy(module)
    own = {"layers": tuple(layers), "smallest": 1, "embedding": embedding, "classifier": classifier}
    semantics = fill_keywords(own, NETWORKS.keywords, f"network {name!r}")
    NETWORKS.add(Entry(name, lambda options, channels: copy.deepcopy(kept), semantics))
    std, mean = torch.std_mean(images, dim=(0, 2, 3), correction=0)
    mean_of, scale = normalise or ((0.0,) * channels, (1.0,) * channels)
    linear = None if classifier is None else submodule(kept, classifier, name)
    architecture = Architecture(
        network=name,
        options={},
        shape=tuple(images.shape[2:]),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        n_classes=getattr(linear, "out_features", 0),
        top="nothing" if classifier is None else "classifier",
        normalise=(tuple(map(float, mean_of)), tuple(map(float, scale))),
    )
    network = Network(architecture).to(images.device).eval().requires_grad_(False)
    check_behaviour(network, images)
    return network


@torch.no_grad()
def check_behaviour(network: Network, images: Float[Tensor, "image channel y x"]) -> None:
    """Raise ClxaiError unless a network, in eval mode, gives each image one finite embedding that depends on it alone.

    That is: finite weights, the same embedding alone as in a batch, another one for another image, weights that calls do not
    change, a gradient by the image. Tried on the first few images, in [0, 1].
    """
    where, images, was_training = f"network {network.architecture.network!r}", images[:PROBED], network.training
    network.eval()
    if not all_finite(network.state_dict()):
        raise ClxaiError(f"{where}: weights are not finite")
    state = {name: value.clone() for name, value in network.state_dict().items()}
    first, alone = network(images), torch.cat([network(image[None]) for image in images])
    if not torch.isfinite(first).all():
        raise ClxaiError(
            f"{where}: the embeddings of {int((~torch.isfinite(first)).any(1).sum())} of {len(first)} images are not finite"
        )
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, state[name])]
    if changed:
        raise ClxaiError(
            f"{where}: {changed[0].removeprefix('backbone.')} changes when it is called in eval mode ({len(changed)} tensors)"
        )
    size = float(first.abs().max())
    if alone.shape != first.shape or not float((alone - first).abs().max()) <= _BATCH_TOLERANCE * size:
        raise ClxaiError(f"{where}: the embedding of an image depends on the other images of its batch")
    if len(images) > 1 and not torch.equal(images[0], images[1]) and torch.equal(first, first[:1].expand_as(first)):
        raise ClxaiError(f"{where} gives every image the same embedding")
    _check_slope(network, images[:1], where)
    network.train(was_training)


def _check_slope(network: Network, image: Tensor, where: str) -> None:
    with torch.enable_grad():
        inputs = image.clone().requires_grad_(True)
        total = network(inputs).sum()
        slope = torch.autograd.grad(total, inputs, allow_unused=True)[0] if total.requires_grad else None
    if slope is None:
        raise ClxaiError(f"{where}: its embedding has no gradient by the image: leave out detach() and torch.no_grad()")
