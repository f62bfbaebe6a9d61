"""What the page of a study is told: names in the order in which they are shown, and how images lose units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clxai.design import design, joined


@dataclass(frozen=True)
class Told:
    """A study as its page sees it.

    `heads` are those of each model, `absent` the methods that a model does not have. `units` and `fills` are members with
    options, by the names that the study gives them, as flipping is told of them. `controls` are the methods that explain nothing,
    `metrics` has `better` and `text` of each, `seed` is that of the flipping.
    """

    name: str
    dataset: str
    models: Sequence[str]
    seeds: Sequence[int]
    methods: Sequence[str]
    heads: Mapping[str, Sequence[str]]
    units: Sequence[Mapping[str, Any]]
    fills: Sequence[Mapping[str, Any]]
    controls: Sequence[str]
    metrics: Mapping[str, Mapping[str, Any]]
    seed: int
    absent: Mapping[str, Sequence[str]]

    @property
    def settings(self) -> dict[str, Any]:
        """The levels of the design, as `design.design` reads them."""
        cuts = [cut["name"] for cut in self.units]
        return {"models": self.models, "seeds": self.seeds, "methods": self.methods, "units": cuts, "absent": self.absent}

    def methods_of(self, model: str) -> list[str]:
        """Return the methods that a model has."""
        return [cell["method"] for cell in design({**self.settings, "models": [model]}, "model", "method")]


@dataclass(frozen=True)
class Files:
    """The files of a study on one data set, in the order in which a rule lists them."""

    images: str
    labels: str
    sample: str
    embeddings: Sequence[str]
    attributions: Sequence[str]
    curves: Sequence[str]
    images_table: str
    summary_table: str
    heads_table: str
    checks_table: str

    @classmethod
    def of(cls, inputs: Any) -> "Files":
        """Return the files among a rule's inputs."""
        several = {name: list(getattr(inputs, name)) for name in ("embeddings", "attributions", "curves")}
        single = {
            name: str(getattr(inputs, name)) for name in ("images", "labels", "images_table", "summary_table", "heads_table")
        }
        return cls(sample=str(inputs.sample[0]), checks_table=str(inputs.checks_table), **single, **several)

    def by_run(self, told: Told, kind: str, *names: str) -> dict[tuple[Any, ...], Path]:
        """Return the files of one kind by the levels of these factors. Raises ClxaiError if a file is not that of its run."""
        return {tuple(cell.values()): Path(path) for cell, path in joined(design(told.settings, *names), getattr(self, kind))}
