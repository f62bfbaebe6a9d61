"""The page of a study holds what the study computed: orders, pictures, paths, curves, and the numbers of its tables."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.errors import ClxaiError
from clxai.explorer import page
from clxai.explorer.content import DISTANCES, SCORES, once
from clxai.explorer.orders import Cutting
from clxai.explorer.packing import LEVELS, Slice, pack, rounded, unpack
from clxai.explorer.pictures import blocks, drawable, thumbnails
from clxai.explorer.plane import Plane
from explored import FILLS, HEADS, METRICS, N_FOLLOWED, N_STEPS, UNITS, Invented

GRID = {"name": "grid", "units": "grid", "options": {"height": 2, "width": 2}}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return Invented(tmp_path_factory.mktemp("invented"), seeds=(0,)).content()


@pytest.fixture(scope="module")
def made(content):
    """Every slice by its name, as it comes out of its text."""
    return {name: unpack(pack(one)) for name, one in content.slices()}


def test_slice_comes_back_from_its_text():
    """Values and arrays as they were, quantised ones to half a level of their range; what is not finite is NaN."""
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(3, 2, 7)).astype(np.float32)
    curves[0, 0, 3] = np.nan
    bytes_, constant = rng.integers(0, 255, (3, 5), dtype=np.uint8), np.full((2, 3), 4.5)
    found = unpack(pack(Slice({"a": [1, None]}, {"bytes": bytes_}, {"curves": curves, "constant": constant})))
    assert found.values == {"a": [1, None]}
    assert np.array_equal(found.arrays["bytes"], bytes_)
    assert np.array_equal(found.quantised["constant"], constant)
    level = (np.nanmax(curves) - np.nanmin(curves)) / LEVELS
    assert np.array_equal(np.isnan(found.quantised["curves"]), np.isnan(curves))
    assert np.nanmax(np.abs(found.quantised["curves"] - curves)) <= 0.501 * level


@pytest.mark.parametrize(("value", "expected"), [(0.123456, 0.1235), (-1234.56, -1235.0), (np.nan, None), (1e-9, 1e-9)])
def test_numbers_of_tables_are_rounded_to_four_digits(value, expected):
    assert rounded(value) == expected


def test_units_are_ranked_by_their_mean_attribution():
    """Without ties that is a plain sort of block means, the highest first."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
    cutting = Cutting.of(GRID, torch.zeros(3, 1, 4, 6), np.arange(3), 3)
    ranks, scores = cutting.ordered(maps, seed=0)
    means = maps.reshape(2, 3, 2, 2, 3, 2).mean(axis=(3, 5)).reshape(2, 3, 6)
    assert np.allclose(scores, means, atol=1e-6)
    assert np.array_equal(ranks, (-means).argsort(axis=-1).argsort(axis=-1))
    assert cutting.counts.tolist() == [[0, 2, 4, 6]] * 3


def test_curves_that_were_cut_otherwise_are_refused():
    cutting = Cutting.of(GRID, torch.zeros(2, 1, 4, 4), np.array([5, 7]), 2)
    labels = np.repeat(np.repeat([[0, 1], [2, 3]], 2, axis=0), 2, axis=1)
    curves = xarray.Dataset({"unit": (("y", "x"), labels)}, coords={"image": [5, 7]})
    cutting.check(curves, "curves.nc")
    for other in (curves.assign(unit=curves["unit"].T), curves.assign_coords(image=[5, 8])):
        with pytest.raises(ClxaiError, match=r"other images than the sample's, or cut otherwise than units\.grid"):
            cutting.check(other, "curves.nc")


def test_pictures_have_three_channels_or_one():
    colours, grey = torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
    assert np.array_equal(drawable(colours), (colours * 255).round().byte().numpy())
    assert drawable(grey.expand(-1, 3, -1, -1)).shape == (2, 1, 4, 4)
    spectra = torch.rand(2, 5, 4, 4)
    assert np.array_equal(drawable(spectra)[:, 0], (spectra.mean(1) * 255).round().byte().numpy())
    assert drawable(torch.full((1, 1, 1, 1), 1.3)).item() == 255


