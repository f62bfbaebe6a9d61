"""Pictures of single maps and of what methods report of them: over the image and alone, flaws in words, limits as lines."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.data.datasets import ImageData
from clxai.figures import overlay, quality
from clxai.figures.base import FIGURES, Study
from clxai.figures.gallery import draw_maps
from clxai.figures.pictures import count_flaws, flaws, scale_of
from clxai.figures.style import look_of, save, title, use_style
from matplotlib.colors import to_rgb

HEADS, INDEX = ["linear", "knn"], [6, 9]
BLACK, WHITE = (np.full((4, 4, 3), grey) for grey in (0.0, 1.0))


@pytest.fixture(autouse=True)
def style():
    use_style()
    yield
    plt.close("all")


@pytest.fixture
def data():
    """Twelve images of two classes; image n is of the grey n."""
    pixels = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 1, 4, 4)).copy()
    return ImageData("made up", pixels, np.arange(12) % 2, np.repeat([0, 2], 6), ("even", "odd"), (0.5,), (0.5,))


def maps_of(values, signed=1, **attrs):
    """The same map [y, x] for two heads and images of both classes, whose predicted class is even."""
    maps = np.broadcast_to(np.asarray(values, float), (2, 2, 4, 4)).copy()
    variables = {"attribution": (("head", "image", "y", "x"), maps), "target": (("head", "image"), np.zeros((2, 2), int))}
    return xarray.Dataset(variables, {"head": HEADS, "image": INDEX}, {"signed": signed, "aligned_to": "input", **attrs})


RAMP = np.arange(-8, 8).reshape(4, 4)
BROKEN = np.where(np.eye(4) > 0, np.nan, 1.0)
CONSTANT, ZERO = np.full((4, 4), 2.0), np.zeros((4, 4))


def test_map_that_ranks_nothing_is_named_by_its_reason():
    found = flaws(np.stack([RAMP, BROKEN, CONSTANT, ZERO, np.full((4, 4), np.inf)]))
    assert found.tolist() == ["", "not finite", "constant", "all zero", "not finite"]


def test_maps_that_rank_nothing_are_counted_over_all_heads_and_images():
    one = maps_of(RAMP)
    one["attribution"][0, 1], one["attribution"][1, 1] = 0, 0
    one["attribution"][1, 0, 0, 0] = np.nan
    words = count_flaws({"grad_cam": one, "lrp": maps_of(RAMP)})
    assert words == "maps that rank nothing: Grad-CAM 2 of 4 all zero, Grad-CAM 1 of 4 not finite"
    assert count_flaws({"lrp": maps_of(RAMP)}) == ""


def words_in(axis):
    return [text.get_text().replace("\n", " ") for text in axis.texts if text.get_text()]


def test_gallery_writes_into_a_panel_why_its_map_ranks_nothing_and_counts_such_maps_below(data):
    maps = {
        "lrp": maps_of(RAMP),
        "grad_cam": maps_of(ZERO, 0),
        "occlusion": maps_of(BROKEN),
        "mean": maps_of(RAMP, scope="aggregated"),
    }
    sheet = draw_maps(data, maps, 2)
    for row in np.reshape(sheet.axes, (4, 5)):
        assert [words_in(axis) for axis in row] == [[], [], ["all zero"], ["not finite"], []]
    assert sheet.get_supxlabel() == "maps that rank nothing: Grad-CAM 4 of 4 all zero, occlusion 4 of 4 not finite"
    assert [axis.get_title() for axis in sheet.axes[:5]] == ["image", "LRP", "Grad-CAM", "occlusion", "mean\n(over\nimages)"]


def test_colours_cover_the_image_the_more_the_larger_the_magnitude():
    values = np.array([[1.0, -1.0, 0.5, 0.0]] * 4)
    for ground in (BLACK, WHITE):
        shown = overlay.coloured(values, True, ground)
        np.testing.assert_allclose(shown[0, 3], ground[0, 3])
        np.testing.assert_allclose(shown[0, 0], 0.9 * np.array(to_rgb("#b2182b")) + 0.1 * ground[0, 0])
        np.testing.assert_allclose(shown[0, 1], 0.9 * np.array(to_rgb("#2166ac")) + 0.1 * ground[0, 1])
        np.testing.assert_allclose(shown[0, 2], 0.45 * np.array(to_rgb("#b2182b")) + 0.55 * ground[0, 2])
    unsigned = overlay.coloured(np.abs(values), False, WHITE)
    np.testing.assert_allclose(unsigned[0, 1], 0.9 * np.array(to_rgb("#e66101")) + 0.1)
    assert (overlay.coloured(BROKEN, False, BLACK)[np.eye(4) > 0] == 0).all()


def test_one_pixel_far_above_the_others_does_not_hide_them():
    values = np.ones(10_000)
    values[0] = 1e6
    assert scale_of(values.reshape(100, 100), 0.99) == pytest.approx(1)
    assert scale_of(values.reshape(100, 100)) == 1e6
    assert scale_of(np.zeros((3, 3)), 0.99) == 1
    assert scale_of(np.eye(20) * (np.arange(20) == 3), 0.99) == 1  # a sparse map is shown


def test_image_below_a_map_is_grey_and_leaves_room_for_colour():
    red = np.zeros((4, 4, 3))
    red[..., 0] = 255
    np.testing.assert_allclose(overlay.shaded(red), 0.25 + 0.7 * 0.299)
    assert overlay.shaded(np.full((4, 4), 255)).max() == pytest.approx(0.95)


def test_overlay_shows_each_map_of_a_head_over_the_image_and_alone(data):
    maps = {
        "lrp": maps_of(RAMP),
        "grad_cam": maps_of(np.abs(RAMP), 0, aligned_to="layer"),
        "lime": maps_of(CONSTANT, aligned_to="unit"),
    }
    for method, factor in (("lrp", 2), ("grad_cam", 3)):
        maps[method]["attribution"][1] *= factor
    maps["lime"]["attribution"][1, :, :2] = -1
    sheet = overlay.draw_overlays(data, maps, "knn", 2)
    panels = np.reshape(sheet.axes[:16], (4, 4))
    assert [axis.get_title() for axis in panels[0]] == ["image", "LRP", "Grad-CAM\n(interpolated)", "LIME\n(by unit)"]
    assert [axis.get_ylabel() for axis in panels[::2, 0]] == ["kNN\neven", "kNN\neven [odd]"]
    for place, image in enumerate((6, 9)):
        assert (panels[2 * place, 0].images[0].get_array() == image).all()
        for column, (method, dataset) in enumerate(maps.items(), start=1):
            values, signed = dataset["attribution"].sel(head="knn")[place].values, bool(dataset.attrs["signed"])
            grounds = (overlay.shaded(data.images[image].mean(axis=0)), WHITE)
            for axis, ground in zip(panels[2 * place : 2 * place + 2, column], grounds, strict=True):
                np.testing.assert_allclose(axis.images[0].get_array(), overlay.coloured(values, signed, ground))
                assert [len(lines.get_segments()) for lines in axis.collections] == ([4] if method == "lime" else [])
    bars = sheet.axes[16:]
    assert [[label.get_text() for label in bar.get_xticklabels()] for bar in bars] == [
        ["against the class", "0", "for it"],
        ["0", "most (no sign)"],
    ]


def test_overlay_folds_many_methods_and_says_where_a_model_lacks_the_head(data):
    sheet = overlay.draw_overlays(data, {f"map{number}": maps_of(RAMP) for number in range(11)}, "knn", 2)
    titles = [axis.get_title() for axis in sheet.axes if axis.get_title()]
    assert titles == ["image", *(f"map{n}" for n in range(6)), "image", *(f"map{n}" for n in range(6, 11))]
    absent = overlay.draw_overlays(data, {"lrp": maps_of(RAMP)}, "softmax", 2)
    assert words_in(absent.axes[0]) == ["this model has no head softmax"]


CHECKS = pd.DataFrame(
    {
        "check": ["conservation_ratio", "completeness_error", "accuracy"],
        "method": ["lrp", "ig", "all"],
        "low": [0.3, 0.0, 0.9],
        "high": [1.5, 0.01, np.inf],
    }
)
REPORTED = {"completeness_error": [0.0, 0.5, np.nan], "conservation_ratio": [0.5, 0.7, 0.9]}


def reported(**numbers):
    variables = {name: (("head", "image"), [values, np.multiply(values, 2)]) for name, values in numbers.items()}
    return xarray.Dataset(variables, {"head": HEADS, "image": [0, 1, 2]})


@pytest.fixture
def study(monkeypatch):
    """Two models, of which one lacks LRP; IG reports its completeness, LRP what it conserves, saliency nothing."""
    numbers = {
        "ig": {"completeness_error": REPORTED["completeness_error"]},
        "lrp": {"conservation_ratio": REPORTED["conservation_ratio"]},
    }
    numbers["saliency"] = {}
    found = {(model, method): reported(**own) for model in ("ce", "supcon") for method, own in numbers.items()}
    del found["supcon", "lrp"]
    monkeypatch.setattr(quality, "maps_of_models", lambda study: found)
    return Study("made up", ["supcon", "ce"], HEADS, [*numbers], "mean", "grid", 0.05, tables={"checks": CHECKS})


def test_quality_shows_each_number_of_each_image_and_its_median_between_its_limits(study):
    complete, conserved = FIGURES["quality"].definition(study, None).axes
    looks = look_of(["supcon", "ce"])
    assert [label.get_text() for label in complete.get_yticklabels()] == ["ig, linear", "ig, kNN"]
    assert [label.get_text() for label in conserved.get_yticklabels()] == ["LRP, linear", "LRP, kNN"]
    assert (complete.get_xscale(), conserved.get_xscale()) == ("log", "linear")
    limits = [
        sorted({line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"}) for axis in (complete, conserved)
    ]
    assert limits == [[0.01], [0.3, 1.5]]
    found = {(round(float(line.get_ydata()[0])), line.get_marker()): line.get_xdata() for line in conserved.lines[:4]}
    for row, factor in enumerate((1, 2)):
        np.testing.assert_allclose(found[row, "."], np.multiply(REPORTED["conservation_ratio"], factor))
        np.testing.assert_allclose(found[row, looks["ce"]["marker"]], [0.7 * factor])
    dots = complete.lines[0].get_xdata()
    np.testing.assert_allclose(dots, [1e-6, 0.5])  # none where it is not finite


def test_limits_of_one_number_stand_in_the_rows_of_their_method(study):
    other = CHECKS[CHECKS["method"] == "ig"].assign(method="shap", high=0.2)
    study.tables["checks"] = pd.concat([CHECKS, other])
    axis = FIGURES["quality"].definition(study, None).axes[0]
    quality._limits(axis, study.tables["checks"], "completeness_error", [("ig", "knn"), ("shap", "knn")])
    found = {(line.get_xdata()[0], np.mean(line.get_ydata())) for line in axis.lines[-2:]}
    assert found == {(0.01, 0), (0.2, 1)}


def test_quality_of_many_methods_shows_one_head_and_cuts_what_lies_far_below(monkeypatch):
    names = [f"map{number}" for number in range(40)]
    found = {("ce", name): reported(r2_held_out=[-90.0, 0.5, 0.9]) for name in names}
    monkeypatch.setattr(quality, "maps_of_models", lambda study: found)
    many = Study("made up", ["ce"], HEADS, names, "mean", "grid", 0.05, shared_heads=["knn"], tables={"checks": CHECKS})
    sheet = FIGURES["quality"].definition(many, None)
    (axis,) = sheet.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [f"{name}, kNN" for name in names]
    assert (sheet.get_size_inches()[1] < 9, min(axis.lines[0].get_xdata())) == (True, -1)
    assert FIGURES["quality"].definition(many, "linear").axes[0].get_yticklabels()[0].get_text() == "map0, linear"


def test_quality_shows_what_it_declares(study):
    assert set(FIGURES["quality"].semantics["extras"]) == set(quality.PANELS)
    study.methods.remove("lrp")
    study.methods.remove("ig")
    assert "no method" in words_in(FIGURES["quality"].definition(study, None).axes[0])[0]


def test_saved_picture_says_what_it_is_about(tmp_path):
    sheet, _ = plt.subplots()
    save(sheet, tmp_path / "a.svg", tmp_path / "a.pdf", "a mark", "single images")
    words = [text.get_text() for text in sheet.texts]
    assert words == ["single images", "a mark"]
    assert title("random") == "random"
