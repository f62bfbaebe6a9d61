"""How alike maps look: rank correlation and structural similarity, each against an independent implementation."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.measures.explained import maps_at
from clxai.measures.similarity import COLUMNS, read_cuts, similarities, similarity_table, structural_similarity
from clxai.runtime.artefacts import write_arrays
from clxai.units.base import Cut
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity as ssim

RNG = np.random.default_rng(0)
OWN, OTHER = RNG.normal(size=(2, 2, 3, 8, 8)).astype(np.float32)
GRID = torch.arange(8)[:, None] // 2 * 4 + torch.arange(8) // 2
# The third image has three units alone.
UNEVEN = torch.stack([GRID, GRID.T, torch.arange(8)[:, None].expand(8, 8) // 3]).int()
CUTS = {
    "grid": Cut(GRID.int()[None], torch.tensor([16]), None),
    "superpixels": Cut(UNEVEN, UNEVEN.amax((1, 2)).long() + 1, None),
}


def unit_means(values, labels):
    return [values[labels == unit].mean() for unit in range(int(labels.max()) + 1)]


def found(one=OWN, other=OTHER):
    return {(units, measure): values for units, measure, values in similarities(one, other, CUTS)}


@pytest.mark.parametrize("units", CUTS)
@pytest.mark.parametrize("suffix", ["", "_abs"])
def test_rank_correlation_is_spearmans_of_the_units_means(units, suffix):
    values, labels = found()[units, f"spearman{suffix}"], CUTS[units].labels.expand(3, -1, -1).numpy()
    for head, image in np.ndindex(2, 3):
        pair = (np.abs(maps) if suffix else maps for maps in (OWN, OTHER))
        one, two = (unit_means(maps[head, image].astype(float), labels[image]) for maps in pair)
        assert values[head, image] == pytest.approx(spearmanr(one, two).statistic, abs=1e-6)


def test_structural_similarity_is_that_of_scikit_image_of_maps_scaled_by_their_own_range():
    values = found()["all", "ssim"]
    for head, image in np.ndindex(2, 3):
        one, two = ((maps - maps.min()) / np.ptp(maps) for maps in (OWN[head, image], OTHER[head, image]))
        assert values[head, image] == pytest.approx(ssim(one, two, data_range=1.0), abs=1e-5)


def test_a_map_is_like_itself_and_like_a_multiple_of_itself():
    for values in found(OWN, 3 * OWN).values():
        np.testing.assert_allclose(values, 1, atol=1e-5)


def test_magnitudes_of_opposite_maps_are_alike():
    """What takes magnitudes first lets a map pass for another that says the opposite."""
    values = found(OWN, -OWN)
    np.testing.assert_allclose(values["grid", "spearman"], -1, atol=1e-6)
    np.testing.assert_allclose(values["all", "ssim_abs"], 1, atol=1e-5)


def test_two_maps_that_show_the_image_are_alike_whatever_the_networks_are():
    """Gradients of unrelated random networks, times the image: their similarity is that of the image, not of what was learnt."""
    image = np.zeros((1, 1, 16, 16))
    image[..., 4:12, 6:10] = 1
    gradients = np.abs(RNG.normal(1, 0.3, size=(2, 1, 1, 16, 16)))
    assert structural_similarity(*(gradients * image))[0, 0] > 0.7
    assert structural_similarity(*gradients)[0, 0] < 0.5


def test_constant_map_is_like_nothing():
    for values in found(np.ones_like(OWN)).values():
        assert np.isnan(values).all()


@pytest.mark.parametrize("side", [3, 6, 7])
def test_window_fits_small_maps(side):
    one, two = RNG.normal(size=(2, 1, 1, side, side))
    assert np.isfinite(structural_similarity(one, two)).all() and structural_similarity(one, one)[0, 0] == pytest.approx(1)


def test_table_has_the_mean_over_seeds_and_images_of_each_lent_map():
    stored = {
        ("ce", seed, name): xarray.Dataset(
            {"attribution": (("head", "image", "y", "x"), RNG.normal(size=(2, 3, 8, 8)).astype(np.float32))},
            coords={"head": ["knn", "linear"]},
        )
        for seed in (0, 1)
        for name in ("lrp", "lrp_only_stem")
    }
    lent = [{"model": "ce", "method": "lrp_only_stem", "of": "lrp", "random": "stem"}]
    table = similarity_table(lambda *place: stored[place], [0, 1], {"grid": CUTS["grid"]}, lent)
    assert list(table.columns) == list(COLUMNS) and len(table) == 2 * 4
    (row,) = table[(table["measure"] == "spearman") & (table["head"] == "linear")].to_dict("records")
    pairs = [[stored["ce", seed, name]["attribution"].values for name in ("lrp", "lrp_only_stem")] for seed in (0, 1)]
    expected = [values[1] for one, two in pairs for *_, values in similarities(one, two, {"grid": CUTS["grid"]})][::4]
    assert row["mean"] == pytest.approx(np.mean(expected))
    assert (row["units"], row["n_parts"], row["n_seeds"], row["n_images"]) == ("grid", 1, 2, 3)
    assert row["ci_low"] < row["mean"] < row["ci_high"]


def test_study_without_copies_has_an_empty_table():
    assert similarity_table(lambda *place: None, [0], CUTS, []).equals(pd.DataFrame(columns=COLUMNS))


def test_cuts_and_maps_are_read_from_the_files_of_their_runs(tmp_path):
    curves = tmp_path / "curves.nc"
    write_arrays(xarray.Dataset({"unit": (("y", "x"), GRID.numpy().astype(np.int16))}), curves)
    (cut,) = read_cuts(["grid"], [str(curves)]).values()
    assert cut.n_units.tolist() == [16] and torch.equal(cut.labels[0].long(), GRID)
    path = tmp_path / "ce/seed3/attributions/evaluation/lrp.nc"
    path.parent.mkdir(parents=True)
    write_arrays(xarray.Dataset({"attribution": (("y", "x"), OWN[0, 0])}), path)
    read = maps_at([{"model": "ce", "seed": 3, "method": "lrp"}], [str(path)])
    np.testing.assert_array_equal(read("ce", 3, "lrp")["attribution"], OWN[0, 0])
