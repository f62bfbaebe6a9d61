"""The library without Snakemake: the functions of jobs on a module and a tensor, refused early where they do not fit."""

import ast
import doctest
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import clxai
import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai import api
from clxai.attribution.base import Explanation
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.fitted import FittedHeads
from clxai.flipping.curves import flip_curves
from clxai.heads.base import HEADS
from clxai.mask_bank import probing
from clxai.mask_bank.sizes import HELD_OUT, MASKS
from clxai.planning.provenance import code_of
from clxai.registry import LIBRARY
from project import filled_config, grid
from torch import nn

N = 4  # images that are explained
SETTINGS = {"steps": 4, "seed": 2, "batch_size": 8, "precision": "float32", "trajectories": 2, "bank_k": 5}
TILES = {"units": "grid", "height": 4, "width": 4}


@pytest.fixture(scope="module")
def run(tiny_run):
    return tiny_run.at(np.arange(N))


@pytest.fixture(scope="module")
def heads(run):
    return FittedHeads.of(run, pd.DataFrame())


@pytest.fixture(scope="module")
def shades():
    """60 images of one channel and 8 x 8 px: class 1 is bright in the upper left quarter, class 0 is not."""
    labels = torch.arange(60) % 2
    images = 0.3 * torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[:, :, :4, :4] += 0.6 * labels[:, None, None, None]
    return images, labels


@pytest.fixture(scope="module")
def small(shades):
    """A network from outside: its embedding is the mean of each quarter, its classifier compares the first with the last."""
    module = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[2].weight.copy_(torch.tensor([[-9.0, 0, 0, 0], [9, 0, 0, 0]]))
        module[2].bias.copy_(torch.tensor([4.0, -4]))
    return api.as_network(module, shades[0], classifier="2")


@pytest.fixture(scope="module")
def fitted(small, shades):
    return api.fit_heads(small, *shades, heads=["softmax", "linear"])


def test_examples_of_the_docstrings_hold():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = doctest.testmod(api)
    assert found.attempted > 20
    assert not found.failed


def test_flip_is_the_job_of_flipping_byte_for_byte(run, heads):
    """One way through: a study's maps, images and heads give the numbers of its curves file."""
    maps = explain(run, "saliency", {}, 0)
    expected = flip_curves(run, maps, {**SETTINGS, "fills": ["mean", "nun"], "units": grid(4)})
    found = api.flip(run.encoder, heads, run.images, maps, fills=["mean", "nun"], units=TILES, **SETTINGS)
    xarray.testing.assert_identical(found.drop_attrs(deep=False), expected.drop_attrs(deep=False))
    differ = {name for name, value in expected.attrs.items() if found.attrs[name] != value}
    assert differ == {"clean_bank_distance", "clean_relative_mahalanobis"}  # of these images, not of all test images


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("integrated_gradients", {"baseline": {"fill": "blur", "sigma": 0.2}}),
        ("grad_cam", {"layer": "last"}),
        ("lrp", {}),
        ("random", {}),
        ("wrong_class", {"of": "saliency"}),
    ],
)
def test_explain_is_the_job_of_attribution(run, heads, name, options):
    found = api.explain(run.encoder, heads, run.images, name, options=options, seed=3)
    told = (
        {**options, "baseline": {"name": "blur", "fill": "blur", "options": {"sigma": 0.2}}} if "baseline" in options else options
    )
    expected = explain(run, name, told, 3)
    assert found.attrs == expected.attrs
    xarray.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_methods_that_are_made_of_maps_or_remove_units_run(run, heads):
    few = heads.only("softmax")
    lent = api.explain(run.encoder, few, run.images, "saliency")
    degraded = api.explain(run.encoder, few, run.images, "degraded", options={"of": "saliency"}, borrowed=lent)
    assert degraded.attrs["borrowed_method"] == "saliency"
    options = {"units": {"units": "grid", "height": 8, "width": 8}, "fill": "zero"}
    best = api.explain(run.encoder, few, run.images, "best_order", options=options)
    assert best.attrs["option_fill"] == "zero"
    assert best["attribution"][0, 0].to_numpy().reshape(2, 8, 2, 8).std(axis=(1, 3)).max() == 0  # one value a unit


