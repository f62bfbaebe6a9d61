"""Every mark of a figure stands where the names around it say: models, heads and methods have numbers of their own."""

import re
from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.data.datasets import ImageData
from clxai.figures.base import FIGURES, Study
from clxai.figures.gallery import draw_maps
from clxai.figures.style import look_of, title, use_style
from clxai.figures.trajectories import draw_paths, shown_methods
from clxai.registry import declared, files_of
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA

MODELS, HEADS, METHODS = ["supcon", "ce"], ["linear", "knn", "softmax"], ["saliency", "random", "lrp"]
SURE = 0.35  # SRG above this is surely above the best control
FILLS, METRICS = ["zero", "mean"], ["srg", "srg_matched", "srg_kept"]
CELLS = [(model, head) for model in MODELS for head in HEADS if (model, head) != ("supcon", "softmax")]


def number(*names):
    """A number in 0.1..0.8 that depends on every name."""
    levels = ((MODELS, 0.3), (HEADS, 0.1), (HEADS, 0.03), (METHODS, 0.01), (FILLS, 0.004), (METRICS, 0.001))
    return 0.1 + sum(share * level.index(name) for (level, share), name in zip(levels, names, strict=False))


def of_two_units(rows):
    """The rows for the units that are shown, and others with numbers that no figure may show."""
    others = [{name: value + 5 if isinstance(value, float) else value for name, value in row.items()} for row in rows]
    return [{**row, "units": "grid"} for row in rows] + [{**row, "units": "superpixels"} for row in others]


