"""A quicker arithmetic is used only where it leaves the AUCs as they are."""

import copy
from dataclasses import replace

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.fills.base import fills_of
from clxai.flipping import precision
from clxai.flipping.curves import observer_of
from clxai.flipping.engine import Flipping
from clxai.flipping.precision import AUC_TOLERANCE, auc_difference, check_precision
from clxai.networks.inference import prepared_for_flipping
from clxai.units.base import cut_images
from clxai.units.removal import removal_counts


@pytest.fixture
def problem(tiny_run):
    """Encoder, observer, images, index, ranks and a plan in bfloat16."""
    run = tiny_run.at(tiny_run.index[:20].numpy())
    rank = torch.rand(2, 20, 16, generator=torch.Generator().manual_seed(0)).argsort(dim=-1)
    cut = cut_images("grid", {}, run.images)
    plan = Flipping(fills_of(["mean", "zero"]), cut, removal_counts(cut.n_units, 4), 0, 64, "bfloat16")
    return run.encoder, observer_of(run, 5), run.images, run.index, rank, plan


def test_bfloat16_differs_from_float32_a_little(problem):
    difference = auc_difference(*problem)
    assert difference.shape == (2, 2, 4, 20)
    assert 0 < difference.abs().max() < 0.05


def test_the_encoder_given_stays_as_it_is(problem):
    encoder = copy.deepcopy(problem[0])
    encoder.backbone.relu.inplace = False
    check_precision(encoder, *problem[1:-1], replace(problem[-1], precision="float32"))
    auc_difference(encoder, *problem[1:])
    assert encoder.backbone.conv1.weight.dtype == torch.float32
    assert not encoder.backbone.relu.inplace


@pytest.mark.parametrize(("difference", "refused"), [(0.5 * AUC_TOLERANCE, False), (1.5 * AUC_TOLERANCE, True)])
def test_a_moved_mean_auc_is_refused(problem, monkeypatch, difference, refused):
    moved = torch.zeros(2, 2, 4, 20)
    moved[1, 0, 2] = -difference
    moved[0, 0, 0, 0] = 10 * AUC_TOLERANCE  # one image alone moves no mean
    monkeypatch.setattr(precision, "auc_difference", lambda *problem: moved)
    if refused:
        with pytest.raises(ClxaiError, match=r"flipping\.precision: bfloat16 moves a mean AUC by 0\.0015 \(allowed 0\.001\)"):
            check_precision(*problem)
    else:
        check_precision(*problem)


def test_an_unknown_precision_is_refused(problem):
    with pytest.raises(ClxaiError, match=r"flipping\.precision must be one of float32, bfloat16\. Got 'float16'"):
        prepared_for_flipping(problem[0], "float16")
