"""Every study that planning accepts is served by the figures: studies drawn from what is declared, with invented tables."""

from itertools import product
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.figures.base import FIGURES, Study
from clxai.figures.gallery import draw_maps
from clxai.figures.overlay import draw_overlays
from clxai.figures.style import use_style
from clxai.figures.trajectories import draw_paths, shown_methods
from clxai.measures.contrasts import Settings, contrast_tables
from clxai.measures.metrics.base import METRICS, entering
from clxai.planning import params
from clxai.planning.choices import controls_of, heads_of, recipe_of
from clxai.planning.config import check_values
from clxai.planning.config import contrasts_of as config_contrasts
from clxai.planning.outputs import figures_of
from clxai.registry import declared
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from project import changed, filled_config, installed_methods

CONFIG = filled_config()
CONFIG["samples"]["training"] = {"images": 20, "split": "train"}  # of which some controls are made
CONFIG["samples"]["validation"] = {"images": 20, "split": "val"}  # by which explainers are chosen
N_IMAGES, SIZE = 6, 8


def some(names):
    """One to three of these names, in any order."""
    return st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=3, unique=True)


NEEDY = [name for name, entry in installed_methods().items() if entry.semantics["needs_evidence"] or name == "file"]
WITHOUT_EVIDENCE = [name for name in installed_methods() if name not in NEEDY]
STUDIES = st.fixed_dictionaries(
    {
        "models": some(CONFIG["models"]),
        "heads": some(declared("heads")),
        "methods": some(WITHOUT_EVIDENCE).map(lambda names: [*dict.fromkeys([*names, "random"])]),
        "seeds": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    }
)
ALONE = {"models": ["ce"], "heads": ["softmax"], "methods": ["random"], "seeds": [0]}


def cells(config):
    """The heads of each model of a study."""
    return [(model, head) for model in config["study"]["models"] for head in heads_of(config, model)]


def tables_of(config, value):
    """Tables of a study with the same number everywhere."""
    study, fills = config["study"], config["flipping"]["fills"]
    pairs = [(model, one, other) for model, one in cells(config) for name, other in cells(config) if name == model]
    bounds = dict.fromkeys(("mean", "ci_low", "ci_high", "excess", "excess_ci_low", "excess_ci_high"), value)
    bounds |= {"excess_best_low": value, "baseline_is_fill": None}
    metrics = ("srg", "srg_matched", "srg_kept")
    summary = [
        {"model": model, "explained_by": one, "scored_by": other, "method": method, "fill": fill, "metric": metric, **bounds}
        for (model, one, other), method, fill, metric in product(pairs, study["methods"], fills, metrics)
    ]
    quantities = ("probability_matched", "drift")
    curves = [
        {"model": model, "head": head, "method": method, "fill": fill, "order": order, "quantity": quantity, "fraction": x}
        | dict.fromkeys(("mean", "ci_low", "ci_high"), value)
        for (model, head), method, fill, order, quantity, x in product(
            cells(config), study["methods"], fills, ("morf", "lerf"), quantities, (0.0, 1.0)
        )
    ]
    heads = [
        {"model": model, "head": head, "seed": seed, "split": "test", "accuracy": 1.0, "ece": 0.0, "ece_matched": 0.0}
        for (model, head), seed in product(cells(config), study["seeds"])
    ]
    cut = {name: pd.DataFrame(table).assign(units="grid") for name, table in (("summary", summary), ("curves", curves))}
    trust = [
        {
            "measure": "agreement",
            "part": "srg",
            "model": model,
            "head": head,
            "units": "all",
            "fill": "all",
            "null": 0.0,
            "better": 1,
        }
        | dict.fromkeys(("value", "ci_low", "ci_high"), value)
        for model, head in cells(config)
    ]
    ranked = [
        {"model": model, "head": head, "method": method, "metric": "srg_matched", "units": "grid", "fill": fill}
        | {"better": 1, "rank": 1.0, "n_methods": len(study["methods"]), "n_undefined": 0}
        for (model, head), method, fill in product(cells(config), study["methods"], fills)
    ]
    frames = {
        "metric_ranks": pd.DataFrame(ranked),
        "heads": pd.DataFrame(heads),
        "trust": pd.DataFrame(trust),
        **cut,
        "contrasts": contrasts_of(config, value),
    }
    return Study(dataset="invented", tables=frames, **params.plot_figure(config, SimpleNamespace(figure="srg"))["study"])


def contrasts_of(config, value):
    """The real contrasts of a study whose images all have the same number."""
    study = config["study"]
    places = product(cells(config), study["methods"], config["flipping"]["fills"], study["seeds"], range(2))
    images = [
        {"model": model, "units": "grid", "explained_by": head, "scored_by": head, "method": method, "fill": fill, "seed": seed}
        | {"image": image}
        for (model, head), method, fill, seed, image in places
    ]
    metrics = entering("contrasts", list(METRICS))
    table = pd.DataFrame(images).assign(**dict.fromkeys(metrics, value))
    return contrast_tables(table, metrics, Settings(config_contrasts(config), 0.05, controls=controls_of(config)))[0]