@pytest.mark.parametrize(
    ("n_images", "shape", "largest"), [(120, (3, 16, 16), 50), (30, (3, 224, 224), 13), (2, (3, 2000, 2000), 1)]
)
def test_blocks_hold_every_image_once(n_images, shape, largest):
    found = blocks(n_images, shape)
    assert [place for rows in found for place in range(rows.start, rows.stop)] == list(range(n_images))
    assert max(rows.stop - rows.start for rows in found) == largest


@pytest.mark.parametrize(("size", "small"), [((16, 16), (16, 16)), ((224, 112), (32, 16))])
def test_thumbnails_are_at_most_32_pixels(size, small):
    assert thumbnails(torch.rand(2, 3, *size)).shape[-2:] == small


def test_plane_is_that_of_the_first_two_principal_components(content):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(content.data.images), 5)) * [5, 3, 1, 1, 1]
    plane, train = Plane.of(embeddings, content.data), content.data.indices("train")
    centred = embeddings[train] - embeddings[train].mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    assert np.allclose(np.abs(plane.points), np.abs(centred @ axes.T))
    assert np.allclose(plane(embeddings[train]), plane.points)
    assert np.allclose(plane.medians[3], np.median(plane.points[plane.labels == 3], axis=0))


def test_what_all_heads_share_is_kept_once():
    same, nan = np.ones((3, 4)), np.full((2, 2), np.nan)
    assert once(same).shape == (1, 4)
    assert once(nan).shape == (1, 2)
    assert once(np.arange(6).reshape(3, 2)).shape == (3, 2)


def test_every_part_of_a_study_has_its_slice(made):
    runs = [f"{model}/0" for model in HEADS]
    cells = [f"{run}/{units['name']}/{method}" for run in runs for units in UNITS for method in ("random", "saliency")]
    expected = ["overview", "summary", "pixels/0", *(f"run/{run}" for run in runs), *(f"bank/{run}/0" for run in runs)]
    expected += [f"metrics/{cell}" for cell in cells] + [f"curves/{cell}/0" for cell in cells]
    assert set(made) == set(expected)


def test_model_without_a_method_has_no_slices_of_it_and_offers_the_others(tmp_path):
    content = Invented(tmp_path, n_images=4, seeds=(0,), absent={"ce": ["random"]}).content()
    made = dict(content.slices())
    assert made["overview"].values["methods"] == {"ce": ["saliency"], "supcon": ["random", "saliency"]}
    assert {name.split("/")[1] for name in made if name.startswith("curves/") and name.endswith("/random/0")} == {"supcon"}
    assert "metrics/ce/0/grid/saliency" in made


def test_metrics_are_those_of_the_tables(content, made):
    images, summary = pd.read_csv(content.files.images_table), pd.read_csv(content.files.summary_table)
    own = images[images["explained_by"] == images["scored_by"]]
    for cell in own.itertuples():
        values = made[f"metrics/{cell.model}/{cell.seed}/{cell.units}/{cell.method}"].values[f"{cell.scored_by}/{cell.fill}"]
        for name in METRICS:
            assert values[name][content.index.tolist().index(cell.image)] == rounded(getattr(cell, name))
    own = summary[summary["explained_by"] == summary["scored_by"]]
    for row in own.itertuples():
        values = made["summary"].values[f"{row.model}/{row.units}/{row.method}/{row.scored_by}/{row.fill}"][row.metric]
        assert values == [rounded(row.mean), rounded(row.ci_low), rounded(row.ci_high)]


def test_curves_are_those_of_the_files(content, made):
    stored = xarray.open_dataset(content.curves["ce", 0, "frames", "saliency"], engine="h5netcdf")
    found = made["curves/ce/0/frames/saliency/0"]
    for name in (*SCORES, *DISTANCES):
        values = stored[name].values
        assert np.allclose(found.quantised[name], values, atol=np.ptp(values) / LEVELS)
    assert np.array_equal(found.arrays["prediction"], stored["prediction"].values)
    assert found.values["clean_bank_distance"] == 0.5
    assert found.values["clean_relative_mahalanobis"] is None


