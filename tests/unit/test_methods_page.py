"""What methods are, as a table, as a page and as a record beside their maps."""

import json

import numpy as np
import pytest
import xarray
from clxai.attribution.metadata import metadata_of
from clxai.measures.methods import COLUMNS, method_table
from clxai.verdict.methods import methods_page, strip
from clxai.verdict.rendering import html

SEMANTICS = {
    **{"payload": "attributions", "scope": "local", "scope_defined_by": "explainer", "signed": 1, "per_head": 1},
    **{"aligned_to": "input", "seeding": "none", "complete": "none", "reduction": "sum", "extras": "", "families": "gradient"},
}
BASELINE = {
    **{"baseline": "noise", "baseline_cardinality": "single", "baseline_space": "normalised", "baseline_dtype": "float32"},
    **{"baseline_shape": np.array([3, 1, 4, 4]), "baseline_source": "fill noise (seed 0)"},
}


def maps_of(method, zero=0, **attrs):
    """The maps of three images and two heads; the first `zero` images of the first head have none."""
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    values[0, :zero] = 0
    arrays = {"attribution": (("head", "image", "y", "x"), values)}
    arrays["zero_fraction"] = (("head", "image"), (values == 0).mean((2, 3)))
    attrs = {**SEMANTICS, "method": method, "baseline": "none", **attrs}
    return xarray.Dataset(arrays, coords={"head": ["linear", "knn"], "image": [1, 2, 3]}, attrs=attrs)


def curves_of(*degenerate):
    """Which of three images two heads leave to a random order."""
    arrays = {"degenerate": (("explained_by", "image"), np.int8(degenerate))}
    return xarray.Dataset(arrays, coords={"explained_by": ["linear", "knn"]})


@pytest.fixture(scope="module")
def table():
    runs, curves = [], []
    for seed in (0, 1):
        files = {
            "ig_noise": maps_of("integrated_gradients", option_steps=8, **BASELINE, baseline_sha256=f"{seed}abc"),
            "cam": maps_of("grad_cam", zero=seed, option_layer="layer4", signed=0, extras="depth [image] count"),
        }
        for method, found in files.items():
            run = {"model": "ce", "seed": seed, "method": method}
            runs.append((run, found))
            gone = [1, 0, 0] if method == "cam" and seed else [0, 0, 0]
            curves += [
                ({**run, "units": "grid"}, curves_of(gone, [0, 0, 0])),
                ({**run, "units": "fine"}, curves_of(gone, [0, 0, 1])),
            ]
    return method_table(curves, runs)


def test_table_has_one_row_per_method_with_what_it_is_and_counts_of_its_maps(table):
    assert tuple(table.columns) == COLUMNS
    assert table["method"].tolist() == ["cam", "ig_noise"]
    cam, ig = table.to_dict("records")
    assert (cam["member"], cam["options"], cam["extras"], cam["baseline"]) == (
        "grad_cam",
        "layer: layer4",
        "depth [image] count",
        "none",
    )
    assert (cam["n_maps"], cam["n_all_zero"], cam["n_degenerate"], cam["n_baselines"]) == (12, 1, 3, 0)
    assert (ig["baseline"], ig["baseline_shape"], ig["n_baselines"]) == ("noise", "3 1 4 4", 2)
    assert ig["baseline_sha256"] == "0abc | 1abc"  # it is drawn by the seed of the run
    assert ig["options"] == "steps: 8"


def test_page_tells_of_each_method_in_the_order_of_the_study(table):
    texts = {"ig_noise": "The integral of the gradient.", "cam": "A weighted sum & more."}
    preview = np.zeros((2, 1, 4, 4), np.uint8)
    text = html(methods_page("mine", "digits", table, texts, {"ig_noise": preview}))
    assert "<h1>Methods: mine, digits</h1>" in text
    assert text.index("<code>ig_noise</code>") < text.index("<code>cam</code>")
    assert "<code>ig_noise</code> (<code>integrated_gradients</code>)" in text
    assert "A weighted sum &amp; more." in text
    assert "2 different ones over models and seeds" in text
    assert "float32 [3, 1, 4, 4]" in text and "fill noise (seed 0)" in text
    assert text.count("<img ") == 1 and "what stands for nothing to ig_noise" in text


def test_pictures_are_enlarged_by_whole_pixels_and_stand_side_by_side():
    import io

    from PIL import Image

    grey = Image.open(io.BytesIO(strip(np.full((2, 1, 16, 8), 7, np.uint8))))
    assert (grey.mode, grey.size) == ("L", (2 * 24 + 3, 48))
    colours = Image.open(io.BytesIO(strip(np.full((1, 3, 64, 64), 7, np.uint8))))
    assert (colours.mode, colours.size) == ("RGB", (64, 64))
    assert strip(np.full((1, 3, 64, 64), 7, np.uint8)) == strip(np.full((1, 3, 64, 64), 7, np.uint8))


def test_record_beside_the_maps_is_plain_and_counts_what_says_nothing():
    found = maps_of("grad_cam", zero=2, **BASELINE)
    found["attribution"][1, 0, 0, 0], found["attribution"][1, 1] = np.nan, 3.0
    record = json.loads(json.dumps(metadata_of(found)))
    assert record["maps"] == {
        "linear": {"not_finite": 0, "constant": 2, "all_zero": 2},
        "knn": {"not_finite": 1, "constant": 1, "all_zero": 0},
    }
    assert record["meaning"]["baseline_shape"] == [3, 1, 4, 4]
    assert record["arrays"]["attribution"] == {"axes": ["head", "image", "y", "x"], "dtype": "float32", "unit": ""}
    assert record["n_images"] == 3
