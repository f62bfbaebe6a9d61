"""The nearest unlike neighbour, chosen among invented embeddings and among those of a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.fills.base import Bank, fill_images, fill_of
from clxai.fills.unlike import nearest_unlike
from clxai.flipping.curves import bank_of, flip_curves
from project import check, filled_config, grid
from torch.nn import functional

MEAN = torch.tensor([0.5]).view(-1, 1, 1)


def at(*degrees):
    """Unit embeddings in the plane."""
    angle = torch.tensor(degrees).double().deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def bank():
    """Five training images among eight, each of one grey, and three images to fill."""
    images = np.full((8, 1, 2, 3), np.arange(8)[:, None, None, None] * 10, dtype=np.uint8)
    items, labels = torch.tensor([1, 2, 4, 5, 7]), torch.tensor([0, 0, 1, 2, 1])
    return Bank(images, items, labels, at(0, 10, 40, 90, 180), at(2, 60, 150))


def test_nearest_image_of_another_class_is_chosen(bank):
    # At 2 degrees: nearest 0 (class 0), of another class 40. At 60: 40 (class 1), of another 90. At 150: 180, of another 90.
    assert nearest_unlike(bank).tolist() == [2, 3, 3]


def test_fill_is_that_image_whatever_is_asked_beside_it(bank):
    images = torch.rand(3, 1, 2, 3)
    filled = fill_images(fill_of("nun"), images, MEAN, torch.arange(3), 0, None, bank)
    assert (255 * filled[:, 0, 0, 0]).round().tolist() == [40, 50, 50]
    assert torch.equal(filled, filled[:, :, :1, :1].expand_as(filled))
    alone = fill_images(fill_of("nun"), images[2:], MEAN, torch.arange(2, 3), 0, None, bank.at(torch.tensor([2])))
    assert torch.equal(alone, filled[2:])


def test_a_training_image_is_of_its_own_class(bank):
    assert nearest_unlike(replace(bank, own=at(40, 10))).tolist() == [1, 2]


@pytest.mark.parametrize("rows", [1, 2])
def test_search_in_parts_finds_the_same(bank, rows, monkeypatch):
    monkeypatch.setattr("clxai.fills.unlike.rows_at_once", lambda n_columns, device: rows)
    assert nearest_unlike(bank).tolist() == [2, 3, 3]


def test_flipped_run_ends_at_pictures_of_another_class(tiny_run):
    few = tiny_run.at(tiny_run.index[:4].numpy())
    bank = bank_of(few)
    chosen, (stored, labels) = nearest_unlike(bank), few.training_bank()
    cosine = functional.normalize(few.embeddings, dim=1) @ functional.normalize(stored, dim=1).T
    for row, place in enumerate(chosen.tolist()):
        others = [item for item in range(len(labels)) if labels[item] != labels[cosine[row].argmax()]]
        assert place == max(others, key=lambda item: float(cosine[row, item]))
    settings = {
        **{"fills": ["nun", "mean"], "steps": 4, "units": grid(4), "seed": 0, "batch_size": 64, "precision": "float32"},
        **{"trajectories": 4, "bank_k": 5},
    }
    from clxai.attribution.explaining import explain

    curves = flip_curves(few, explain(few, "random", {}, 0), settings)
    ends = curves["trajectory_embedding"].sel(fill="nun").isel(explained_by=0, order=0, step=-1).values
    np.testing.assert_allclose(ends, stored[chosen], rtol=1e-3, atol=1e-3)


def test_without_a_bank_the_fill_is_refused():
    with pytest.raises(ClxaiError, match="'nun' needs the training images as a model embeds them"):
        fill_images(fill_of("nun"), torch.rand(1, 1, 2, 2), MEAN, torch.arange(1), 0)


def test_it_is_no_baseline_and_no_fill_of_training():
    with pytest.raises(ClxaiError, match=r"methods\.occlusion\.baseline: fill 'nun' needs .*, and a baseline has none"):
        check(filled_config(methods={"occlusion": {"baseline": "nun"}}))
    config = filled_config()
    config["models"]["ce"]["masks"] = {**config["models"]["ce"]["masks"], "share": 0.3, "fill": "nun"}
    with pytest.raises(ClxaiError, match=r"models\.ce\.masks\.fill: fill 'nun' needs .*, and a model in training has none"):
        check(config)
    config = filled_config()
    config["flipping"]["fills"] = ["mean", "nun"]
    check(config)