@pytest.fixture
def tables():
    """Tables whose numbers name their row; their rows are shuffled."""
    use_style()
    summary = [
        {
            **{"model": model, "method": method, "explained_by": explained, "scored_by": scored, "fill": fill, "metric": metric},
            **{"mean": value, "ci_low": value - 0.02, "ci_high": value + 0.03, "excess": value / 2},
            **{"excess_ci_low": value / 2 - 0.01, "excess_ci_high": value / 2 + 0.02, "excess_best_low": value - SURE},
            "baseline_is_fill": {"lrp": True, "saliency": False}.get(method),
        }
        for (model, explained), scored, method, fill, metric in product(CELLS, HEADS, METHODS, FILLS, METRICS)
        if (model, scored) in CELLS
        for value in [number(model, explained, scored, method, fill, metric)]
    ]
    curves = [
        {
            **{"model": model, "method": method, "head": head, "fill": fill, "order": order, "quantity": quantity},
            **{"fraction": step, "mean": value, "ci_low": value, "ci_high": value},
        }
        for (model, head), method, fill, order, quantity in product(
            CELLS, METHODS, FILLS, ("morf", "lerf"), ("probability", "probability_matched", "drift")
        )
        for step in (0.0, 0.25, 1.0)
        for value in [curve_number(model, head, method, fill, order, quantity) * (1 - step / 2)]
    ]
    heads = [
        {"model": model, "seed": seed, "head": head, "split": split, **dict.fromkeys(("nll", "nll_matched"), 9.0)}
        | {name: seed / 100 + value_of_head(model, head, name) + (split == "val") for name in ("accuracy", "ece", "ece_matched")}
        for (model, head), seed, split in product(CELLS, (0, 1), ("val", "test"))
    ]
    contrasts = [
        {"model": "supcon", "minus": "ce", "quantity": quantity, "metric": metric, "fill": fill, "method": method, "head": head}
        | {"difference": value, "ci_low": value - 0.02, "ci_high": value + 0.03, "p_holm": 0.5}
        | {"family": "confirmatory" if (method, head) == ("all", "all") else "exploratory"}
        for quantity, metric, fill in product(("value", "excess"), METRICS, FILLS)
        for method, head in product(("saliency", "lrp", "all"), ("linear", "knn", "all"))
        for value in [contrast_number(quantity, metric, fill, method, head)]
    ]
    cut = {name: of_two_units(rows) for name, rows in (("summary", summary), ("curves", curves), ("contrasts", contrasts))}
    names = {"measure": "agreement", "part": "srg", "units": "all", "fill": "all"}
    numbers = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "null": 0.0, "better": 1}
    trust = [{"model": model, "head": head, **names, **numbers} for model, head in CELLS]
    similarity = [
        {"model": model, "head": head, "method": "lrp", "of": "saliency", "random": "layer4", "n_parts": 1, "measure": measure}
        | {"units": "all" if "ssim" in measure else "grid", "mean": value, "ci_low": value - 0.02, "ci_high": value + 0.03}
        for (model, head), measure in product(CELLS, ALIKE)
        for value in [alike(model, head, measure)]
    ]
    stability = [
        {"model": model, "head": head, "method": method, "units": "grid", "measure": measure, "mean": value, "srg": value / 2}
        | {"ci_low": value - 0.02, "ci_high": value + 0.03, "srg_ci_low": value / 2 - 0.01, "srg_ci_high": value / 2 + 0.02}
        for (model, head), method, measure in product(CELLS, METHODS, ("max_sensitivity", "rank_mean"))
        for value in [number(model, head, head, method) + (measure == "rank_mean")]
    ]
    analyses = [
        {"model": model, "seed": "all", "analysis": "probes", "quantity": "accuracy", "unit": "1", "head": head, "layer": layer}
        | {"class": np.nan, **dict.fromkeys(("features", "task", "direction", "concept"))}
        | {"value": value, "ci_low": value - 0.02, "ci_high": value + 0.03}
        for (model, head), layer in product(CELLS, ("layer3", "layer4"))
        for value in [number(model, head, head, "lrp") + (layer == "layer4")]
    ]
    others = [{"quantity": "same", "value": 1.0}, {"seed": 0}, {"class": 3}]  # which no panel shows
    analyses += [{**analyses[0], **other} for other in others] + [{**analyses[0], "quantity": "same", "value": 1.0}]
    ranked = [
        {"model": model, "head": head, "method": method, "metric": metric, "better": better, "rank": rank, "n_methods": 3}
        | {"units": "grid", "fill": fill, "n_undefined": int(method == "lrp")}
        for (model, head), (fill, metric, better) in product(CELLS, (("zero", "srg_matched", 1), ("all", "max_sensitivity", -1)))
        for method, rank in zip(METHODS, ranks_in(model, head, metric), strict=True)
    ]
    rows = {
        "metric_ranks": ranked,
        "heads": heads,
        "trust": trust,
        "similarity": similarity,
        "stability": stability,
        "analyses": analyses,
        **cut,
    }
    frames = {name: pd.DataFrame(table).sample(frac=1, random_state=0) for name, table in rows.items()}
    everything = {
        "fills": FILLS,
        "cuts": ["grid", "superpixels"],
        "shared_heads": ["knn", "linear"],
        "matched": {"lrp": ["zero"], "saliency": ["mean"]},
    }
    return Study("made up", MODELS, HEADS, METHODS, "zero", "grid", 0.05, tables=frames, **everything)


def ranks_in(model, head, metric):
    """The ranks of the methods, turned by their place; the second has none by one of the metrics."""
    turn = MODELS.index(model) + HEADS.index(head)
    ranks = np.roll([1.0, 2.5, 3.0], turn).tolist()
    return [np.nan if place == 1 and metric == "max_sensitivity" else rank for place, rank in enumerate(ranks)]


def test_metric_ranks_stand_in_the_row_of_their_method_and_the_column_of_their_metric(tables):
    study = replace(tables, controls=["random"], model="ce")
    (axis,) = FIGURES["metric_ranks"].definition(study, head="linear").axes
    methods = [label.get_text() for label in axis.get_yticklabels()]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["srg matched ↑", "max sensitivity ↓"]
    assert methods[-1] == title("random") and set(methods) == {title(name) for name in METHODS}
    own = [text for text in axis.texts if text.get_text()[0].isdigit()]
    found = {(methods[text.get_position()[1]], text.get_position()[0]): text.get_text() for text in own}
    for column, metric in enumerate(("srg_matched", "max_sensitivity")):
        for method, rank in zip(METHODS, ranks_in("ce", "linear", metric), strict=True):
            mark = "*" if method == "lrp" else ""
            assert found.get((title(method), column)) == (None if np.isnan(rank) else f"{rank:g}{mark}")