def test_methods_that_read_a_mask_bank_have_it_filled(run, heads):
    """The bank is the job's, byte for byte, and so are the maps; a bank that is given is read instead."""
    few, tall = heads.only("linear"), {"units": "grid", "height": 8, "width": 8}
    own = replace(run, heads=few.heads)
    told = {"units": grid(8), "fill": {"name": "blur", "fill": "blur", "options": {"sigma": 0.2}, "seed": 3}, "seed": 3}
    bank = probing.fill_bank(own, {**told, "masks": 1024, "held_out": 0.2, "batch_size": None})
    expected = explain(own, "kernel_shap", {"units": "grid", "fill": "blur"}, 3, bank=bank)
    options = {"units": tall, "fill": {"fill": "blur", "sigma": 0.2}}
    found = api.explain(run.encoder, few, run.images, "kernel_shap", options=options, seed=3)
    xarray.testing.assert_identical(found, expected)
    small = api.fill_bank(run.encoder, few, run.images, units=tall, fill="zero", masks=64)
    lent = api.explain(run.encoder, few, run.images, "rise", bank=small)
    assert (lent.attrs["option_fill"], lent.attrs["baseline_sha256"]) == ("zero", small.attrs["baseline_sha256"])
    other = api.explain(run.encoder, few, run.images, "wrong_class", options={"of": "rise"}, bank=small)
    assert not np.allclose(other["attribution"], lent["attribution"])


def test_given_maps_order_the_units_and_need_no_method(small, fitted, shades):
    """What decides is the upper left quarter: shown by a map it goes first, and the other way round it goes last."""
    images = shades[0][1::2][:5]
    corner = torch.zeros(5, 8, 8)
    corner[:, :4, :4] = 1
    found = api.flip(small, fitted, images, torch.stack([corner, -corner]), fills=["zero"], units=TILES, steps=4)
    kept = found["prediction"].sel(fill="zero", order="morf") == found["target"]
    assert found.attrs["method"] == "given"
    assert kept.sel(explained_by="softmax", scored_by="softmax")[:, 1:].any() == np.False_
    assert kept.sel(explained_by="linear", scored_by="softmax")[:, :4].all()
    one = api.flip(small, fitted, images, corner.numpy(), fills=["zero"], units=TILES, steps=4)
    assert (
        one["probability"]
        .sel(explained_by="linear")
        .equals(one["probability"].sel(explained_by="softmax").assign_coords(explained_by="linear"))
    )


def test_curves_of_an_image_do_not_depend_on_the_others(small, fitted, shades):
    maps = api.explain(small, fitted, shades[0][:6], "saliency")
    both = [
        api.flip(small, fitted, shades[0][:n], maps.isel(image=slice(n)), fills=["noise"], units=TILES, steps=4) for n in (6, 2)
    ]
    np.testing.assert_allclose(both[0]["log_odds"][..., :2, :], both[1]["log_odds"], rtol=1e-5, atol=1e-5)


def test_images_may_have_8_bits(small, fitted, shades):
    whole = (255 * shades[0][:3]).round().to(torch.uint8)
    one, other = (api.explain(small, fitted, images, "input_x_gradient") for images in (whole, whole.float() / 255))
    xarray.testing.assert_identical(one, other)


def test_a_method_on_trial_is_explained_with_and_not_registered(small, fitted, shades):
    @api.method("darkness", families=("control",), signed=True, reduction="mean", blind=True)
    def darkness(problem, options):
        return Explanation(-problem.images)

    found = api.explain(small, fitted, shades[0][:3], darkness)
    np.testing.assert_array_equal(found["attribution"].sel(head="linear"), -shades[0][:3, 0])
    assert found.attrs["method"] == "darkness"
    with pytest.raises(ClxaiError, match="unknown attribution method 'darkness'"):
        api.explain(small, fitted, shades[0][:3], "darkness")


