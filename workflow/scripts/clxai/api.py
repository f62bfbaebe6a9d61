"""The library without Snakemake: own networks, own maps and own images through the test, by the functions that the jobs call.

    network = clxai.as_network(module, images, classifier="fc", layers=["layer4"], normalise=(mean, std))
    heads = clxai.fit_heads(network, images, labels, heads=["softmax", "knn"])
    maps = clxai.explain(network, heads, some, "integrated_gradients")
    curves = clxai.flip(network, heads, some, maps, fills=["mean", "blur"], units={"units": "grid", "height": 16, "width": 16})
    clxai.summarise(curves).means
    bank = clxai.fill_bank(network, heads, some, fill="blur")  # masked images, seen once, for methods and metrics that read them

Images are tensors [image, channel, y, x], floats in [0, 1] or uint8, never normalised: the network does that. Everything is
computed on the device of the network, arrays come back as xarray in main memory, with the axes of docs/architecture.md. Progress
goes to standard error; the environment variable TQDM_DISABLE=1 silences it. Whoever names a member of a family with options gives
a mapping, as in `{"fill": "blur", "sigma": 0.1}`; `"name"` in it is what the results call it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray
from torch import Tensor, nn

from clxai.attribution import explaining
from clxai.attribution.base import METHODS, Explanation, Problem
from clxai.data.batches import in_unit_range
from clxai.errors import ClxaiError
from clxai.fills.base import FILLS
from clxai.fitted import FittedHeads, classes_of, fitted_on, head_options, held_out, stored_pixels, taken
from clxai.flipping.curves import flip_curves
from clxai.mask_bank import probing
from clxai.mask_bank.sizes import HELD_OUT, MASKS
from clxai.measures.metrics.base import reading
from clxai.measures.metrics.maps import Maps, maps_of
from clxai.measures.metrics.masks import Masks, masks_of
from clxai.measures.summaries import mean_table, measure_runs
from clxai.networks.base import NETWORKS
from clxai.networks.inference import Encoder
from clxai.networks.outside import network_of
from clxai.options import check_member, chosen_member
from clxai.registry import Entry, checked_keywords, fill_keywords
from clxai.runs import Run
from clxai.study import StudyResults, load_study
from clxai.units.base import UNITS

__all__ = [
    "ClxaiError",
    "FittedHeads",
    "StudyResults",
    "Summary",
    "as_network",
    "explain",
    "fill_bank",
    "fit_heads",
    "flip",
    "load_study",
    "method",
    "summarise",
]

Choice = str | Mapping[str, Any]  # a member of a family, by name or with options
METRICS_SHOWN = ("srg_matched", "srg_kept", "auc_deletion_matched", "auc_insertion_matched", "drift_srg")


def as_network(
    module: nn.Module,
    images: Tensor,
    *,
    embedding: str | None = None,
    classifier: str | None = None,
    layers: Sequence[str] = (),
    normalise: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Encoder:
    """Return a copy of any torch module as a network to be tested, in eval mode, on the device of the images.

    `images` are some of the size that it takes: it is tried on them, and their mean colour is the fill `mean`. `classifier` names
    the module's last linear layer, which becomes the head `softmax`; what that layer takes is the embedding. Without one,
    `embedding` names the submodule that gives [image, feature], or the module itself must return that. `layers` are submodules
    for class activation maps, in the order of the flow. `normalise` are mean and std per channel by which the module wants its
    images normalised; none by default.

    Raises ClxaiError if a name is wrong, or if the module does not give each image one embedding that depends on it alone: other
    sizes, randomness in eval mode, other images of the batch, no gradient.

    >>> import torch
    >>> flat = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)]
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), *flat)
    >>> network = as_network(module, torch.rand(6, 3, 8, 8), classifier="4", normalise=((0.5,) * 3, (0.2,) * 3))
    >>> network(torch.rand(5, 3, 8, 8)).shape
    torch.Size([5, 4])
    """
    given = in_unit_range(torch.from_numpy(stored_pixels(images)).to(images.device))
    return Encoder(network_of(module, given, embedding=embedding, classifier=classifier, layers=layers, normalise=normalise))


def fit_heads(
    network: nn.Module,
    images: Tensor,
    labels: Sequence[int] | np.ndarray | Tensor,
    *,
    heads: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("linear",),
    validation: float = 0.2,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> FittedHeads:
    """Return heads of a network, fitted on its embeddings of labelled images.

    `images` may also be the embeddings themselves. `labels` are numbers from 0, each class with at least one image. `heads` are
    registered heads, or by a name of your own `{"head": "knn", "k": 5}`. The share `validation` of the images, drawn within
    classes by `seed`, is not fitted on: there the temperature is fitted and accuracy is measured. As in a study the temperature
    is that of noisy copies of these images, so that there are errors to learn from; embeddings are taken as they are.

    Raises ClxaiError on an unknown head or option, if images, labels and network do not fit each other, if a class has no image
    to fit on, and if a head cannot be fitted.

    >>> import torch
    >>> shade = torch.arange(40) % 2
    >>> images = (0.3 * torch.rand(40, 1, 8, 8) + 0.5 * shade[:, None, None, None])
    >>> network = as_network(torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten()), images)
    >>> heads = fit_heads(network, images, shade, heads={"linear": {}, "near": {"head": "knn", "k": 3}})
    >>> list(heads), heads.metrics["n_images"].tolist(), heads["linear"](network(images)).shape
    (['linear', 'near'], [8, 8], torch.Size([40, 2]))
    """
    classes = classes_of(labels, len(images))
    names = list(map(str, range(classes.max() + 1))) if class_names is None else list(class_names)
    options, held = head_options(heads, taken(network), len(names)), held_out(classes, validation, len(names), seed)
    return fitted_on(network, images, classes, options, held, names)


def explain(
    network: nn.Module,
    heads: FittedHeads,
    images: Tensor,
    method: str | Entry = "integrated_gradients",
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    borrowed: xarray.Dataset | None = None,
    bank: xarray.Dataset | None = None,
) -> xarray.Dataset:
    """Return maps [head, image, y, x] of the log-odds of the class that each head predicts, larger is more important.

    `method` is a registered one, or one of your own (`clxai.method`), `options` are its own. With the maps comes what a study
    records: `target` and `log_odds` [head, image], how many values tie or are 0, and what they mean, as attributes. `borrowed`
    are the maps of another method, of the same images, for a method that is made of them, such as `degraded`. `bank` is what
    `fill_bank` returned for these images, for a method that reads a mask bank, such as `lime`; without one it is filled for this
    call, with the options `units` and `fill` of the method, a grid and the mean colour where these are not given.

    Raises ClxaiError on an unknown method or option, if images, network and heads do not fit each other, and if the method needs
    what the network does not declare: layers for class activation maps, rules for `lrp`.

    >>> import torch
    >>> images, labels = torch.rand(30, 1, 8, 8), torch.arange(30) % 3
    >>> network = as_network(torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten()), images)
    >>> heads = fit_heads(network, images, labels, heads={"linear": {}, "knn": {"k": 3}})
    >>> maps = explain(network, heads, images[:4], "saliency")
    >>> maps["attribution"].dims, maps["attribution"].shape
    (('head', 'image', 'y', 'x'), (2, 4, 8, 8))
    >>> explain(network, heads, images[:2], "lime", options={"fill": "zero"})["attribution"].dims
    ('head', 'image', 'y', 'x')
    """
    entry = METHODS[method] if isinstance(method, str) else method
    _check_needs(taken(network), heads, entry)
    with_training = entry.semantics["baseline_cardinality"] == "set"
    run, chosen = heads.run(network, images, with_training), _told(entry, options or {}, seed)
    needed = {name: explaining.explain(run, name, {}, seed) for name in entry.semantics["needs"]}
    reader = METHODS[chosen["of"]] if entry.semantics["borrows"] == "method" else entry
    if reader.semantics["reads_masks"] != "nothing":
        own = chosen if reader is entry else _told(reader, {}, seed)
        bank = _filled(run, own["units"], own["fill"], seed) if bank is None else _agreeing(bank, options or {})
        chosen |= {"units": bank.attrs["units"], "fill": bank.attrs["baseline"]} if reader is entry else {}
    return explaining.explain(run, entry, chosen, seed, needed, borrowed, bank)


def fill_bank(
    network: nn.Module,
    heads: FittedHeads,
    images: Tensor,
    *,
    units: Choice = "grid",
    fill: Choice = "mean",
    masks: int = MASKS,
    held_out: float = HELD_OUT,
    seed: int = 0,
    batch_size: int | None = None,
) -> xarray.Dataset:
    """Return a mask bank: what every head says of the images under many random masks, for `explain` and `summarise`.

    `units` say how images are cut, `fill` what units that are gone become. Of `masks` for each image half are drawn by the
    Shapley kernel, half by coins, and the share `held_out` is not fitted by any method; besides there are all units, none, and
    all but one. The result has `log_odds` [image, mask, head, class] in nat, and `present` [image, mask, byte], eight units a
    byte.

    Raises ClxaiError on an unknown fill, unit or option, on a fill that takes from the training images, if there are too few
    masks, and if images, network and heads do not fit each other.

    >>> import torch
    >>> images, labels = torch.rand(30, 1, 8, 8), torch.arange(30) % 3
    >>> network = as_network(torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten()), images)
    >>> bank = fill_bank(network, fit_heads(network, images, labels), images[:5], fill="zero", masks=64)
    >>> dict(bank["log_odds"].sizes)
    {'image': 5, 'mask': 70, 'head': 1, 'class': 3}
    """
    cut, filled = chosen_member(UNITS, units), chosen_member(FILLS, fill)
    return _filled(heads.run(network, images), cut, filled, seed, masks, held_out, batch_size)


def method(name: str, **semantics: Any) -> Callable[[Callable[..., Any]], Entry]:
    """Return a decorator that makes a function a method for `explain` without registering it: a method on trial.

    The function and the keywords are those of the library's own `@method`, see docs/extending.md: once it has proved itself, it
    becomes a file of its own and is named in the config. Raises ClxaiError on a wrong keyword.

    >>> from clxai.attribution.base import Explanation
    >>> @method("brightness", families=("control",), reduction="mean", blind=True)
    ... def brightness(problem, options):
    ...     return Explanation(problem.images)
    >>> brightness.name, brightness.semantics["reduction"]
    ('brightness', 'mean')
    """
    filled = checked_keywords(semantics, METHODS.keywords, f"method {name!r}")
    return lambda definition: Entry(name, definition, filled)


def flip(
    network: nn.Module,
    heads: FittedHeads,
    images: Tensor,
    maps: xarray.Dataset | np.ndarray | Tensor,
    *,
    fills: Sequence[Choice] = ("mean",),
    units: Choice = "grid",
    steps: int = 16,
    seed: int = 0,
    batch_size: int | None = None,
    precision: str = "float32",
    bank_k: int | None = None,
    trajectories: int = 0,
) -> xarray.Dataset:
    """Return the curves of every head while the units of the images are removed in the order that maps give them.

    `maps` are what `explain` returned, or any maps of your own: [image, y, x] for all heads, or [head, image, y, x]; larger is
    more important. `fills` say what removed pixels become, `units` how images are cut, `steps` in how many steps they go.
    `trajectories` is the number of images whose embeddings are kept at every step. The result has probability, log-odds and
    prediction [explained_by, scored_by, fill, order, image, step], and how far the embedding went [explained_by, fill, order,
    image, step]; order is morf (most important first) or lerf. docs/architecture.md lists everything.

    The curves of an image depend on it, its number among the images and `seed`, not on the others. What 95 % of these images do
    not exceed counts as the distance at which clean images lie from the training ones. Raises ClxaiError if maps, images, network
    and heads do not fit each other, on an unknown fill, unit or option, and if units or steps do not fit the images.

    >>> import torch
    >>> images, labels = torch.rand(30, 1, 8, 8), torch.arange(30) % 3
    >>> network = as_network(torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten()), images)
    >>> heads = fit_heads(network, images, labels)
    >>> curves = flip(network, heads, images[:5], images[:5].mean(1), fills=["mean", {"fill": "blur", "sigma": 0.2}], steps=4)
    >>> dict(curves["probability"].sizes)
    {'explained_by': 1, 'scored_by': 1, 'fill': 2, 'order': 2, 'image': 5, 'step': 5}
    """
    chosen = [chosen_member(FILLS, fill) for fill in fills]
    needs_bank = any(FILLS[fill["fill"]].semantics["needs"] == "bank" for fill in chosen)
    run = heads.run(network, images, needs_bank)
    explained = maps if isinstance(maps, xarray.Dataset) else _given(torch.as_tensor(maps).float(), run)
    settings = {
        "fills": chosen,
        "units": chosen_member(UNITS, units),
        "steps": steps,
        "seed": seed,
        "batch_size": batch_size,
        "precision": precision,
        "bank_k": bank_k,
        "trajectories": trajectories,
    }
    return flip_curves(run, explained, settings)


class Summary(NamedTuple):
    """What curves say: `images` has each metric of each image, `means` their means with 95 % intervals, `curves` mean curves."""

    images: pd.DataFrame
    means: pd.DataFrame
    curves: pd.DataFrame


def summarise(
    curves: xarray.Dataset | Mapping[str, xarray.Dataset],
    metrics: Sequence[str] | None = METRICS_SHOWN,
    *,
    maps: xarray.Dataset | Mapping[str, xarray.Dataset] | None = None,
    banks: Sequence[xarray.Dataset] = (),
    images: Tensor | None = None,
) -> Summary:
    """Return the metrics of curves, by image and on average, and mean curves; `curves` of one method, or by the name of each.

    The columns are those of `images.csv`, `summary.csv` and `curves.csv` of a study. `metrics` are registered ones, None for all;
    `better` says which direction is good. Intervals are for other images of the same training, by the t distribution. Where the
    method `random` is among them, `excess` is the mean difference to it, paired by image, with an interval of its own.

    Metrics of masks, such as `infidelity`, need the `maps` as `explain` returned them, named as the curves are, and `banks`, what
    `fill_bank` returned for fills of the curves; of other fills they are empty. Metrics of maps, such as `sparseness`, need the
    `maps` and the `images` [image, channel, y, x] in [0, 1] that were flipped.

    Raises ClxaiError on an unknown metric, and if one lacks what it reads.

    >>> import torch
    >>> images, labels = torch.rand(30, 1, 8, 8), torch.arange(30) % 3
    >>> network = as_network(torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten()), images)
    >>> heads = fit_heads(network, images, labels)
    >>> found = {name: explain(network, heads, images[:5], name) for name in ("random", "saliency")}
    >>> curves = {name: flip(network, heads, images[:5], maps, steps=4) for name, maps in found.items()}
    >>> summarise(curves, ["srg"]).means[["method", "metric", "n_images"]].values.tolist()
    [['random', 'srg', 5], ['saliency', 'srg', 5]]
    >>> bank = fill_bank(network, heads, images[:5], masks=128)
    >>> summarise(curves, ["infidelity"], maps=found, banks=[bank]).images["infidelity"].shape
    (10,)
    """
    given = {"curves": True, "masks": bool(banks), "maps": images is not None}
    every = [name for what, there in given.items() if there for name in reading(what)]
    names = every if metrics is None else list(metrics)
    by_method, explained = _by_method(curves), _by_method(maps)
    runs = [
        ({"model": "network", "seed": 0, "units": found.attrs["units"], "method": name}, found)
        for name, found in by_method.items()
    ]

    def own(run: Mapping[str, object], what: str) -> xarray.Dataset:
        if run["method"] not in explained:
            raise ClxaiError(f"metrics of {what} need the maps of method {run['method']!r}. Got those of {', '.join(explained)}")
        return explained[run["method"]]

    def masks(run: Mapping[str, object], found: xarray.Dataset) -> Masks:
        return masks_of(found, own(run, "masks"), {bank.attrs["baseline"]: bank for bank in banks})

    def shown(run: Mapping[str, object], found: xarray.Dataset) -> Maps:
        return maps_of(found, own(run, "maps"), images.mean(dim=1).double().cpu().numpy()[found["image"].values])

    readers = {"masks": masks if banks else None, "maps": None if images is None else shown}
    by_image, averaged = measure_runs(runs, names, **readers)
    tables = by_image, mean_table(by_image, names), averaged
    return Summary(*(table.drop(columns=["model", "seed"], errors="ignore") for table in tables))


def _by_method(found: xarray.Dataset | Mapping[str, xarray.Dataset] | None) -> Mapping[str, xarray.Dataset]:
    """Return curves or maps of one method, or of several by name, by name."""
    return {str(found.attrs["method"]): found} if isinstance(found, xarray.Dataset) else found or {}


def _filled(
    run: Run,
    units: Mapping[str, Any],
    fill: Mapping[str, Any],
    seed: int,
    masks: int = MASKS,
    held_out: float = HELD_OUT,
    batch_size: int | None = None,
) -> xarray.Dataset:
    """Return the mask bank of a run as its job fills it. Raises ClxaiError on a fill that takes from the training images."""
    if FILLS[fill["fill"]].semantics["needs"] == "bank":
        raise ClxaiError(f"fill {fill['fill']!r} takes from the training images: a mask bank has none")
    told = {"units": units, "fill": {**fill, "seed": seed}, "masks": masks, "held_out": held_out}
    return probing.fill_bank(run, {**told, "seed": seed, "batch_size": batch_size})


def _agreeing(bank: xarray.Dataset, options: Mapping[str, Any]) -> xarray.Dataset:
    """Return a mask bank. Raises ClxaiError if the options of its reader say of which units or fill it is, as the bank does."""
    for name in ("units", "fill"):
        if name in options:
            raise ClxaiError(f"a given mask bank says its own {name}: leave the option {name!r} out. Got {options[name]!r}")
    return bank


def _given(maps: Tensor, run: Run) -> xarray.Dataset:
    """Return maps of a user's own with what is recorded of any: by a method that answers with them.

    Raises ClxaiError unless there is one map for each image, or each head and image, of their size, and one of them is finite.
    """
    sizes = (len(run.index), *run.shape)
    if tuple(maps.shape) not in (sizes, (len(run.heads), *sizes)):
        raise ClxaiError(
            f"maps must be [image, y, x] = {list(sizes)}, or that for each of {len(run.heads)} heads. Got {list(maps.shape)}"
        )
    own = maps.to(run.index.device).expand(len(run.heads), *sizes)
    place = {id(head): number for number, head in enumerate(run.heads.values())}

    def answer(problem: Problem, options: Mapping[str, Any]) -> Explanation:
        return Explanation(own[place[id(problem.head)], problem.index][:, None])

    told = {"families": ("given",), "reduction": "none", "signed": bool((maps < 0).any()), "per_head": maps.ndim == 4}
    keywords = fill_keywords(told, METHODS.keywords, "maps")
    return explaining.explain(run, Entry("given", answer, keywords), {}, 0)


def _check_needs(network: Encoder, heads: FittedHeads, entry: Entry) -> None:
    """Raise ClxaiError if a method needs what images in memory and networks from outside do not have."""
    name, needs = network.architecture.network, entry.semantics
    if needs["needs_rules"] and (NETWORKS[name].semantics["lrp"] is None or not heads.checkpoint):
        raise ClxaiError(f"method {entry.name!r} has rules for trained networks of the library alone. Got network {name!r}")
    if needs["learns"]:
        raise ClxaiError(f"method {entry.name!r} asks explainers, which a study trains: name it in study.methods")
    if needs["needs_evidence"]:
        raise ClxaiError(f"method {entry.name!r} shows known evidence, of which images in memory have none")


def _told(entry: Entry, given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the options of a method as a job is told of them, fills and units with options of their own.

    A method that removes units or reads a mask bank does so by the fill `mean` on the grid, unless told otherwise. Raises
    ClxaiError on a wrong option.
    """
    check_member(entry, given)
    cuts = entry.semantics["removes"] or entry.semantics["reads_masks"] != "nothing"
    families = {"baseline": FILLS, **({"fill": FILLS, "units": UNITS} if cuts else {})}
    options = {**({"fill": "mean", "units": "grid"} if cuts else {}), **given}
    settled = {key: chosen_member(families[key], options[key]) for key in families.keys() & options.keys()}
    if "fill" in settled:
        settled["fill"]["seed"] = seed
    return {**options, **settled}