def test_stability_stands_against_the_srg_of_the_same_maps(tables):
    axes = FIGURES["stability"].definition(replace(tables, controls=["random"]), head="linear").axes
    for place, (measure, model) in enumerate(product(("max_sensitivity", "rank_mean"), MODELS)):
        found = {
            tuple(np.round((line.get_xdata()[0], line.get_ydata()[0]), 6))
            for line in axes[place].lines
            if line.get_marker() not in ("", "None", "_", "|", None)
        }
        values = [number(model, "linear", "linear", method) for method in METHODS]
        assert found == {
            tuple(np.round((value + (measure == "rank_mean"), (value + (measure == "rank_mean")) / 2), 6)) for value in values
        }


def test_analyses_have_a_panel_for_each_quantity_that_differs_and_a_line_for_each_place(tables):
    first, second = FIGURES["analyses"].definition(tables).axes
    assert first.get_title() == "probes\naccuracy" and not second.axison
    places = [label.get_text() for label in first.get_yticklabels()]
    assert set(places) == {f"{title(head)}, {layer}" for head in HEADS for layer in ("layer3", "layer4")}
    found = {
        (places[round(y)], round(x, 6))
        for line in first.lines
        if line.get_marker() not in ("", "None", "_", "|", None)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert found == {
        (f"{title(head)}, {layer}", round(number(model, head, head, "lrp") + (layer == "layer4"), 6))
        for (model, head), layer in product(CELLS, ("layer3", "layer4"))
    }


ALIKE = ("spearman", "spearman_abs", "ssim", "ssim_abs")


def alike(model, head, measure):
    return 0.1 + 0.3 * MODELS.index(model) + 0.1 * HEADS.index(head) + 0.02 * ALIKE.index(measure)


def test_randomisation_shows_what_own_and_lent_maps_are_worth_above_how_alike_they_are(tables):
    """The lent map of the fixture is lrp's, with layer4 drawn anew; the own one is saliency's."""
    axes = FIGURES["randomisation"].definition(tables, head=None).axes
    for column, model in enumerate(MODELS):
        srg, ranks, ssim = axes[column], axes[len(MODELS) + column], axes[2 * len(MODELS) + column]
        expected = [number(model, "knn", "knn", name, "zero", "srg_matched") for name in ("saliency", "lrp")]
        np.testing.assert_allclose(srg.lines[0].get_ydata(), expected)
        for axis, measure in ((ranks, "spearman"), (ssim, "ssim")):
            for line in (axis.lines[0], next(line for line in axis.lines if line.get_linestyle() == "--")):
                which = measure if line is axis.lines[0] else f"{measure}_abs"
                np.testing.assert_allclose(line.get_ydata(), [1, alike(model, "knn", which)])
        assert [label.get_text() for label in ssim.get_xticklabels()] == ["trained", "layer4"]


def contrast_number(quantity, metric, fill, method, head):
    place = 3 * ("saliency", "lrp", "all").index(method) + ("linear", "knn", "all").index(head)
    return 0.02 * place + (quantity == "excess") + 2 * METRICS.index(metric) + 8 * FILLS.index(fill)


def test_contrasts_stand_in_the_row_of_their_method_in_the_colour_of_their_head(figure_of):
    (axis,) = figure_of("contrasts")
    assert axis.get_title() == f"{title('supcon')} - {title('ce')}"
    assert [label.get_text() for label in axis.get_yticklabels()] == [title("saliency"), f"{title('lrp')} ●", "all methods"]
    looks = look_of(["linear", "knn"])
    colours = {"linear": looks["linear"]["color"], "knn": looks["knn"]["color"], "all": "black"}
    found = {}
    for container in axis.containers:
        line = container[0]
        found[round(float(line.get_ydata()[0])), to_rgb(line.get_color())] = float(line.get_xdata()[0])
    expected = {
        (row, to_rgb(colours[head])): contrast_number("value", "srg_matched", "zero", method, head)
        for row, method in enumerate(("saliency", "lrp", "all"))
        for head in colours
    }
    assert found == pytest.approx(expected)


def curve_number(model, head, method, fill, order, quantity):
    return number(model, head, HEADS[0], method, fill) + 0.001 * (order == "lerf") + 0.002 * len(quantity) / 20


def value_of_head(model, head, name):
    return number(model, head) / 10 + 0.02 * ("accuracy", "ece", "ece_matched").index(name)


@pytest.fixture
def figure_of(tables):
    """Draw a figure of the tables and return its axes."""

    def draw(name):
        return FIGURES[name].definition(tables).axes

    yield draw
    plt.close("all")


def test_accuracy_shows_each_head_of_each_model_on_test(figure_of):
    looks = look_of(MODELS)
    for axis, name in zip(figure_of("accuracy"), ("accuracy", "ece", "ece_matched"), strict=True):
        assert [label.get_text() for label in axis.get_xticklabels()] == [title(head) for head in HEADS]
        means = [line for line in axis.lines if len(line.get_xdata()) == 1]
        found = {(to_rgb(line.get_color()), round(line.get_xdata()[0])): line.get_ydata()[0] for line in means}
        expected = {
            (to_rgb(looks[model]["color"]), HEADS.index(head)): 100 * (value_of_head(model, head, name) + 0.005)
            for model, head in CELLS
        }
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "quantity", "order"),
    [("deletion", "probability_matched", "morf"), ("insertion", "probability_matched", "lerf"), ("drift", "drift", "morf")],
)
def test_curves_stand_in_the_panel_of_their_model_and_head_in_the_colour_of_their_method(figure_of, name, quantity, order):
    panels = dict(zip(product(MODELS, HEADS), figure_of(name), strict=True))
    looks = look_of(METHODS)
    for model in MODELS:
        assert panels[model, HEADS[0]].get_ylabel() == title(model)
    for head in HEADS:
        assert panels[MODELS[0], head].get_title() == title(head)
    for model, head in CELLS:
        found = {to_rgb(line.get_color()): (line.get_xdata(), line.get_ydata()) for line in panels[model, head].lines}
        assert len(found) == 3
        for method in METHODS:
            place, values = (np.array(part) for part in found[to_rgb(looks[method]["color"])])
            removed = place if order == "morf" else 1 - place
            np.testing.assert_allclose(removed, [0, 0.25, 1])
            expected = curve_number(model, head, method, "zero", order, quantity) * np.array([1, 0.875, 0.5])
            np.testing.assert_allclose(values, expected)