def test_heads_are_fitted_on_what_is_not_held_out(small, shades):
    fitted = api.fit_heads(small, *shades, heads={"mine": {"head": "linear", "C": 2.0}}, validation=0.25)
    assert len(fitted.labels) == 45
    assert fitted.labels.bincount().tolist() in ([22, 23], [23, 22])
    assert fitted.metrics[["head", "split", "n_images"]].values.tolist() == [["mine", "val", 15]]
    expected = HEADS["linear"].definition.fit(fitted.embeddings, fitted.labels, 2, {"C": 2.0})
    torch.testing.assert_close(fitted["mine"].weight, expected.weight)
    assert fitted["mine"].temperature_low < fitted["mine"].temperature < fitted["mine"].temperature_high


def test_heads_of_embeddings_are_those_of_their_images(small, shades):
    images, labels = shades
    of_images, of_embeddings = (api.fit_heads(small, given, labels) for given in (images, small(images)))
    torch.testing.assert_close(of_embeddings["linear"].weight, of_images["linear"].weight)
    maps = api.explain(small, of_embeddings, images[:3], "saliency")
    api.flip(small, of_embeddings, images[:3], maps, units=TILES, steps=4)
    with pytest.raises(ClxaiError, match="a fill or a method needs the training images: fit the heads on images"):
        api.flip(small, of_embeddings, images[:3], maps, fills=["nun"], units=TILES, steps=4)


def test_summary_has_one_row_for_each_image_and_their_mean(small, fitted, shades):
    images = shades[0][:8]
    maps = {name: api.explain(small, fitted, images, name) for name in ("random", "saliency")}
    curves = {name: api.flip(small, fitted, images, found, units=TILES, steps=4) for name, found in maps.items()}
    found = api.summarise(curves, ["srg", "auc_deletion"])
    assert len(found.images) == 2 * 4 * 8  # methods, pairs of heads, images
    own = found.images.query("method == 'saliency' and explained_by == 'linear' and scored_by == 'linear'")["srg"]
    row = found.means.query(
        "method == 'saliency' and explained_by == 'linear' and scored_by == 'linear' and metric == 'srg'"
    ).iloc[0]
    assert (row["mean"], row["n_images"], row["better"]) == (pytest.approx(own.mean()), 8, 1)
    assert row["ci_high"] - row["mean"] == pytest.approx(2.364624 * own.std() / np.sqrt(8))  # t, 7 degrees of freedom
    random = found.images.query("method == 'random' and explained_by == 'linear' and scored_by == 'linear'")["srg"]
    assert row["excess"] == pytest.approx((own.to_numpy() - random.to_numpy()).mean())
    of_maps = api.summarise(curves, ["sparseness", "active_share"], maps=maps, images=images).images
    shares = (images.mean(dim=1) > 30 / 80).double().mean(dim=(1, 2)).numpy()
    np.testing.assert_allclose(of_maps["active_share"], shares[of_maps["image"]])
    assert of_maps["sparseness"].between(0, 1).all()
    with pytest.raises(ClxaiError, match=r"metric 'sparseness' reads maps and images\. Got none"):
        api.summarise(curves, ["sparseness"], maps=maps)
    alone = api.summarise(curves["saliency"])
    assert "excess" not in alone.means
    assert set(alone.means["metric"]) == set(api.METRICS_SHOWN)
    assert set(alone.curves["quantity"]) >= {"probability", "kept"}


def test_summary_measures_masks_where_a_bank_and_maps_are_given(small, fitted, shades):
    """What decides is the mean of a quarter each, so that the log-odds of a quarter are nearly additive."""
    images = shades[0][:8]
    bank = api.fill_bank(small, fitted, images, units=TILES, fill="zero", masks=128)
    maps = {name: api.explain(small, fitted, images, name, bank=bank) for name in ("kernel_shap", "leave_one_out")}
    curves = {
        name: api.flip(small, fitted, images, found, fills=["zero", "mean"], units=TILES, steps=4) for name, found in maps.items()
    }
    found = api.summarise(curves, None, maps=maps, banks=[bank])
    means = found.means.query("explained_by == 'linear' and scored_by == 'linear' and metric == 'faithfulness_correlation'")
    assert (means.query("fill == 'zero'")["mean"] > 0.9).all()
    assert means.query("fill == 'mean'")["mean"].isna().all()
    with pytest.raises(ClxaiError, match=r"metric 'infidelity' reads a mask bank\. Got none"):
        api.summarise(curves, ["infidelity"])
    with pytest.raises(ClxaiError, match=r"need the maps of method 'kernel_shap'\. Got those of leave_one_out"):
        api.summarise(curves, ["infidelity"], maps=maps["leave_one_out"], banks=[bank])


