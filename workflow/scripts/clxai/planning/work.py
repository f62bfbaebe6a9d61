"""How much work a study is, counted from its config: jobs, images through networks, rows of tables and bytes, by rule.

A pass is one image forward through a network; a gradient by the image is one more, that of a training step two more. What methods
need is read off what they declare and their options, so that a user's methods count too: an estimate, held by a test against
what is counted while they run.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clxai.data.sizes import shape_of
from clxai.errors import ClxaiError
from clxai.mask_bank.sizes import LAWS
from clxai.planning.borrowing import Maps
from clxai.planning.choices import chosen, heads_of, loss_of, network_of, recipe_of, semantics_of
from clxai.planning.extents import channels_of, measure
from clxai.planning.needed import maps_needed, methods_of, models_explained, models_needed
from clxai.planning.outputs import banks_needed, figures_of, metrics_of

# Of sets that are downloaded: training and test images, side in pixels, channels, classes.
PUBLISHED = {
    "CIFAR10": (50_000, 10_000, 32, 3, 10),
    "CIFAR100": (50_000, 10_000, 32, 3, 100),
    "FashionMNIST": (60_000, 10_000, 28, 1, 10),
    "KMNIST": (60_000, 10_000, 28, 1, 10),
    "MNIST": (60_000, 10_000, 28, 1, 10),
    "SVHN": (73_257, 26_032, 32, 3, 10),
    "STL10": (5_000, 8_000, 96, 3, 10),
}
_FLOAT = 4  # bytes
_SCORES, _PATHS = 6, 12  # quantities of a curve by scoring head, and of its path
_SEARCHED = 0.5  # of the units are left to be tried, on average, while an order is searched


@dataclass(frozen=True)
class Size:
    """What is known of a data set: images by split, height, width, channels, classes."""

    images: Mapping[str, int]
    shape: tuple[int, int]
    channels: int
    classes: int

    @property
    def total(self) -> int:
        """All images."""
        return sum(self.images.values())


@dataclass(frozen=True)
class Load:
    """The jobs of a rule on one model: how many, and of all of them the passes forward and in training steps, rows and bytes."""

    rule: str
    jobs: int
    model: str = ""
    forward: float | int = 0
    trained: float | int = 0
    rows: float | int = 0
    bytes: float | int = 0


@dataclass(frozen=True)
class Network:
    """What the cost of a pass depends on: network, its options, and the images."""

    name: str
    options: tuple[tuple[str, Any], ...]
    size: tuple[int, int]
    channels: int
    classes: int

    @classmethod
    def of(cls, config: Mapping[str, Any], model: str, size: Size) -> "Network":
        """Return the network of a model of a study on images of a data set."""
        name, options = network_of(config, model)
        return cls(name, tuple(sorted(options.items())), size.shape, size.channels, size.classes)


def size_of(config: Mapping[str, Any], dataset: str, classes: int | None = None) -> Size:
    """Return the size of a data set of a study. Raises ClxaiError if it is not known before its images are there."""
    entry = config["datasets"][dataset]
    where = f"datasets.{dataset}"
    known = PUBLISHED.get(entry["name"]) if entry["source"] == "torchvision" else None
    if known:
        train, test, side, channels, n_classes = known
        val = round(entry["val_fraction"] * train)
        counts = {"train": train - val, "val": val, "test": test}
        images = {name: min(count, entry["limit"].get(name) or count) for name, count in counts.items()}
        return Size(images, shape_of(entry["size"]) or (side, side), channels, n_classes)
    extent, channels = measure(entry, where), channels_of(entry)
    images = {name: count or entry["limit"].get(name) for name, count in extent.images.items()}
    if extent.shape is None or (channels is None and entry["source"] != "folder") or not all(images.values()):
        raise ClxaiError(f"{where}: how many images there are, and of which size, is not known yet: set limit and size")
    return Size(images, extent.shape, channels or 3, classes or 10)


def passes_of(config: Mapping[str, Any], name: str, shape: tuple[int, int]) -> float:
    """Return the passes that a method needs an image and head, by what it declares: 0 of controls, 2 of a gradient."""
    options = chosen(config, "methods", name)[1]
    semantics = semantics_of(config, "methods", name)
    if semantics["borrows"] == "method":
        return passes_of(config, options["of"], shape)
    if semantics["removes"]:
        units = units_of(config, options["units"], shape)
        return 1.0 + _SEARCHED * units * (units + 1) / options.get("at_once", 1)
    if semantics["borrows"] != "nothing" or semantics["reads_masks"] != "nothing" or "control" in semantics["families"]:
        return 0.0
    if "window" in options:
        return 1.0 + math.prod(math.ceil((side - options["window"]) / options["stride"]) + 1 for side in shape)
    if "max_evals" in options:
        return float(options["max_evals"])
    by_gradient = {"gradient", "propagation"} & {*semantics["families"]}
    return float((2 if by_gradient else 1) * options.get("steps", options.get("samples", 1)))


def units_of(config: Mapping[str, Any], name: str, shape: tuple[int, int]) -> int:
    """Return how many units an image of this shape is cut into: their number where it is an option, else by the tiles."""
    options = chosen(config, "units", name)[1]
    semantics = semantics_of(config, "units", name)
    if semantics["count"]:
        return options[semantics["count"]]
    tiles = semantics["tiles"] or (None, None)
    sides = [options[option] if option else side for option, side in zip(tiles, shape, strict=True)]
    return math.prod(side // unit for side, unit in zip(shape, sides, strict=True))


def batch_of(config: Mapping[str, Any], model: str) -> int:
    """Return the images of a training step of a model, each view counted."""
    recipe = recipe_of(config, model)
    return recipe["batch_size"] * (recipe["views"] or loss_of(config, model).get("views", 1))


def work_of(config: Mapping[str, Any], size: Size) -> list[Load]:
    """Return the loads of a study on one data set, in the order of the flow."""
    return [load for part in (_models, _maps, _curves, _tables) for load in part(config, size)]


def _models(config: Mapping[str, Any], size: Size) -> Iterator[Load]:
    """Yield data, trainings, embeddings and heads."""
    seeds, pixels = len(config["study"]["seeds"]), size.channels * math.prod(size.shape)
    yield Load("prepare_data", 1, bytes=size.total * pixels)
    yield Load("sample_images", len({maps.sample for maps in maps_needed(config)}))
    for model in models_needed(config):
        recipe = recipe_of(config, model)
        steps = recipe["epochs"] * (size.images["train"] // recipe["batch_size"]) * batch_of(config, model)
        checks = math.ceil(recipe["epochs"] / recipe["validate_every"])
        seen = checks * (size.images["train"] + size.images["val"])
        yield Load("train_model", seeds, model, seeds * seen, seeds * steps)
    for model in models_explained(config):
        yield Load("embed_images", seeds, model, seeds * size.total)
        yield Load("fit_heads", seeds, model, rows=seeds * size.images["train"])


def _maps(config: Mapping[str, Any], size: Size) -> Iterator[Load]:
    """Yield mask banks and maps."""
    seeds, drawn = len(config["study"]["seeds"]), config["mask_bank"]["masks"]
    for bank in banks_needed(config):
        images, units = _images(config, bank.sample), units_of(config, bank.units, size.shape)
        masks = drawn + units + len(LAWS)
        kept = masks * (units / 8 + _FLOAT * size.classes * len(heads_of(config, bank.model)))
        yield Load("mask_bank", seeds, bank.model, seeds * images * masks, bytes=seeds * images * kept)
    for maps in maps_needed(config):
        shown = _images(config, maps.sample) * _explained(config, maps)
        passes = shown * passes_of(config, maps.method, size.shape)
        yield Load("attribute", seeds, maps.model, seeds * passes, bytes=seeds * shown * math.prod(size.shape) * _FLOAT)


def _curves(config: Mapping[str, Any], size: Size) -> Iterator[Load]:
    """Yield curves: of both orders, with each fill, the steps between clean and fully removed images."""
    study, flipping = config["study"], config["flipping"]
    seeds, fills = len(study["seeds"]), len(flipping["fills"])
    images, steps = _images(config, study["sample"]), flipping["steps"]
    for model in study["models"]:
        scored = len(heads_of(config, model))
        for method in methods_of(config, model):
            explained = _explained(config, Maps(model, study["seeds"][0], study["sample"], method))
            ways = explained * fills * 2
            forward = images * (ways * (steps - 1) + fills + 1)
            kept = images * ways * (steps + 1) * _FLOAT * (_SCORES * scored + _PATHS)
            for _ in flipping["units"]:
                yield Load("flip", seeds, model, seeds * forward, bytes=seeds * kept)


def _tables(config: Mapping[str, Any], size: Size) -> Iterator[Load]:
    """Yield what is made of the curves: a row for each image, fill, method and pair of heads."""
    study, flipping = config["study"], config["flipping"]
    rows = 0.0
    for model in study["models"]:
        heads = len(heads_of(config, model))
        pairs = heads**2 if config["statistics"]["cross"] else heads
        rows += len(methods_of(config, model)) * pairs
    rows *= len(study["seeds"]) * len(flipping["units"]) * len(flipping["fills"]) * _images(config, study["sample"])
    yield Load("summarise", 1, rows=rows, bytes=rows * 9 * len(metrics_of(config)))  # a number has 9 characters
    for rule in ("assess_trust", "check_study", "build_explorer"):
        yield Load(rule, 1, rows=rows)
    yield Load("plot_figure", len(figures_of(config)))
    yield Load("state_verdict", 3)


def _images(config: Mapping[str, Any], sample: str) -> int:
    return config["samples"][sample]["images"]


def _explained(config: Mapping[str, Any], maps: Maps) -> int:
    """Return for how many heads a method has maps of its own."""
    return len(heads_of(config, maps.model)) if semantics_of(config, "methods", maps.method)["per_head"] else 1


def by_rule(loads: Sequence[Load]) -> dict[str, list[Load]]:
    """Return loads by rule, in the order of the flow."""
    return {rule: [load for load in loads if load.rule == rule] for rule in dict.fromkeys(load.rule for load in loads)}