def test_srg_shows_each_method_and_cell_with_its_interval(figure_of):
    for axis, metric in zip(figure_of("srg")[:2], ("srg_matched", "srg_kept"), strict=True):
        methods = ["saliency", "lrp", "random"]
        expected = [[number(model, head, head, method, "zero", metric) for model, head in CELLS] for method in methods]
        np.testing.assert_allclose(axis.collections[0].get_array().reshape(3, 5), expected)
        assert [label.get_text() for label in axis.get_yticklabels()] == [title("saliency"), f"{title('lrp')} ●", title("random")]
        bold = [text.get_weight() == "bold" for text in axis.texts if "[" in text.get_text()]
        assert bold == [value > SURE for value in np.ravel(expected)]
        words = [text.get_text() for text in axis.texts if "[" in text.get_text()]
        short = [tuple(f"{v:.2f}"[1:] for v in (x, x - 0.02, x + 0.03)) for x in np.ravel(expected)]
        assert words == [f"{mean}\n[{low}, {high}]" for mean, low, high in short]
    assert [label.get_text() for label in axis.get_xticklabels()] == [title(head) for _, head in CELLS]


def test_srg_boxes_the_best_control_of_each_column(tables):
    axis = FIGURES["srg"].definition(replace(tables, blind=["random", "saliency"], controls=["random"])).axes[0]
    corners = [(int(box.get_x()), int(box.get_y())) for box in axis.patches]
    assert corners == [(column, 2) for column in range(5)]  # random, the last row, is the higher one of the two
    plt.close("all")


def test_ranking_and_fills_show_the_best_control_that_is_not_among_their_methods(tables):
    few = replace(tables, methods=["saliency", "lrp"], blind=["random"])
    for name, share in (("ranking", 0.5), ("fills", 1.0)):
        axis = FIGURES[name].definition(few, **FIGURES[name].semantics["options"]).axes[0]
        head = HEADS[0] if name == "ranking" else "knn"
        dashed = {round(line.get_xdata()[0], 6) for line in axis.lines if line.get_linestyle() == "--"}
        assert dashed == {round(share * number(model, head, head, "random", "zero", "srg_matched"), 6) for model in MODELS}
    plt.close("all")


