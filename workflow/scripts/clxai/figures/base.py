"""Figures: each drawn by one function, from the tables and arrays of a study that it names.

    @figure("name", tables=["summary"], metrics=["srg_matched"], produces="aggregated", over=["image", "seed"])
    def name(study: Study) -> Figure

tables, arrays: what the figure reads; they alone are inputs of its job. Arrays are those of the first seed, read by `arrays.py`.
metrics: those that it shows, which a study with the figure must measure. cross: it shows explanations of one head scored by
another, which not every study has. per: one figure for the study, or one for each model.

What it accepts, each by words of `vocabularies`, and anything where none is named: payloads, scopes, alignments, families and
signs of methods, channels of images; extras: the numbers that methods return besides, of which it shows those that there are.
Planning refuses what it cannot draw, or leaves it out of a figure that the study does not name. What it makes: produces says
whether it shows single images ("local") or numbers over many ("aggregated"), over along which axes these are taken,
scope_defined_by who takes them. The caption and the picture say so.

subcategory: where the report shows it. options: what `figures.<name>` of the config may set; one called `method` names one of
the study's. The first paragraph of the docstring is the caption in the report; {fill}, {margin}, {n_seeds} and {model} in it are
filled in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from clxai.names import REFERENCE
from clxai.registry import Family
from clxai.vocabularies import ALIGNMENTS, AXES, FAMILIES, PAYLOADS, RESERVED_SCOPES, SCOPE_STEPS, SCOPES, SIGNS

FIGURES = Family(
    "figures",
    keywords={
        "tables": {
            "type": "array",
            "items": {
                "enum": [
                    "images",
                    "summary",
                    "curves",
                    "contrasts",
                    "variance",
                    "maps",
                    "heads",
                    "models",
                    "trust",
                    "trust_contrasts",
                    "similarity",
                    "stability",
                    "metric_ranks",
                    "analyses",
                    "checks",
                ]
            },
            "default": [],
        },
        "arrays": {
            "type": "array",
            "items": {"enum": ["images", "embeddings", "attributions", "curves"]},
            "default": [],
        },
        "metrics": {"type": "array", "items": {"type": "string"}, "default": []},
        "cross": {"type": "boolean", "default": False},
        "per": {"enum": ["study", "model"], "default": "study"},
        "payloads": {"type": "array", "items": {"enum": PAYLOADS}, "uniqueItems": True, "default": []},
        "scopes": {"type": "array", "items": {"enum": SCOPES}, "uniqueItems": True, "default": []},
        "alignments": {"type": "array", "items": {"enum": ALIGNMENTS}, "uniqueItems": True, "default": []},
        "families": {"type": "array", "items": {"enum": FAMILIES}, "uniqueItems": True, "default": []},
        "signs": {"type": "array", "items": {"enum": SIGNS}, "uniqueItems": True, "default": []},
        "extras": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "default": []},
        "channels": {"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": True, "default": []},
        "produces": {"enum": SCOPES, "reserved": RESERVED_SCOPES},
        "scope_defined_by": {"enum": SCOPE_STEPS, "default": "summary"},
        "over": {"type": "array", "items": {"enum": AXES}, "uniqueItems": True, "default": []},
        "subcategory": {"type": "string", "default": "Figures"},
    },
)
figure = FIGURES.register


@dataclass(frozen=True)
class Study:
    """What a figure sees: names in the order in which they are shown, fill, units and margin of SRG, tables, files of arrays.

    `model` is the one model of a figure for each; `controls` are the methods that explain nothing, `shared_heads` the heads that
    all models have, `references` the models trained on perturbed images, `seed` is the first one. `blind` are the controls that
    know nothing of the network, `fills` and `cuts` all fills and all settings of units of the study,
    `matched` has the fills that are the baseline of a method, `absent` by model the methods that it does not have.
    """

    dataset: str
    models: Sequence[str]
    heads: Sequence[str]
    methods: Sequence[str]
    fill: str
    units: str
    margin: float
    seed: int = 0
    controls: Sequence[str] = (REFERENCE,)
    blind: Sequence[str] = (REFERENCE,)
    fills: Sequence[str] = ()
    cuts: Sequence[str] = ()
    matched: Mapping[str, Sequence[str]] = field(default_factory=dict)
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shared_heads: Sequence[str] = ()
    references: Sequence[str] = ()
    model: str | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arrays: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def own(self, metric: str) -> pd.DataFrame:
        """Return the rows of one metric in the summary, for the fill that is shown and heads scored by themselves."""
        table = self.shown("summary")
        chosen = (table["metric"] == metric) & (table["explained_by"] == table["scored_by"])
        return table[chosen].rename(columns={"scored_by": "head"})

    def shown(self, name: str) -> pd.DataFrame:
        """Return the rows of a table for the fill and the units that are shown."""
        table = self.tables[name]
        return table[(table["fill"] == self.fill) & (table["units"] == self.units)]

    def cells(self, table: pd.DataFrame) -> list[tuple[str, str]]:
        """Return the (model, head) pairs that a table holds, in the order shown."""
        present = set(map(tuple, table[["model", "head"]].drop_duplicates().to_numpy()))
        return [(model, head) for model in self.models for head in self.heads if (model, head) in present]

    def ordered(self, methods: Sequence[str]) -> list[str]:
        """Return these methods, the controls after the others."""
        return sorted(methods, key=lambda name: name in self.controls)

    def best_control(self, rows: pd.DataFrame, column: str) -> float:
        """Return the highest number in a column among the controls that know nothing of the network; NaN without any."""
        return float(rows.loc[rows["method"].isin(self.blind), column].max())

    def compared(self) -> list[str]:
        """Return the methods that are compared with the reference; the reference itself in a study of that alone."""
        return [method for method in self.methods if method != REFERENCE] or [REFERENCE]

    def explained(self) -> list[str]:
        """Return the methods that are no controls; in a study of controls alone those that are compared."""
        return [method for method in self.methods if method not in self.controls] or self.compared()
