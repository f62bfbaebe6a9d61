"""Several ways of cutting images and of filling what is removed, over the same models."""

import csv

import numpy as np
import pytest
from clxai.runtime.artefacts import read_arrays
from project import TINY

pytestmark = pytest.mark.xdist_group("finished")

UPSTREAM = ("prepare_data", "sample_images", "train_model", "embed_images", "fit_heads", "attribute")


def flips_alone(planned):
    """Whether every flip runs, with tables and figures after it and nothing before it."""
    wanted = {"flip": 6, "summarise": 1, "check_study": 1}
    return planned.items() >= wanted.items() and not any(rule.startswith(UPSTREAM) for rule in planned)


def with_superpixels(text):
    assert "flipping: {" in text
    return text.replace("flipping: {", "  superpixels: {n_segments: 30}\nflipping: {units: [grid, superpixels], ")


def test_another_way_of_cutting_flips_and_nothing_else(finished):
    with finished.edited(TINY, with_superpixels):
        assert flips_alone(finished.planned())


def test_an_edited_fill_flips_and_trains_nothing(finished):
    with finished.edited("workflow/scripts/clxai/fills/noise.py", lambda text: text + "\n# edited\n"):
        assert flips_alone(finished.planned())


def test_an_unused_fill_or_way_of_cutting_is_no_code_of_the_study(finished):
    for file in ("fills/blur.py", "units/superpixels.py"):
        with finished.edited(f"workflow/scripts/clxai/{file}", lambda text: text + "\n# edited\n"):
            assert finished.planned() == {}


@pytest.mark.campaign
def test_superpixels_beside_a_grid_of_the_same_models_end_to_end(fresh):
    with fresh.edited(TINY, with_superpixels):
        process = fresh.snakemake("--cores", "2")
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    curves = fresh.folder / "results/digits/ce/seed0/curves/evaluation"
    grid, superpixels = (read_arrays(curves / units / "saliency.nc") for units in ("grid", "superpixels"))
    assert (grid["unit"].dims, superpixels["unit"].dims) == (("y", "x"), ("image", "y", "x"))
    assert len(set(superpixels["n_units"].values.tolist())) > 1
    np.testing.assert_allclose(superpixels["fraction"], np.arange(5) / 4)
    for end in (0, -1):  # the clean and the empty image are the same however they are cut
        np.testing.assert_allclose(superpixels["log_odds"][..., end], grid["log_odds"][..., end], rtol=1e-3, atol=1e-3)
    for table in ("images", "summary", "curves", "contrasts", "variance", "maps"):
        with (fresh.folder / f"results/studies/tiny/digits/tables/{table}.csv").open() as file:
            assert {row["units"] for row in csv.DictReader(file)} == {"grid", "superpixels"}, table
