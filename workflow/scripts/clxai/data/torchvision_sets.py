"""What torchvision's data sets are called and which arguments they take, read from its source: importing it takes seconds."""

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError, unknown_name

# Sets whose download torchvision does not compare with a checksum.
UNCHECKED = ("FGVCAircraft", "Kinetics", "Kitti", "LFWPairs", "LFWPeople", "Middlebury2014Stereo")
_OURS = {"self", "root", "train", "download", "transform", "target_transform", "transforms", "loader"}


@dataclass(frozen=True)
class Needs:
    """What a classification set needs: values of its `train` or `split` argument, where its labels are, the first label.

    `labels` is an attribute: integers, (image, label) pairs, or a table whose first column counts. `first_of_split` gives the
    first label where it depends on the argument `split`; `fixed` are arguments that would change what the parts or labels are.
    """

    labels: str
    train: str | bool = "train"
    test: str | bool = "test"
    first: int = 0
    first_of_split: tuple[tuple[str, int], ...] = ()
    fixed: tuple[str, ...] = ()
    package: str | None = None

    def first_label(self, arguments: Mapping[str, Any]) -> int:
        """Return the number of the first class, as the set counts."""
        return dict(self.first_of_split).get(arguments.get("split"), self.first)


_FLAG: dict[str, Any] = {"labels": "targets", "train": True, "test": False}
NEEDS = {
    **{name: Needs(**_FLAG) for name in ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS")},
    "EMNIST": Needs(**_FLAG, first_of_split=(("letters", 1),)),
    "QMNIST": Needs(**_FLAG, fixed=("what",)),
    **{name: Needs("labels") for name in ("STL10", "SVHN")},
    **{name: Needs("_labels") for name in ("DTD", "Flowers102", "Food101")},
    **{name: Needs("_samples") for name in ("FER2013", "GTSRB", "RenderedSST2", "StanfordCars")},
    "CLEVRClassification": Needs("_labels", test="val", first=3),  # counts of objects; those of the test part are not public
    "Country211": Needs("targets"),
    "FGVCAircraft": Needs("_labels", train="trainval"),
    "ImageNet": Needs("targets", test="val"),
    "Imagenette": Needs("_samples", test="val"),
    "OxfordIIITPet": Needs("_labels", train="trainval", fixed=("target_types",)),
    "PCAM": Needs("_FILES", package="h5py"),
    "Places365": Needs("targets", train="train-standard", test="val"),
}
_REASONS = {
    "has no train and test split; use source npz or folder": (
        "Caltech101 Caltech256 DatasetFolder EuroSAT FakeData INaturalist ImageFolder LSUN LSUNClass Omniglot SEMEION SUN397 "
    ),
    "holds videos, not images": "HMDB51 Kinetics MovingMNIST UCF101",
    "has several labels an image, not one class": "CelebA",
    "has other people in its test part than in its train part": "LFWPeople",
    "holds pairs of images": (
        "CREStereo CarlaStereo ETH3DStereo FallingThingsStereo FlyingChairs FlyingThings3D HD1K InStereo2k Kitti2012Stereo "
        "Kitti2015Stereo KittiFlow LFWPairs Middlebury2014Stereo PhotoTour SceneFlowStereo Sintel SintelStereo"
    ),
    "has captions, boxes or masks for labels, not classes": (
        "Cityscapes CocoCaptions CocoDetection Flickr30k Flickr8k Kitti SBDataset SBU VOCDetection VOCSegmentation WIDERFace"
    ),
    "is no data set": "VisionDataset wrap_dataset_for_transforms_v2",
}
REFUSED = {name: reason for reason, names in _REASONS.items() for name in names.split()}


@cache
def set_names() -> tuple[str, ...]:
    """Return the public names of torchvision.datasets."""
    for node in ast.parse((_folder() / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return tuple(ast.literal_eval(node.value))
    raise ClxaiError("torchvision.datasets does not list its data sets")


def chooser(name: str) -> str | None:
    """Return the argument that chooses the train or the test part of a set: `train` or `split`; None if there is none."""
    accepted = parameters(name)
    return next((argument for argument in ("train", "split") if argument in accepted), None)


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError unless a set exists, has two parts, takes these arguments and has all that it needs, safely fetched."""
    name, given, download = entry["name"], entry["arguments"], entry["download"]
    if name not in set_names():
        raise ClxaiError(f"{where}.name: {unknown_name('torchvision data set', name, set_names())}")
    if name not in NEEDS:
        raise ClxaiError(f"{where}.name: torchvision's {name} {REFUSED.get(name, 'is not known to this library')}")
    needs, accepted, choice = NEEDS[name], parameters(name), chooser(name)
    if needs.package and find_spec(needs.package) is None:
        raise ClxaiError(f"{where}.name: torchvision's {name} needs the package {needs.package}; install it")
    free = {
        argument: needed
        for argument, needed in accepted.items()
        if argument not in _OURS | {choice, *needs.fixed} and argument[0] != "_"
    }
    for argument in given:
        if argument not in free:
            raise ClxaiError(f"{where}.arguments: {unknown_name(f'argument of {name}', argument, free)}")
    missing = [argument for argument, needed in free.items() if needed and argument not in given]
    if missing:
        raise ClxaiError(f"{where}.arguments: torchvision's {name} needs {', '.join(missing)}. Got {dict(given)}")
    if download and "download" not in accepted:
        raise ClxaiError(f"{where}.download: torchvision cannot fetch {name}; put it into `path` by hand")
    if download and name in UNCHECKED:
        raise ClxaiError(f"{where}.download: torchvision fetches {name} without a checksum; put it into `path` by hand")


def files(entry: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file below the root, links to folders not followed."""
    root = root_of(entry)
    for folder, _, names in os.walk(root):
        yield from (((Path(folder) / name).relative_to(root).as_posix(), Path(folder) / name) for name in names)


def root_of(entry: Mapping[str, Any]) -> str:
    """Return the folder of torchvision sets."""
    return entry["path"] or "resources/torchvision"


@cache
def parameters(name: str) -> dict[str, bool]:
    """Return the arguments of a set's constructor, its base classes' included where it passes them on: is each one needed?"""
    definition = _definition(name)
    if definition is None:
        return {}
    own = next((node for node in definition.body if getattr(node, "name", None) == "__init__"), None)
    inherited: dict[str, bool] = {}
    if own is None or own.args.kwarg:
        for base in _names(definition.bases):
            inherited |= parameters(base)
    if own is None:
        return inherited
    listed = own.args.args[1:]
    without_default = len(listed) - len(own.args.defaults)
    found = {argument.arg: place < without_default for place, argument in enumerate(listed)}
    found |= {one.arg: value is None for one, value in zip(own.args.kwonlyargs, own.args.kw_defaults, strict=True)}
    return {**{argument: needed for argument, needed in inherited.items() if argument != "root"}, **found}


def _definition(name: str) -> ast.ClassDef | None:
    for file in sorted(_folder().glob("*.py")):
        text = file.read_text()
        if re.search(rf"^class {re.escape(name)}\b", text, flags=re.MULTILINE):
            return next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    return None


def _names(bases: Iterable[ast.expr]) -> list[str]:
    return [base.id for base in bases if isinstance(base, ast.Name)]


def _folder() -> Path:
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        raise ClxaiError("torchvision is not installed in this environment")
    return Path(package.origin).parent / "datasets"
