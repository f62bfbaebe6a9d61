"""Self-checks of a study: each is a row with its value and limits; one that fails stops the workflow, unless it is to warn.

They hold what is known to go wrong without a trace: curves that do not add up, maps that do not add up to what they claim to,
relevance that is not conserved, maps that rank nothing, a score that rewards noise, one that ranks a map above the truth, fills
that tell the class, and heads that classify badly.

A new check is a function that returns rows made by `_row`, called in `check_table`; its setting is a key of `checks` in the
schema, and `HELP` says which option helps when it does not pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray

from clxai.errors import ClxaiError
from clxai.measures.groups import groups_of
from clxai.measures.identities import IDENTITIES
from clxai.measures.statistics import as_cube, holm, two_way
from clxai.names import REFERENCE

IDENTITY_LIMIT = 1e-6
COMPLETENESS = {"exact": "completeness", "expectation": "completeness_in_expectation"}  # by what a method declares: the setting
HELP = {  # by setting: what to change when the check does not pass
    "identity": "no option: delete the curves of the study, and report it if the check fails again",
    "completeness": "raise the steps of the method, as methods.integrated_gradients.most_steps",
    "completeness_in_expectation": "raise the samples of the method",
    "lrp_conservation": "widen the limits for networks that absorb more relevance, or leave lrp out of study.methods",
    "degenerate_share": "choose another layer or baseline of the method, or leave it out of study.methods",
    "alpha": "raise the images of the study's sample, or look for what makes the fill favour some units",
    "oracle": "train to a higher accuracy, or choose fills and units that leave all but the evidence without effect",
    "leak": "choose a fill that tells less of the image, such as mean or noise",
    "accuracy": "raise models.*.epochs, change the recipe, or leave the head out of study.heads",
}


def check_table(
    images: pd.DataFrame,
    heads: pd.DataFrame,
    maps: pd.DataFrame,
    curves: pd.DataFrame,
    runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]],
    settings: Mapping[str, object],
    oracles: Sequence[str] = (),
) -> pd.DataFrame:
    """Return all self-checks of a study, one row each; `oracles` are its methods that show where the evidence is.

    `result` is pass, or else warn for the checks named in `settings["warn"]` and fail for the others.
    """
    rows = [
        *identity_checks(images),
        *explanation_checks(runs, settings),
        *degenerate_checks(maps, settings["degenerate_share"]),
        *random_checks(images, settings["alpha"]),
        *oracle_checks(images, oracles, settings["oracle"]),
        *leak_checks(curves, settings["leak"]),
        *accuracy_checks(heads, settings["accuracy"]),
    ]
    table = pd.DataFrame(rows)
    otherwise = np.where(table["setting"].isin(settings["warn"]), "warn", "fail")
    table["result"] = np.where(table.pop("passed"), "pass", otherwise)
    return table


def identity_checks(images: pd.DataFrame) -> list[dict[str, object]]:
    """Insertion minus deletion is SRG: the largest difference over all images, for each kind of score."""
    rows = []
    for gain, (insertion, deletion) in IDENTITIES.items():
        gap = (images[insertion] - images[deletion] - images[gain]).abs().max()
        name = gain.replace("srg", "insertion - deletion - SRG")
        rows.append(_row("identity", name, {}, float(gap), 0.0, IDENTITY_LIMIT))
    return rows


def explanation_checks(
    runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]], settings: Mapping[str, object]
) -> list[dict[str, object]]:
    """Completeness and LRP conservation: the median over images, for each model, seed, head and method that declares it."""
    rows = []
    for run, dataset in runs:
        for name, (setting, low, high) in _limits_of(dataset, settings).items():
            if name in dataset:
                for head in dataset["head"].values.tolist():
                    where = {**run, "head": head}
                    rows.append(_row(setting, name, where, float(np.median(dataset[name].sel(head=head))), low, high))
    return rows


def _limits_of(dataset: xarray.Dataset, settings: Mapping[str, object]) -> dict[str, tuple[str, float, float]]:
    """Return setting and limits of the numbers that the maps of a method are held to, by name."""
    limits = {"conservation_ratio": ("lrp_conservation", *settings["lrp_conservation"])}
    claim = dataset.attrs.get("complete", "none")
    if claim != "none":
        setting = COMPLETENESS[claim]
        limits["completeness_error"] = (setting, 0.0, settings[setting])
    return limits


def degenerate_checks(maps: pd.DataFrame, most: float) -> list[dict[str, object]]:
    """Few maps are ranked at random: the share of images with a degenerate one, for each model, seed, units, method and head."""
    names = ["model", "seed", "units", "method", "head"]
    cells = maps[[*names, "degenerate"]].to_dict("records")
    return [_row("degenerate_share", "share of degenerate maps", cell, float(cell["degenerate"]), 0.0, most) for cell in cells]


def random_checks(images: pd.DataFrame, alpha: float) -> list[dict[str, object]]:
    """The random attribution's SRG is 0: one test per model, head, units and fill, Holm-corrected for each kind of score.

    The two-sided test of `statistics.two_way`, in which seeds share their images: values of one image are not independent. The
    row's value is the corrected p-value, which must not fall below alpha.
    """
    own = images[(images["method"] == REFERENCE) & (images["explained_by"] == images["scored_by"])]
    cells = dict(list(own.groupby(["model", "scored_by", "units", "fill"], sort=True)))
    names = list(IDENTITIES)
    p_values = np.stack([two_way(as_cube(cell, names), groups_of(cell)).p_value() for cell in cells.values()])
    rows = []
    for column, values in zip(IDENTITIES, p_values.T, strict=True):
        for (model, head, units, fill), p_value in zip(cells, holm(values), strict=True):
            where = {"model": model, "units": units, "method": REFERENCE, "head": head}
            check = f"random {column} is 0, fill {fill} (Holm p)"
            rows.append(_row("alpha", check, where, float(p_value), alpha, 1.0))
    return rows


def oracle_checks(images: pd.DataFrame, oracles: Sequence[str], tolerance: float) -> list[dict[str, object]]:
    """No method's SRG is above the oracle's, and random's is below: one row per model, head, units, fill and other method.

    The row's value is an end of the 95 % interval of the oracle's matched SRG minus the method's, paired by seed and image
    (`statistics.two_way`), which must not be below -tolerance: the upper end, since a method may be as good as the truth; of
    random the lower end, since an instrument that does not tell them apart measures nothing.
    """
    own = images[images["explained_by"] == images["scored_by"]]
    rows = []
    for (model, head, units, fill), cell in own.groupby(["model", "scored_by", "units", "fill"], sort=True):
        cubes = {method: as_cube(part, ["srg_matched"]) for method, part in cell.groupby("method", sort=True)}
        groups = groups_of(cell)
        for oracle, method in product(oracles, [name for name in cubes if name not in oracles]):
            low, high = two_way(cubes[oracle] - cubes[method], groups).interval()
            value, what = (low, "is above") if method == REFERENCE else (high, "is not below")
            where = {"model": model, "units": units, "method": method, "head": head}
            rows.append(_row("oracle", f"{oracle} {what}, fill {fill}", where, float(value[0]), -tolerance, np.inf))
    return rows


def leak_checks(curves: pd.DataFrame, most: float) -> list[dict[str, object]]:
    """Nothing is left when all is removed: the share of images that keep their class then, per model, head, units and fill.

    It is that of the class that a fill without content is given, about 1 / classes; more is told by the fill itself.
    """
    kept = curves[(curves["quantity"] == "kept") & (curves["order"] == "morf") & (curves["method"] == REFERENCE)]
    ends = kept[kept["fraction"] == kept["fraction"].max()].to_dict("records")
    what = "share of predictions kept when all is removed, fill {fill}"
    return [_row("leak", what.format(**row), {**row, "seed": "all"}, float(row["mean"]), 0.0, most) for row in ends]


def accuracy_checks(heads: pd.DataFrame, least: float | None) -> list[dict[str, object]]:
    """Test accuracy of every head of every model and seed is at least `least`; no rows without a bar."""
    if least is None:
        return []
    test = heads[heads["split"] == "test"]
    return [_row("accuracy", "test accuracy", row, row["accuracy"], least, 1.0) for row in test.to_dict("records")]


def require_all(table: pd.DataFrame) -> None:
    """Raise ClxaiError listing every failed check, with the setting that limits it and what helps."""
    failed = table[table["result"] == "fail"]
    if failed.empty:
        return
    lines = failed.drop(columns="result").to_string(index=False)
    advice = "\n".join(_advice(setting) for setting in dict.fromkeys(failed["setting"]))
    message = f"{len(failed)} of {len(table)} self-checks failed; no result of this study can be trusted"
    raise ClxaiError(f"{message}:\n{lines}\n{advice}")


def _advice(setting: str) -> str:
    if setting == "identity":
        return f"{setting}: {HELP[setting]}"
    return f"checks.{setting}: {HELP[setting]}; or name it in checks.warn, and the figures are drawn with a mark"


def _row(setting: str, check: str, where: Mapping[str, object], value: float, low: float, high: float) -> dict[str, object]:
    """Return one check; it passes if the value lies within its limits. `setting` is its key in the section checks."""
    place = {name: where.get(name, "all") for name in ("model", "seed", "units", "method", "head")}
    passed = bool(low <= value <= high)
    return {"setting": setting, "check": check, **place, "value": value, "low": low, "high": high, "passed": passed}