def test_method_that_a_model_lacks_leaves_its_place_empty(tables):
    for name in ("summary", "curves"):
        table = tables.tables[name]
        tables.tables[name] = table[(table["model"] != "ce") | (table["method"] != "lrp")]
    srg = FIGURES["srg"].definition(tables).axes[0]
    values = np.ma.filled(srg.collections[0].get_array().reshape(3, 5), np.nan)
    assert np.isnan(values).tolist() == [[False] * 5, [False, False, True, True, True], [False] * 5]
    assert sum("[" in text.get_text() for text in srg.texts) == 12
    lines = dict(zip(product(MODELS, HEADS), FIGURES["deletion"].definition(tables).axes, strict=True))
    assert [len(lines[cell].lines) for cell in CELLS] == [3, 3, 2, 2, 2]
    for name in ("ranking", "fills"):
        FIGURES[name].definition(tables, **FIGURES[name].semantics["options"])
    plt.close("all")


def test_cross_shows_the_explaining_head_down_and_the_scoring_head_across(figure_of):
    for axis, model in zip(figure_of("cross"), MODELS, strict=True):
        heads = [head for name, head in CELLS if name == model]
        expected = [
            [np.mean([number(model, e, s, method, "zero", "srg_matched") for method in ("saliency", "lrp")]) for s in heads]
            for e in heads
        ]
        np.testing.assert_allclose(axis.collections[0].get_array().reshape(len(heads), -1), expected)
        assert (axis.get_title(), axis.get_xlabel()) == (title(model), "scored by")
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            assert [label.get_text() for label in labels] == [title(head) for head in heads]


def test_ranking_shows_each_model_and_method_by_its_excess_over_random(figure_of):
    looks = look_of(MODELS)
    for axis, head in zip(figure_of("ranking"), HEADS, strict=True):
        assert axis.get_title() == title(head)
        shown = [label.get_text() for label in axis.get_yticklabels()]
        assert sorted(shown) == sorted(map(title, ("saliency", "lrp")))
        for container in axis.containers:
            line = container.lines[0]
            (model,) = (name for name in MODELS if to_rgb(looks[name]["color"]) == to_rgb(line.get_color()))
            for value, place in zip(line.get_xdata(), line.get_ydata(), strict=True):
                (method,) = (name for name in METHODS if title(name) == shown[round(place)])
                assert value == pytest.approx(number(model, head, head, method, "zero", "srg_matched") / 2)


def marks(axis):
    """Value, row, colour and whether it is filled of every mark of a panel."""
    lines = [container.lines[0] for container in axis.containers]
    return {
        (round(float(value), 6), round(place), to_rgb(line.get_color()), line.get_markerfacecolor() != "none")
        for line in lines
        for value, place in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def test_fills_show_each_fill_and_unit_in_its_panel_in_one_order_of_methods(tables):
    looks = look_of(MODELS)
    panels = FIGURES["fills"].definition(replace(tables, blind=["random"]), head="linear").axes
    methods = ["lrp", "saliency", "random"]  # by their mean, the control last
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [title(method) for method in methods]
    for axis, (units, fill) in zip(panels, product(("grid", "superpixels"), FILLS), strict=True):
        assert axis.get_title() == f"{title(fill)}, {title(units)}"
        shift = 5 * (units == "superpixels")
        colours = {model: to_rgb(looks[model]["color"]) for model in MODELS}
        expected = set()
        for model, (row, method) in product(MODELS, enumerate(methods)):
            value = round(shift + number(model, "linear", "linear", method, fill, "srg_matched"), 6)
            expected.add((value, row, colours[model], method == "lrp"))
        assert marks(axis) == expected
        controls = {round(line.get_xdata()[0], 6) for line in axis.lines if line.get_linestyle() == "--"}
        found = {round(shift + number(model, "linear", "linear", "random", fill, "srg_matched"), 6) for model in MODELS}
        assert controls == found
    plt.close("all")


def test_fills_show_the_first_head_that_all_models_have(tables):
    assert FIGURES["fills"].definition(tables, head=None).get_supxlabel().endswith("kNN head")
    plt.close("all")


def test_declared_contrasts_are_boxed(figure_of):
    (axis,) = figure_of("contrasts")
    boxes = [line for line in axis.lines if line.get_marker() == "s" and line.get_markersize() == 8]
    assert [float(box.get_xdata()[0]) for box in boxes] == [
        pytest.approx(contrast_number("value", "srg_matched", "zero", "all", "all"))
    ]


def test_mean_over_methods_of_the_cross_figure_leaves_controls_out(tables):
    panels = FIGURES["cross"].definition(replace(tables, controls=["random", "lrp"])).axes
    expected = number("supcon", "linear", "knn", "saliency", "zero", "srg_matched")
    assert panels[0].collections[0].get_array().reshape(2, 2)[0, 1] == pytest.approx(expected)
    plt.close("all")


def test_twenty_names_look_different():
    looks = look_of([f"method{number}" for number in range(20)])
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == 21
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 21


@pytest.fixture
def data():
    """Twelve images of two classes; image n is of the grey n."""
    pixels = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 1, 4, 4)).copy()
    return ImageData("made up", pixels, np.arange(12) % 2, np.repeat([0, 2], 6), ("even", "odd"), (0.5,), (0.5,))


