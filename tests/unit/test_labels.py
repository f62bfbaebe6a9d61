"""Labels that a network learns by heart: permuted by the seed alone, recorded, and never those of another split."""

import numpy as np
import pytest
import torch
from clxai.data.batches import ImageStore
from clxai.training.labels import label_record, labels_of
from clxai.training.training import memorised, train

CPU = torch.device("cpu")
PERMUTED = {"labels": "permuted"}
GIVEN = np.repeat(np.arange(10), 30)


def test_permuted_labels_are_the_same_labels_by_the_seed_alone():
    found = labels_of(GIVEN, PERMUTED, 3)
    np.testing.assert_array_equal(found, labels_of(GIVEN, PERMUTED, 3))
    np.testing.assert_array_equal(np.sort(found), GIVEN)
    assert (found != labels_of(GIVEN, PERMUTED, 4)).mean() > 0.8


@pytest.mark.parametrize("recipe", [{}, {"labels": "given"}])
def test_given_labels_are_left_alone_and_not_recorded(recipe):
    assert labels_of(GIVEN, recipe, 3) is GIVEN
    assert label_record(GIVEN, GIVEN) == {}


def test_permuted_labels_say_nothing_of_the_given_ones():
    """The share of images that keep theirs is that of chance, 1 / classes, over many seeds."""
    kept = [label_record(GIVEN, labels_of(GIVEN, PERMUTED, seed))["labels_kept"] for seed in range(50)]
    assert np.mean(kept) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("loss", ["cross_entropy", "supcon"])
def test_record_says_that_labels_were_permuted_and_how_well_they_were_learnt(tiny_data, tiny_recipe, loss):
    recipe = {**tiny_recipe, "loss": loss, "labels": "permuted", "epochs": 1, "warmup_epochs": 0, "network_options": {"width": 2}}
    result = train(tiny_data.data, recipe, 0, CPU)
    record, train_images = result.record(), tiny_data.data.indices("train")
    learnt = labels_of(tiny_data.data.labels[train_images], recipe, 0)
    store = ImageStore(tiny_data.data.images, train_images, CPU)
    assert record["labels"] == "permuted"
    assert record["labels_kept"] == pytest.approx((learnt == tiny_data.data.labels[train_images]).mean())
    assert record["memorised"] == memorised(result.network, store, torch.from_numpy(learnt))
    assert "memorised" not in train(tiny_data.data, {**recipe, "labels": "given"}, 0, CPU).record()


def test_without_a_classifier_the_nearest_other_image_tells_what_was_learnt(tiny_data, tiny_recipe):
    """By the labels of which two images are nearest to each other, in pairs, or of no pair."""
    network = train(tiny_data.data, {**tiny_recipe, "loss": "supcon", "epochs": 1, "warmup_epochs": 0}, 0, CPU).network
    store = ImageStore(tiny_data.data.images, np.repeat(tiny_data.data.indices("train")[:20], 2), CPU)
    pairs = torch.arange(40) // 2
    assert memorised(network, store, pairs) == 1
    assert memorised(network, store, torch.arange(40)) == 0
