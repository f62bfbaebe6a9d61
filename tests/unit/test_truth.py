"""How much of a map lies in the evidence, against closed forms; and the oracle."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.attribution.explaining import explain
from clxai.attribution.truth import relevance_mass, relevance_rank, truth_of
from clxai.errors import ClxaiError
from clxai.measures.statistics import two_way
from clxai.measures.summaries import with_truth
from clxai.measures.truth import SHARES, truth_images
from project import marked, row_of

INSIDE = torch.tensor([[[1, 1, 0], [0, 0, 0]]], dtype=torch.bool)  # 2 of 6 pixels
MAPS = {  # map, mass, rank
    "the mask": ([[1, 1, 0], [0, 0, 0]], 1, 1),
    "its complement": ([[0, 0, 1], [1, 1, 1]], 0, 0),
    "constant, by chance": ([[2, 2, 2], [2, 2, 2]], 1 / 3, 1 / 3),
    "half": ([[3, 0, 1], [0, 0, 0]], 3 / 4, 1 / 2),
    "negative counts for the rank alone": ([[3, -1, 1], [-4, -4, -4]], 3 / 4, 1 / 2),
    "one of three ties fits": ([[5, 1, 1], [1, 0, 0]], 6 / 8, (1 + 1 / 3) / 2),
    "all negative": ([[-1, -2, -3], [-4, -5, -6]], np.nan, 1),
    "not finite": ([[np.nan, 1, 0], [0, 0, 0]], np.nan, np.nan),
}


@pytest.mark.parametrize(("values", "mass", "rank"), MAPS.values(), ids=MAPS)
def test_mass_and_rank_have_their_closed_forms(values, mass, rank):
    maps = torch.tensor(values, dtype=torch.float32)[None, None]
    np.testing.assert_allclose(relevance_mass(maps, INSIDE), [[mass]])
    np.testing.assert_allclose(relevance_rank(maps, INSIDE), [[rank]])


def test_rank_is_the_mean_over_random_orders_of_ties():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 3, (1, 1, 5, 5), generator=generator).double()
    inside = torch.rand(1, 5, 5, generator=generator) < 0.4
    broken = maps + 1e-3 * torch.rand(20_000, 1, 5, 5, generator=generator)
    assert abs(relevance_rank(maps, inside).item() - relevance_rank(broken, inside).mean().item()) < 5e-3


def test_random_maps_have_the_share_of_the_evidence_on_average():
    generator = torch.Generator().manual_seed(0)
    evidence = torch.rand(300, 8, 8, generator=generator) < 0.2
    found = truth_of(torch.rand(2, 300, 8, 8, generator=generator), evidence.to(torch.uint8))
    for name in ("relevance_mass", "relevance_rank"):
        np.testing.assert_allclose(found[name].mean(), found["evidence_share"].mean(), atol=0.01)


def test_images_without_evidence_have_no_number():
    found = truth_of(torch.rand(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
    assert found["relevance_mass"].isnan().all()
    assert found["relevance_rank"].isnan().all()


@pytest.fixture(scope="module")
def run(tiny_run):
    return marked(tiny_run.at(tiny_run.index[:4].numpy()))


@pytest.mark.parametrize(("part", "parts"), [(0, (1, 2)), (1, (1,)), (2, (2,))])
def test_oracle_shows_the_evidence_or_one_part_of_it(run, part, parts):
    maps = explain(run, "oracle", {"part": part}, 0)["attribution"].values
    np.testing.assert_array_equal(maps, np.broadcast_to(np.isin(run.evidence, parts), maps.shape))


def test_maps_of_images_with_evidence_carry_how_much_of_them_lies_there(run):
    found = explain(run, "oracle", {}, 0)
    np.testing.assert_array_equal(found["relevance_mass"], np.ones((len(run.heads), 4)))
    np.testing.assert_array_equal(found["relevance_rank"], np.ones((len(run.heads), 4)))
    np.testing.assert_allclose(found["evidence_share"], np.full(4, 7 / 256))


def test_oracle_needs_evidence_of_the_part(run, tiny_run):
    with pytest.raises(ClxaiError, match=r"methods\.oracle\.part: none of 4 images has evidence of part 3"):
        explain(run, "oracle", {"part": 3}, 0)
    with pytest.raises(ClxaiError, match="needs images whose evidence is known"):
        explain(replace(run, data=tiny_run.data), "oracle", {}, 0)


def test_maps_of_other_images_carry_no_such_number(tiny_run):
    assert "relevance_mass" not in explain(tiny_run.at(tiny_run.index[:2].numpy()), "sobel", {}, 0)


def test_summary_has_the_shares_with_intervals_and_their_excess_over_random():
    rng, maps = np.random.default_rng(0), []
    for seed, method in product((0, 1, 2), ("random", "lrp")):
        values = {name: (("head", "image"), 0.2 * rng.random((1, 20)) + 0.4 * (method == "lrp")) for name in SHARES}
        dataset = xarray.Dataset(values, coords={"head": ["knn"], "image": np.arange(20)})
        maps.append(({"model": "ce", "seed": seed, "method": method}, dataset))
    summary = with_truth(pd.DataFrame(), truth_images(maps), 50, 0, ["random"])
    assert len(summary) == 2 * 2
    row = row_of(summary, method="lrp", metric="relevance_mass", units="all", fill="all", scored_by="knn")
    own = np.stack([explained["relevance_mass"][0] for run, explained in maps if run["method"] == "lrp"])
    assert row["mean"] == pytest.approx(own.mean())
    assert (row["ci_low"], row["ci_high"]) == pytest.approx([end[0] for end in two_way(own[..., None]).interval()])
    assert row["excess"] == pytest.approx(0.4, abs=0.05) and row["better"] == 1 and row["best_control"] == "random"


def test_summary_of_images_without_evidence_stays_as_it_is():
    summary = pd.DataFrame({"metric": ["srg"]})
    run = {"model": "ce", "seed": 0, "method": "lrp"}
    assert with_truth(summary, truth_images([(run, xarray.Dataset())]), 50, 0, ["random"]) is summary