def test_trajectories_show_the_paths_of_their_model_and_method_in_the_plane_of_their_model(data):
    rng = np.random.default_rng(0)
    methods, axes = ["saliency", "random"], ("explained_by", "fill", "order", "trajectory", "step", "feature")
    coords = {"explained_by": HEADS, "fill": FILLS, "order": ["lerf", "morf"], "trajectory": [8, 7, 6]}
    embeddings = {model: rng.random((12, 4)) for model in MODELS}
    curves = {
        key: xarray.Dataset({"trajectory_embedding": (axes, rng.random((3, 2, 2, 3, 5, 4)))}, coords=coords)
        for key in product(MODELS, methods)
    }
    use_style()
    panels = iter(draw_paths(data, embeddings, curves, methods, "knn", "mean").axes)
    for row, (method, model) in enumerate(product(methods, MODELS)):
        axis, plane = next(panels), PCA(2, random_state=0).fit(embeddings[model][:6])
        assert axis.get_title() == (title(model) if row < 2 else "")
        assert model != MODELS[0] or axis.get_ylabel().startswith(title(method))
        np.testing.assert_allclose(axis.collections[0].get_offsets(), plane.transform(embeddings[model][:6]))
        own = curves[model, method]["trajectory_embedding"].sel(explained_by="knn", fill="mean", order="morf")
        paths = [line.get_xydata() for line in axis.lines if len(line.get_xdata()) == 5]
        assert len(paths) == 4  # one path per class, drawn twice
        for path, image in zip(paths[1::2], (8, 7), strict=True):
            np.testing.assert_allclose(path, plane.transform(own.sel(trajectory=image).values))
    plt.close("all")


def test_gallery_shows_each_image_head_and_method_in_its_place(data):
    index, methods = [9, 6, 11, 8], ["lrp", "saliency"]
    maps = {
        method: xarray.Dataset(
            {
                "attribution": (
                    ("head", "image", "y", "x"),
                    np.array([[np.full((4, 4), 100 * m + 10 * h + i) for i in index] for h in range(3)], dtype=float),
                ),
                "target": (("head", "image"), np.array([[0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]])),
            },
            coords={"head": HEADS, "image": index},
            attrs={"signed": int(method == "lrp")},
        )
        for m, method in enumerate(methods)
    }
    use_style()
    axes = draw_maps(data, maps, 2).axes
    assert [axis.get_title() for axis in axes[:3]] == ["image", *map(title, methods)]
    names = []
    for row, (image, head) in enumerate(product((6, 9), range(3))):
        shown = [axis.images[0].get_array()[0, 0] for axis in axes[3 * row : 3 * row + 3]]
        assert shown == [image, 10 * head + image, 100 + 10 * head + image]
        assert [axis.images[0].get_cmap().name for axis in axes[3 * row + 1 : 3 * row + 3]] == ["RdBu_r", "Greys"]
        names.append(axes[3 * row].get_ylabel().split("\n"))
    heads = [title(head) for head in HEADS]
    assert names == [
        list(pair) for pair in zip(heads * 2, ["even", "even", "odd [even]", "even [odd]", "odd", "odd"], strict=True)
    ]
    plt.close("all")


