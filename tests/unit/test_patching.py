"""Patching exchanges what it says, against runs of the whole network and closed forms of a linear one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.analyses.activations import check_cut, layer_maps
from clxai.analyses.analysing import analyse
from clxai.errors import ClxaiError
from clxai.heads.base import log_odds
from clxai.networks.replaying import embedded_from
from clxai.ranks import rank_correlation
from scipy.stats import spearmanr
from torch import nn


@pytest.fixture(scope="module")
def spatial(few):
    return analyse(few, "spatial_patching", {"layer": "layer4", "fill": "mean", "least_change": 1e-3}, 0)


def odds_of(run, head, embeddings):
    return log_odds(run.heads[head](embeddings), run.heads[head].predict(run.embeddings)).double().numpy()


@pytest.mark.parametrize("layer", ["layer1", "layer3", "layer4"])
def test_embedding_follows_from_a_layer(few, layer):
    maps = layer_maps(few.encoder, few.images, layer)
    torch.testing.assert_close(embedded_from(few.encoder, layer, maps), few.embeddings, rtol=1e-4, atol=1e-5)
    check_cut(few.encoder, layer, few.images)


def test_change_is_that_of_the_whole_image(few, spatial):
    filled = few.encoder(few.encoder.mean.expand_as(few.images))
    for head in few.heads:
        expected = odds_of(few, head, few.embeddings) - odds_of(few, head, filled)
        np.testing.assert_allclose(spatial["change"].sel(head=head), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["softmax", "knn"])
def test_one_place_is_exchanged_in_both_directions(few, spatial, head):
    """The embedding is the mean over the places of the last layer: what one place brings is known."""
    clean = layer_maps(few.encoder, few.images, "layer4")
    filled = layer_maps(few.encoder, few.encoder.mean.expand_as(few.images), "layer4")
    part = (clean - filled)[:, :, 1, 0] / clean[0, 0].numel()
    ends = [odds_of(few, head, maps.mean(dim=(2, 3))) for maps in (clean, filled)]
    denoised = odds_of(few, head, filled.mean(dim=(2, 3)) + part)
    noised = odds_of(few, head, clean.mean(dim=(2, 3)) - part)
    found = spatial["recovered"].sel(head=head)[..., 1, 0]
    for direction, share in (("denoising", denoised - ends[1]), ("noising", ends[0] - noised)):
        np.testing.assert_allclose(found.sel(direction=direction), share / (ends[0] - ends[1]), rtol=2e-2, atol=2e-3)


def test_shares_are_summed_up_and_not_defined_where_nothing_changes(few, spatial):
    np.testing.assert_allclose(spatial["recovered_sum"], spatial["recovered"].sum(("y", "x")), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(spatial["recovered_most"], spatial["recovered"].max(("y", "x")), rtol=1e-5)
    strict = analyse(few, "spatial_patching", {"layer": "layer4", "fill": "mean", "least_change": 1e6}, 0)
    assert (strict["defined"] == 0).all() and strict["recovered"].isnull().all() and strict["change"].notnull().all()


def test_every_fill_may_be_what_is_patched_in(few):
    for fill in ("blur", "linear", "nun"):
        found = analyse(few, "spatial_patching", {"layer": "layer4", "fill": fill}, 0)
        assert found.attrs["option_fill"] == fill and found["change"].notnull().all()


def test_channel_of_the_last_layer_is_worth_its_weight(few):
    """A head that is linear and has two classes: m = (w_c - w_o).z + b, z the mean over places; slopes are those weights."""
    softmax = few.heads["softmax"]
    two = type(softmax)({"weight": softmax.weight[:2].clone(), "bias": softmax.bias[:2].clone()})
    run = replace(few, heads={"two": two})
    found = analyse(run, "channel_patching", {"layer": "layer4", "pool": 200}, 0).sel(head="two")
    bank, own = run.training_bank()[0].double(), two.predict(run.embeddings)
    weight = (two.weight[own] - two.weight[1 - own]).double()
    expected = weight * (run.embeddings.double() - bank.mean(dim=0))
    np.testing.assert_allclose(found["importance"], expected, rtol=1e-2, atol=1e-3)
    agreement = [spearmanr(one, other).statistic for one, other in zip(expected.numpy(), weight.numpy(), strict=True)]
    np.testing.assert_allclose(found["rank_agreement_grad_cam"], agreement, atol=0.05)
    np.testing.assert_allclose(found["rank_agreement_first_order"], 1, atol=0.01)


def test_rank_correlation_is_scipys():
    one, other = torch.randn(2, 3, 9), torch.randn(2, 3, 9).round()
    expected = [[spearmanr(one[a, b], other[a, b]).statistic for b in range(3)] for a in range(2)]
    np.testing.assert_allclose(rank_correlation(one.numpy(), other.numpy()), expected)
    assert np.isnan(rank_correlation(np.ones((1, 4)), torch.randn(1, 4).numpy())).all()


def test_layer_that_others_bypass_is_refused(few):
    """A network whose embedding also sees what comes before the layer."""

    class Bypassed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.layer4 = inner, inner.layer4
            self.layout = inner.layout

        def forward(self, images):
            return self.inner(images) + images.mean(dim=(1, 2, 3))[:, None]

    encoder = replace_backbone(few.encoder, Bypassed)
    with pytest.raises(ClxaiError, match="layer 'layer4' cannot be patched: what follows it sees other layers"):
        check_cut(encoder, "layer4", few.images)


def replace_backbone(encoder, wrap):
    import copy

    copied = copy.deepcopy(encoder)
    copied.backbone = wrap(copied.backbone)
    return copied