WRONG_IMAGES = [
    (lambda images: images[:, :, :6], r"images must be \[image, channel, y, x\] = \[n, 1, 8, 8\]\. Got \[60, 1, 6, 8\]"),
    (lambda images: images[0], r"Got \[1, 8, 8\]"),
    (lambda images: images.expand(-1, 3, -1, -1), r"Got \[60, 3, 8, 8\]"),
    (lambda images: images[:0], r"Got \[0, 1, 8, 8\]"),
    (lambda images: 4 * images - 2, r"floats in \[0, 1\], before normalisation, or uint8\. Got torch\.float32 from -2 to"),
    (lambda images: images.where(images > 0.1, torch.nan), "before normalisation"),
    (lambda images: (255 * images).long(), r"or uint8\. Got torch\.int64"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_IMAGES)
def test_images_that_are_not_for_the_network_are_refused(small, fitted, shades, change, message):
    with pytest.raises(ClxaiError, match=message):
        api.explain(small, fitted, change(shades[0]), "saliency")


WRONG_LABELS = [
    ({"labels": torch.arange(59) % 2}, "one for each of 60 images"),
    ({"labels": torch.rand(60)}, "must be whole numbers from 0"),
    ({"labels": torch.arange(60) % 2 - 1}, "must be whole numbers from 0"),
    ({"labels": torch.arange(60) % 2 * 2}, r"3 classes: \[1\] have no image to fit on"),
    ({"class_names": ["only"]}, r"1 classes: \[1\] have no image to fit on, or no name"),
    ({"validation": 0.0}, "validation must be a share of 60 images"),
    ({"validation": 1.0}, "validation must be a share of 60 images"),
    ({"heads": ["soft"]}, "unknown head 'soft'. Did you mean 'softmax'"),
    ({"heads": {"linear": {"c": 1}}}, "linear: unknown option 'c'. Known: C"),
    ({"heads": {"linear": {"C": "much"}}}, r"linear\.C must be a number"),
    ({"labels": torch.arange(60) % 3, "heads": ["softmax"]}, "classifier for the 3 classes of the labels; it has one for 2"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_LABELS)
def test_what_cannot_be_fitted_is_refused(small, shades, changes, message):
    given = {"images": shades[0], "labels": shades[1], **changes}
    with pytest.raises(ClxaiError, match=message):
        api.fit_heads(small, **given)


def test_softmax_needs_a_classifier(shades):
    plain = api.as_network(nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), shades[0])
    with pytest.raises(ClxaiError, match=r"'softmax' is the network's own classifier.*it has none"):
        api.fit_heads(plain, *shades, heads=["softmax"])


WRONG_METHODS = [
    ("salience", {}, "unknown attribution method 'salience'. Did you mean 'saliency'"),
    ("saliency", {"steps": 3}, "saliency: unknown option 'steps'"),
    ("integrated_gradients", {"baseline": "grey"}, "unknown fill 'grey'"),
    ("integrated_gradients", {"baseline": {"sigma": 0.1}}, "fill: a mapping names the member as 'fill'"),
    ("integrated_gradients", {"steps": "many"}, r"integrated_gradients\.steps must be a whole number"),
    ("lrp", {}, "'lrp' has rules for trained networks of the library alone"),
    ("oracle", {}, "shows known evidence, of which images in memory have none"),
    ("grad_cam", {}, "layer"),
    ("lime", {"fill": "nun"}, "fill 'nun' takes from the training images: a mask bank has none"),
    ("lime", {"units": "squares"}, "unknown kind of units 'squares'"),
    ("degraded", {"of": "saliency"}, "borrows the maps of 'saliency'. Got none"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG_METHODS)
def test_methods_that_cannot_be_run_are_refused(small, fitted, shades, name, options, message):
    with pytest.raises(ClxaiError, match=message):
        api.explain(small, fitted, shades[0][:2], name, options=options)


WRONG_FLIPS = [
    ({"maps": torch.rand(3, 8, 8)}, r"maps must be \[image, y, x\] = \[2, 8, 8\].* Got \[3, 8, 8\]"),
    ({"maps": torch.rand(2, 4, 4)}, r"Got \[2, 4, 4\]"),
    ({"maps": torch.rand(3, 2, 8, 8)}, r"each of 2 heads\. Got \[3, 2, 8, 8\]"),
    ({"maps": torch.full((2, 8, 8), torch.nan)}, "none of 2 maps is finite"),
    ({"fills": ["grey"]}, "unknown fill 'grey'"),
    ({"fills": [{"fill": "blur", "width": 1}]}, "blur: unknown option 'width'"),
    ({"units": "squares"}, "unknown kind of units 'squares'"),
    ({"units": {"units": "grid", "height": 3, "width": 4}}, r"must tile 8 px"),
    ({"steps": 5}, "steps"),
    ({"precision": "float16"}, "precision must be one of"),
    ({"bank_k": 49}, "at most the 48 training images"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_FLIPS)
def test_what_cannot_be_flipped_is_refused(small, fitted, shades, changes, message):
    given = {"images": shades[0][:2], "maps": torch.rand(2, 8, 8), "units": TILES, "steps": 4, **changes}
    with pytest.raises(ClxaiError, match=message):
        api.flip(small, fitted, **given)


def test_a_bare_module_is_refused_with_what_makes_a_network_of_it(fitted, shades):
    module = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    calls = [
        lambda: api.fit_heads(module, *shades),
        lambda: api.explain(module, fitted, shades[0], "saliency"),
        lambda: api.flip(module, fitted, shades[0], shades[0][:, 0], units=TILES, steps=4),
    ]
    for call in calls:
        with pytest.raises(ClxaiError, match=r"what clxai\.as_network\(module, images, \.\.\.\) returns\. Got Sequential"):
            call()
    for images in (shades[0][0], shades[0][:0], 2 * shades[0]):
        with pytest.raises(ClxaiError, match="images must be"):
            api.as_network(module, images)
    whole = (255 * shades[0]).to(torch.uint8)
    torch.testing.assert_close(api.as_network(module, whole).mean, (whole.float() / 255).mean((0, 2, 3))[:, None, None])


def test_heads_of_another_network_are_refused(small, fitted, shades, heads):
    with pytest.raises(ClxaiError, match="gives 4 features, the heads were fitted on 32: they are of another network"):
        api.explain(small, heads, shades[0][:2], "saliency")
    with pytest.raises(ClxaiError, match=r"unknown head 'knn'\. Known: linear, softmax"):
        fitted.only("knn")


def test_a_given_bank_says_its_own_units_and_fill(small, fitted, shades):
    bank = api.fill_bank(small, fitted, shades[0][:2], units=TILES, masks=64)
    with pytest.raises(ClxaiError, match=r"a given mask bank says its own fill: leave the option 'fill' out\. Got 'zero'"):
        api.explain(small, fitted, shades[0][:2], "rise", options={"fill": "zero"}, bank=bank)


def test_a_bank_has_as_many_masks_as_that_of_a_study():
    defaults = filled_config()["mask_bank"]
    assert (defaults["masks"], defaults["held_out"]) == (MASKS, HELD_OUT)


def test_package_imports_nothing_until_it_is_asked():
    """Planning imports it, and waits for neither torch nor pandas."""
    program = "import sys, clxai; print([name for name in ('clxai.api', 'torch', 'pandas') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert set(clxai.__all__) <= set(dir(clxai))
    with pytest.raises(AttributeError, match="has no attribute 'flips'"):
        clxai.flips  # noqa: B018


def test_public_names_are_those_of_the_api_and_of_its_types():
    stub = ast.parse((LIBRARY / "__init__.pyi").read_text())
    typed = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(clxai.__all__) == set(api.__all__)
    assert all(getattr(clxai, name) is getattr(api, name) for name in clxai.__all__)


def test_no_job_depends_on_the_library_for_notebooks():
    own = {LIBRARY / name for name in ("api.py", "fitted.py", "study.py", "options.py")}
    for script in sorted(LIBRARY.parent.glob("*.py")):
        assert own.isdisjoint(code_of(Path(script)))