def test_paths_are_recorded_embeddings_in_the_plane(content, made):
    embeddings = xarray.open_dataset(content.files.embeddings[0], engine="h5netcdf")["embedding"].values
    stored = xarray.open_dataset(content.curves["ce", 0, "grid", "saliency"], engine="h5netcdf")["trajectory_embedding"].values
    path = made["curves/ce/0/grid/saliency/0"].quantised["path"]
    assert path.shape == (2, len(FILLS), 2, N_FOLLOWED, 2, N_STEPS + 1)
    expected = np.moveaxis(Plane.of(embeddings, content.data)(stored), -1, -2)
    assert np.allclose(path, expected, atol=np.ptp(expected) / LEVELS)


def test_page_can_make_what_fills_without_a_mask_leave(content, made):
    """Image, label map, ranks, counts and the picture of the fill give the image at a step, as the flipping engine makes it."""
    pixels, curves = made["pixels/0"].arrays, made["curves/ce/0/grid/saliency/0"].arrays
    cutting = content.cuttings["grid"]
    image, step = 6, 2
    gone = (curves["ranks"][1, image] < pixels["counts/grid"][0, step])[pixels["labels/grid"][0]]
    made_here = np.where(gone, pixels["fill/blur"][image], pixels["images"][image])
    removed = cutting.cut.masks(
        torch.from_numpy(curves["ranks"][1, image].astype(np.int64))[None], torch.tensor([8]), torch.tensor([image])
    )
    clean = content.gallery.images[[image]]
    filled = content.gallery.filled(content.fills[1], slice(image, image + 1))
    assert np.array_equal(made_here, drawable(torch.where(removed[:, None], filled, clean))[0])


def test_pictures_of_fills_that_see_the_mask_are_stored(made):
    """From the clean image to one without a unit left, for the images whose path is recorded."""
    pixels, stored = made["pixels/0"].arrays["images"], made["curves/ce/0/grid/saliency/0"].arrays["fill/linear"]
    assert stored.shape == (2, 2, N_FOLLOWED, N_STEPS + 1, 3, 16, 16)
    assert np.array_equal(stored[0, 0, :, 0], pixels[:N_FOLLOWED])
    kept = (stored[1, 0, :, 2] == pixels[:N_FOLLOWED]).all(axis=1).mean(axis=(1, 2))
    assert ((kept >= 0.5) & (kept < 0.6)).all()  # half of the units are left


def test_slices_without_room_stand_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "INLINE_BYTES", 400)
    slices = [(name, Slice({"text": "x" * 100, "name": name})) for name in ("overview", "a/0")]
    slices += [("a/1", Slice({}, {"noise": np.random.default_rng(0).integers(0, 255, 900, dtype=np.uint8)}))]
    slices += [("a/2", Slice({"name": "a/2"}))]
    total = page.write_page("of <all>", slices, tmp_path / "index.html", tmp_path / "slices")
    text = (tmp_path / "index.html").read_text()
    assert re.findall(r'plain" data-slice="([^"]+)"', text) == ["overview", "a/0"]
    assert sorted(file.name for file in (tmp_path / "slices").iterdir()) == ["a.1.js", "a.2.js"]
    beside = (tmp_path / "slices" / "a.2.js").read_text()
    assert unpack(re.fullmatch(r'explorerSlice\("a/2","(.+)"\);\n', beside)[1]).values == {"name": "a/2"}
    assert total == sum(len(pack(one)) for _, one in slices)
    assert "<title>of &lt;all&gt;</title>" in text


def test_page_needs_nothing_from_the_network():
    text = page.html("a study", {}, "slices")
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', text.split("<script>")[0])
    assert "<!--" not in re.sub(r"<!--\n(.|\n)+?-->", "", text.split("<script>")[0])  # every mark was filled in
    assert "d3 7.9.0" in text
    assert "@observablehq/plot 0.6.17" in text


def test_bundled_libraries_are_the_versions_that_the_notice_names():
    notice = page.asset("vendor/NOTICE")
    for name in page.LIBRARIES:
        version = re.search(r"v(\d+\.\d+\.\d+)", page.asset(name)[:200])[1]
        assert f" {version} (dist/{name.removeprefix('vendor/')})" in notice