def test_gallery_folds_more_methods_than_fit(data):
    values = {"attribution": (("head", "image", "y", "x"), np.ones((1, 2, 4, 4))), "target": (("head", "image"), [[0, 1]])}
    one = xarray.Dataset(values, {"head": ["linear"], "image": [6, 9]}, {"signed": 0})
    use_style()
    sheet = draw_maps(data, {f"map{number}": one.assign(attribution=number * one["attribution"]) for number in range(1, 14)}, 2)
    rows = np.reshape(sheet.axes, (4, 11))
    titles = [[axis.get_title() for axis in row] for row in rows[::2]]
    assert titles == [["image", *(f"map{n}" for n in range(1, 11))], ["image", "map11", "map12", "map13", *[""] * 7]]
    assert [float(axis.images[0].get_array()[0, 0]) for axis in rows[3, 1:4]] == [11, 12, 13]
    assert [axis.axison for axis in rows[3]] == [True] * 4 + [False] * 7
    plt.close("all")


def test_names_of_a_large_study_look_different():
    looks = look_of(["random", *map(str, range(50))])
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == 51
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 51


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13, 16])
def test_gallery_shows_images_of_any_number_of_channels(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 5), dtype=np.uint8)
    images = ImageData("made up", pixels, np.arange(2), np.array([2, 2]), ("a", "b"), (0.5,) * channels, (0.5,) * channels)
    coords = {"head": HEADS[:1], "image": [0, 1], "target": (("head", "image"), [[0, 1]])}
    values = {"attribution": (("head", "image", "y", "x"), np.zeros((1, 2, 5, 5)))}
    use_style()
    figure = draw_maps(images, {"saliency": xarray.Dataset(values, coords, {"signed": False})}, 2)
    figure.canvas.draw()
    shown = np.asarray(figure.axes[0].images[0].get_array())
    expected = pixels[0].transpose(1, 2, 0) if channels == 3 else pixels[0].mean(axis=0)
    np.testing.assert_allclose(shown, expected)
    assert figure.axes[0].get_title().replace("\n", " ") == ("image" if channels in (1, 3) else f"mean of {channels} channels")
    plt.close("all")


@pytest.mark.parametrize(
    ("methods", "chosen", "expected"),
    [
        (["random"], None, ["random"]),
        (["random", "lrp"], None, ["lrp", "random"]),
        (["sobel", "random"], None, ["sobel", "random"]),
        (["sobel", "mine", "lrp", "random"], None, ["lrp", "random"]),
        (["random", "lrp", "saliency"], "saliency", ["saliency", "random"]),
        (["random", "lrp"], "random", ["random"]),
    ],
)
def test_trajectories_show_the_chosen_method_or_the_first_that_is_no_control(methods, chosen, expected):
    study = Study("made up", MODELS, HEADS, methods, "mean", "grid", 0.05, controls=["random", "sobel", "mine"])
    assert shown_methods(study, chosen) == expected


def test_figures_read_what_they_declare_and_no_more(tables):
    """Each table figure is drawn from its own tables alone, as its job gets them."""
    for name, entry in FIGURES.items():
        if not entry.semantics["arrays"]:
            own = {table: tables.tables[table] for table in entry.semantics["tables"]}
            assert entry.definition(replace(tables, tables=own), **entry.options({})).axes, name
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_metrics_that_a_figure_shows_are_those_that_it_declares(name):
    """A metric that it names in its source but not in its declaration could be left out of the study unnoticed.

    Figures that read no table by metrics may use the words for other things.
    """
    source = re.sub(r"@figure\(.*?\)\ndef ", "", files_of("figures")[name].read_text(), flags=re.DOTALL)
    by_metrics = {"images", "summary", "contrasts", "variance"} & {*FIGURES[name].semantics["tables"]}
    found = {metric for metric in declared("metrics") if by_metrics and f'"{metric}"' in source}
    assert found == set(FIGURES[name].semantics["metrics"])
