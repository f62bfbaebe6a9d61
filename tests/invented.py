"""Invented studies for the rules of the verdict: tables with the columns that rules read, and no more."""

from dataclasses import replace
from itertools import product

import pandas as pd
from clxai.verdict.differences import ROUTES
from clxai.verdict.records import Study

METHODS = ["random", "ink", "ig", "lrp", "oracle"]


STUDY = Study(
    models=["ce", "supcon"],
    methods=METHODS,
    controls=["random", "ink"],
    blind=["random", "ink"],
    oracles=["oracle"],
    references=["ce_finetuned"],
    contrastive=["supcon"],
    baselines={"ig": ["mean"]},
    name="invented",
    dataset="none",
)


ABOVE, BELOW, AROUND, TIGHT = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.12), (-0.01, 0.012)


def told(**tables):
    return replace(STUDY, tables=tables)


def one(statements, **about):
    """The one statement with these claims or facts."""
    found = [each for each in statements if all(getattr(each, key, each.about.get(key)) == value for key, value in about.items())]
    assert len(found) == 1, [each.claim for each in found]
    return found[0]


AVERAGED = {  # what names the mean over methods and heads of one pair
    **{"model": "supcon", "minus": "ce", "quantity": "value"},
    **{"units": "grid", "fill": "mean", "method": "all", "head": "all"},
}


def contrasts(routes, **columns):
    """One pair, its mean over methods and heads, an interval for each route."""
    rows = [
        {"metric": metric, "difference": (low + high) / 2, "ci_low": low, "ci_high": high}
        for metric, (low, high) in zip(ROUTES, routes, strict=False)
    ]
    counts = {"p_holm": 0.01, "equivalent": False, "margin": 0.05, "n_seeds": 5, "n_images": 100, "family": "confirmatory"}
    table = pd.DataFrame(rows).assign(**AVERAGED).assign(**{**counts, **columns})
    return table.assign(family=table["family"].where(table["metric"] == "srg_matched", "exploratory"))


MEANS = {"random": 0.0, "ink": 0.1, "ig": 0.6, "lrp": 0.3, "oracle": 0.8}


def summary(means=MEANS, models=("ce", "supcon"), heads=("linear",), fills=("mean",), reach=0.05, change=None):
    """Rows of every method with an interval of mean +- reach; `change` maps (model, head, fill, method) to another mean."""
    rows = []
    for model, head, fill, method, metric in product(models, heads, fills, means, ("srg_matched", "srg_kept")):
        mean = {**{(model, head, fill, method): means[method]}, **(change or {})}[model, head, fill, method]
        excess = mean - means.get("random", 0)
        rows.append(
            {"model": model, "units": "grid", "method": method, "explained_by": head, "scored_by": head, "fill": fill}
            | {"metric": metric, "mean": mean, "ci_low": mean - reach, "ci_high": mean + reach, "excess": excess}
            | {"excess_ci_low": excess - reach, "excess_ci_high": excess + reach, "n_seeds": 5, "n_images": 100}
        )
    return pd.DataFrame(rows)


def words(statement):
    """What is said of each part and model."""
    return {(one.part, one.model): one.word for one in statement.about["standings"].values()}


def trust(values, null=0.0, better=1, measure="agreement", **columns):
    """One row per model and head: value +- .1."""
    rows = [
        {"measure": measure, "part": "SRG", "model": model, "head": head, "units": "all", "fill": "all", "value": value}
        | {"ci_low": value - 0.1, "ci_high": value + 0.1}
        for (model, head), value in values.items()
    ]
    return pd.DataFrame(rows).assign(null=null, better=better, n_seeds=5, n_images=100, n_methods=6).assign(**columns)


def claims(*found, searched=0):
    """Claims of one pair, cell by cell; the first `searched` have NAOPC as a fifth route."""
    place = {"model": "supcon", "minus": "ce", "head": "linear", "units": "grid", "fill": "mean"}
    return pd.DataFrame([{**place, "claim": claim, "n_routes": 4 + (cell < searched)} for cell, claim in enumerate(found)])


def trust_contrasts(intervals, measure="references", better=1, n_seeds=5):
    rows = [
        {
            "measure": measure,
            "part": "plain",
            "model": "supcon",
            "minus": "ce",
            "head": f"h{place}",
            "units": "all",
            "fill": "all",
        }
        | {"difference": (low + high) / 2, "ci_low": low, "ci_high": high}
        for place, (low, high) in enumerate(intervals)
    ]
    return pd.DataFrame(rows).assign(better=better, n_seeds=n_seeds, n_images=100)


DECLARED = contrasts([ABOVE] * 4)


def everything(**changes):
    """A study with every table."""
    models = pd.DataFrame([{"model": model, "seed": seed, "loss": model} for model in ("ce", "supcon") for seed in range(5)])
    tables = {
        "summary": summary(fills=("mean", "zero")),
        "contrasts": pd.concat([contrasts([ABOVE] * 4), contrasts([AROUND] * 4, family="exploratory").assign(fill="zero")]),
        "checks": pd.DataFrame([{"setting": "alpha", "value": 0.1, "result": "pass"}]),
        "models": models,
        "trust": trust({("ce", "linear"): 0.5, ("supcon", "linear"): 0.05}),
        "trust_contrasts": trust_contrasts([ABOVE]),
    }
    return told(**{**tables, **changes})