def image_data():
    """Six images of two classes, four of them for training."""
    images = np.arange(N_IMAGES * SIZE * SIZE, dtype=np.uint8).reshape(N_IMAGES, 1, SIZE, SIZE)
    labels, split = np.arange(N_IMAGES) % 2, np.array([0, 0, 0, 0, 2, 2])
    return ImageData("invented", images, labels, split, ("a", "b"), (0.5,), (0.2,))


def paths_of(heads, fills):
    """The trajectories of a method: two images, three steps."""
    axes = ("explained_by", "fill", "order", "trajectory", "step", "feature")
    values = np.random.default_rng(0).normal(size=(len(heads), len(fills), 2, 2, 3, 8))
    coords = {"explained_by": heads, "fill": fills, "order": ["morf", "lerf"], "trajectory": [4, 5]}
    return xarray.Dataset({"trajectory_embedding": (axes, values)}, coords=coords)


def maps_of(heads, signed):
    """The maps of a method that are zero everywhere."""
    maps, targets = np.zeros((len(heads), 2, SIZE, SIZE)), np.zeros((len(heads), 2), int)
    variables = {"attribution": (("head", "image", "y", "x"), maps), "target": (("head", "image"), targets)}
    return xarray.Dataset(variables, coords={"head": heads, "image": [4, 5]}, attrs={"signed": signed, "aligned_to": "unit"})


def is_filled(figure):
    """Lay a figure out as it is saved; does every axis that is shown have a line, a picture, a heat map or at least words?"""
    figure.draw_without_rendering()
    return all(axis.lines or axis.images or axis.collections or axis.texts or not axis.axison for axis in figure.axes)


def draw_pictures(config, study):
    """Draw the trajectories, the gallery of each model and the overlay of one."""
    models, fills = config["study"]["models"], config["flipping"]["fills"]
    data, methods, head = image_data(), shown_methods(study, None), study.shared_heads[0]
    paths = {(model, method): paths_of(config["study"]["heads"], fills) for model in models for method in methods}
    embeddings = {model: np.random.default_rng(1).normal(size=(N_IMAGES, 8)) for model in models}
    assert is_filled(draw_paths(data, embeddings, paths, methods, head, fills[0]))
    for model in models:
        maps = {name: maps_of(heads_of(config, model), place % 2) for place, name in enumerate(config["study"]["methods"])}
        assert is_filled(draw_maps(data, maps, 2))
    assert is_filled(draw_overlays(data, maps, head, 1))


@pytest.mark.campaign
@settings(max_examples=10, deadline=None, derandomize=True)
@given(study=STUDIES, fills=some(["mean", "zero", "blur", "noise"]), value=st.sampled_from([0.0, -0.4, 1.0]))
def test_figures_serve_every_study_that_planning_accepts(study, fills, value):
    config = config_of(study, fills)
    try:
        check_values(config)
    except ClxaiError:
        assume(False)
    draw_everything(config, value)


@pytest.mark.parametrize(
    ("study", "fills", "value"),
    [
        (ALONE, ["zero"], 0.0),
        ({**ALONE, "methods": ["random", "lrp"]}, ["mean"], 0.2),
        ({**ALONE, "methods": ["sobel", "random"], "models": ["supcon"], "heads": ["knn"]}, ["mean"], 0.0),
    ],
    ids=["a control alone", "one method", "one head of a model without a classifier"],
)
def test_figures_serve_the_smallest_studies(study, fills, value):
    config = config_of(study, fills)
    check_values(config)
    draw_everything(config, value)


def config_of(study, fills):
    """The config of a study that is flipped with these fills."""
    return changed(CONFIG, {**{f"study.{key}": value for key, value in study.items()}, "flipping.fills": fills})


def draw_everything(config, value):
    """Draw all figures of a study in which every number is the same; each must show something."""
    use_style()
    try:
        tables = tables_of(config, value)
        for name in figures_of(config):
            entry = FIGURES[name]
            assert entry.semantics["arrays"] or is_filled(entry.definition(tables, **entry.options({}))), name
        draw_pictures(config, tables)
    finally:
        plt.close("all")


def test_method_of_the_trajectories_must_be_in_the_study(config):
    config["figures"]["trajectories"] = {"method": "occlusion"}
    with pytest.raises(ClxaiError, match=r"figures\.trajectories\.method: unknown method of the study 'occlusion'"):
        check_values(config)


@pytest.mark.parametrize(("epochs", "given_", "expected"), [(1, None, 0.5), (2, None, 1), (12, 0, 0), (12, 3, 3)])
def test_default_warm_up_fits_the_epochs(config, epochs, given_, expected):
    config["models"]["ce"] |= {"epochs": epochs, "warmup_epochs": given_}
    check_values(config)
    assert recipe_of(config, "ce")["warmup_epochs"] == expected
