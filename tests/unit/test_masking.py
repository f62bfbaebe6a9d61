"""Random masks of training images: how many units, which ones, what replaces them, and on what the draws depend."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clxai.data.batches import ImageStore
from clxai.errors import ClxaiError
from clxai.fills.base import FILLS, fill_images, fill_of
from clxai.keys import key_of
from clxai.planning.choices import recipe_of
from clxai.planning.config import check_values
from clxai.planning.params import train_model
from clxai.planning.usage import members
from clxai.training import masking as masking_module
from clxai.training import training
from clxai.training.masking import masking_of
from clxai.training.training import train
from clxai.units.tiles import whole_units
from project import changed
from scipy.stats import chisquare

CPU = torch.device("cpu")
MEAN = torch.tensor([0.25, 0.5, 0.75])[:, None, None]
UNIT = 4  # px: 16 units of an image


def masks_of(share=0.5, fill="zero", units="grid", fill_options=None, **options):
    """Masks as a job of training is told of them."""
    options = options or ({"height": UNIT, "width": UNIT} if units == "grid" else {})
    named = {"name": fill, "fill": fill, "options": fill_options or {}}
    return {"share": share, "units": {"units": units, "options": options}, "fill": named}


def store_of(n_images=64, patch=1):
    """Images of 16 px of patches of random colours, none black, numbered from 100 in their data set."""
    images = np.random.default_rng(0).integers(20, 255, (100 + n_images, 3, 16 // patch, 16 // patch), dtype=np.uint8)
    images = images.repeat(patch, axis=2).repeat(patch, axis=3)
    return ImageStore(images, np.arange(100, 100 + n_images), CPU)


def masked_views(masks, n_views=1, epoch=1, step=0, seed=0, store=None):
    """All images of a store in so many equal views: the views, and the views after masking."""
    store = store or store_of()
    positions = torch.arange(len(store))
    views = store.take(positions).repeat(n_views, 1, 1, 1)
    return views, masking_of(masks, store, MEAN, seed).mask(views, positions, epoch, step)


def set_masks(config, **masks):
    """Give `ce` random masks: the other models may share the mapping of defaults."""
    config["models"]["ce"]["masks"] = {**config["models"]["ce"]["masks"], **masks}


def removed(views, found):
    """Which units of the grid are gone, [row, unit]; a unit is gone as a whole or not at all, in all its channels."""
    pieces = (found != views).unfold(2, UNIT, UNIT).unfold(3, UNIT, UNIT).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    assert (pieces.all(dim=2) == pieces.any(dim=2)).all()
    return pieces.all(dim=2)


@pytest.mark.parametrize(("share", "most"), [(0.1, 1), (0.3, 4), (0.5, 8), (1.0, 16)])
def test_number_of_removed_units_is_uniform_up_to_the_share_and_which_ones_too(share, most):
    gone = removed(*masked_views(masks_of(share), n_views=50))
    counts = torch.bincount(gone.sum(dim=1), minlength=most + 1).numpy()
    assert len(counts) == most + 1
    assert chisquare(counts).pvalue > 1e-4
    assert chisquare(gone.sum(dim=0).numpy()).pvalue > 1e-4


@pytest.mark.parametrize(("share", "n_units", "expected"), [(0.29, 100, 29), (0.1, 64, 6), (0.1, 9, 0), (0.07, 100, 7)])
def test_whole_units_of_a_share_are_not_lost_to_rounding(share, n_units, expected):
    assert whole_units(share, n_units) == expected


@pytest.mark.parametrize(
    ("fill", "options"),
    [("mean", {}), ("zero", {}), ("blur", {"sigma": 0.3}), ("noise", {}), ("linear", {})],
    ids=lambda value: str(value),
)
def test_removed_pixels_have_the_values_of_the_fill_and_the_others_their_own(fill, options):
    store = store_of()
    views, found = masked_views(masks_of(0.5, fill, fill_options=options), n_views=2, epoch=3, seed=7, store=store)
    chosen, index = fill_of({"name": fill, "fill": fill, "options": options}), torch.from_numpy(store.indices)
    for view, (clean, masked) in enumerate(zip(views.chunk(2), found.chunk(2), strict=True)):
        gone = removed(clean, masked).unflatten(1, (4, 4)).repeat_interleave(UNIT, 1).repeat_interleave(UNIT, 2)
        filled = fill_images(chosen, clean, MEAN, index, key_of("masked units", 7, 3, view), gone)
        assert gone.any()
        torch.testing.assert_close(masked, torch.where(gone[:, None], filled, clean), rtol=0, atol=0)


def test_draws_differ_between_images_views_steps_epochs_and_seeds_and_are_otherwise_the_same():
    def gone(**place):
        return removed(*masked_views(masks_of(), **{"n_views": 2, "epoch": 1, "step": 0, "seed": 0, **place}))

    places = [{}, {"step": 1}, {"epoch": 2}, {"seed": 1}]
    drawn = torch.stack([gone(**place) for place in places]).unflatten(1, (2, 64)).flatten(0, 1)  # [place and view, image, unit]
    flat = drawn.flatten(1).double().numpy()
    assert np.abs(np.corrcoef(flat)[np.triu_indices(8, 1)]).max() < 0.15
    images = np.corrcoef(drawn.transpose(0, 1).flatten(1).double().numpy())
    assert np.abs(images[np.triu_indices(64, 1)]).max() < 0.5
    assert torch.equal(gone(), gone())


@pytest.mark.parametrize("place", [{"epoch": 2}, {"seed": 1}])
def test_random_colours_differ_between_views_epochs_and_seeds(place):
    def colours(**place):
        return masked_views(masks_of(1.0, "noise", height=8, width=8), n_views=2, **place)

    (views, one), (_, other) = colours(), colours(**place)
    both = (one != views) & (other != views)
    assert both.any()
    assert (one[both] != other[both]).all()
    first, second = one.chunk(2)
    both = (first != views.chunk(2)[0]) & (second != views.chunk(2)[1])
    assert both.any()
    assert (first[both] != second[both]).all()


def test_pieces_that_differ_per_image_are_cut_once_and_belong_to_their_image(monkeypatch):
    store, calls, cut = store_of(n_images=20, patch=4), [], masking_module.cut_images
    monkeypatch.setattr(masking_module, "cut_images", lambda *given: calls.append(len(given[2])) or cut(*given))
    monkeypatch.setattr(masking_module, "at_once", lambda what, shape: 8)
    masking = masking_of(masks_of(0.6, units="superpixels", n_segments=12), store, MEAN, 0)
    assert calls == [8, 8, 4]
    maps = cut("superpixels", {"n_segments": 12}, store.take(torch.arange(20)))
    torch.testing.assert_close(masking.cut.labels, maps.labels)
    positions = torch.tensor([17, 3, 11])
    views = store.take(positions).repeat(40, 1, 1, 1)
    gone = (masking.mask(views, positions, 1, 0) != views).all(dim=1)
    for row, own in enumerate(positions.repeat(40)):
        units = [(maps.labels[own] == unit) for unit in range(int(maps.n_units[own]))]
        lost = [bool(gone[row][unit].any()) for unit in units]
        assert lost == [bool(gone[row][unit].all()) for unit in units]
        assert sum(lost) <= whole_units(0.6, int(maps.n_units[own]))
    assert gone.any()
    assert len(calls) == 3


@pytest.mark.parametrize("units", ["grid", "superpixels"])
def test_masks_are_the_same_whether_the_images_are_resident_or_not(units):
    """Not resident, label maps stay in main memory and positions come from there."""
    stores = store_of(n_images=20, patch=4), store_of(n_images=20, patch=4)
    stores[1].resident = None
    resident, mapped = (masked_views(masks_of(units=units), n_views=2, store=store)[1] for store in stores)
    assert torch.equal(resident, mapped)


def test_one_map_for_all_images_is_cut_from_the_first_part_alone(monkeypatch):
    calls, cut = [], masking_module.cut_images
    monkeypatch.setattr(masking_module, "cut_images", lambda *given: calls.append(len(given[2])) or cut(*given))
    monkeypatch.setattr(masking_module, "at_once", lambda what, shape: 8)
    masked_views(masks_of())
    assert calls == [8]


def test_fill_that_needs_the_mask_sees_what_is_removed(monkeypatch):
    entry = FILLS["zero"]
    told = replace(
        entry,
        semantics={**entry.semantics, "needs": "mask"},
        definition=lambda canvas: (2.0 + canvas.removed.float().mean(dim=(1, 2)))[:, None, None, None].expand_as(canvas.images),
    )
    monkeypatch.setitem(FILLS._entries, "zero", told)
    views, found = masked_views(masks_of())
    gone = removed(views, found)
    for row in gone.any(dim=1).nonzero().flatten().tolist():
        assert found[row].max() == 2.0 + gone[row].float().mean()


def test_images_with_too_few_units_keep_them_all_and_are_counted_in_the_log(capsys):
    store = store_of(n_images=4, patch=4)
    store.resident[:2] = 90  # one colour: one piece
    masking = masking_of(masks_of(0.2, units="superpixels", n_segments=10), store, MEAN, 0)
    sizes = masking.cut.n_units.tolist()
    few = sum(whole_units(0.2, size) == 0 for size in sizes)
    assert few == int((masking.most == 0).sum())
    said = capsys.readouterr().out
    assert said.startswith(f"masks: 4 images each cut into {min(sizes)} to {max(sizes)} units, of which up to ")
    assert ("have too few units" in said) == (few > 0)


def test_share_below_one_unit_of_every_image_is_refused_by_the_job():
    message = "models.*.masks.share must be at least 1 unit of 16, 0.0625, of images cut by grid, or 0 for no masks"
    with pytest.raises(ClxaiError, match=re.escape(message)):
        masking_of(masks_of(0.06), store_of(), MEAN, 0)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            {"share": 0.01},
            "models.ce.masks.share must be at least 1 unit of 64, 0.0157, of units.grid on images of datasets.digits, or 0 for "
            "no masks; smaller units need less. Got 0.01",
        ),
        (
            {"share": 0.01, "units": "superpixels"},
            "models.ce.masks.share must be at least 1 unit of 50, 0.02, of units.superpixels",
        ),
        ({"share": 0.5, "units": "bands"}, "units.bands.height must tile 16 px of datasets.digits: one of [1, 2, 4, 8]. Got 5"),
        ({"units": "gird"}, "models.ce.masks.units: unknown kind of units 'gird'. Did you mean 'grid'?"),
        ({"fill": "blurr"}, "models.ce.masks.fill: unknown fill 'blurr'. Did you mean 'blur'?"),
    ],
)
def test_masks_that_cannot_be_are_refused_while_planning(config, masks, message):
    set_masks(config, **masks)
    config["units"]["bands"] = {"height": 5}
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_values(config)


@pytest.mark.parametrize("masks", [{"units": "bands"}, {"fill": "blur"}, {"units": "superpixels", "fill": "wide"}])
def test_recipe_without_masks_says_nothing_of_them_and_uses_no_fill(config, masks):
    """Whatever its other keys say: a word more in the config trains nothing again."""
    config["fills"]["wide"], config["units"]["bands"] = {"fill": "blur", "sigma": 0.3}, {"height": 5}
    job, plain = SimpleNamespace(model="ce", dataset="digits"), recipe_of(config, "ce")
    set_masks(config, **masks)
    check_values(config)
    assert recipe_of(config, "ce") == plain
    assert "masks" not in train_model(config, job)
    assert {family for family, _ in members(config, "train_model", job)} == {"networks", "losses"}


def test_masks_enter_the_recipe_with_members_and_options_and_their_files_are_code_of_the_training(config):
    config["fills"]["wide"] = {"fill": "blur", "sigma": 0.3}
    set_masks(config, share=0.1, fill="wide")
    check_values(config)
    job = SimpleNamespace(model="ce", dataset="digits")
    units = {"units": "grid", "options": {"height": 2, "width": 2}}
    assert train_model(config, job)["masks"] == {
        "share": 0.1,
        "units": units,
        "fill": {"name": "blur", "fill": "blur", "options": {"sigma": 0.3}},
    }
    assert {("fills", "blur"), ("units", "grid")} <= set(members(config, "train_model", job))
    other = SimpleNamespace(model="supcon", dataset="digits")
    assert {family for family, _ in members(config, "train_model", other)} == {"networks", "losses"}


def test_training_masks_after_augmentation_and_leaves_order_and_augmentation_as_they_are(tiny_data, tiny_recipe, monkeypatch):
    """The network sees the views of the training without masks, but for the units that are gone."""
    recipe = changed(tiny_recipe, {"views": 2, "augmentation.jitter.brightness": 0.4, "augmentation.jitter.probability": 1.0})
    recipe, seen, outputs = {**recipe, "epochs": 2, "warmup_epochs": 0, "batch_size": 50}, [], training.Network.outputs

    def watched(network, images):
        seen.append(images.clone())
        return outputs(network, images)

    monkeypatch.setattr(training.Network, "outputs", watched)
    monkeypatch.setattr(training, "validation_accuracy", lambda *given: 0.5)
    train(tiny_data.data, recipe, 0, CPU)
    plain = torch.stack(seen)
    seen.clear()
    train(tiny_data.data, {**recipe, "masks": masks_of(0.5, "mean")}, 0, CPU)
    masked = torch.stack(seen)
    assert masked.shape == plain.shape == (8, 100, 1, 16, 16)
    changed_pixels = masked != plain
    assert 0.15 < changed_pixels.float().mean() < 0.3  # a quarter on average, but for pixels that have the mean colour
    assert masked[changed_pixels].unique().tolist() == pytest.approx(tiny_data.data.mean)
