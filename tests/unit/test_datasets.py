"""Prepared data sets: what is opened belongs together, and samples are seeded and stratified."""

import numpy as np
import pytest
from clxai.data.datasets import open_prepared, stratified_choice
from clxai.errors import ClxaiError
from clxai.runtime.artefacts import read_arrays, write_arrays
from hypothesis import given, settings
from hypothesis import strategies as st


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=8), share=st.floats(0, 1), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_stratified_choice_keeps_class_shares_to_within_one(counts, share, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    n_chosen = round(share * len(labels))
    chosen = stratified_choice(labels, n_chosen, rng)
    assert len(set(chosen.tolist())) == len(chosen) == n_chosen
    assert (np.diff(chosen) > 0).all()
    quota = n_chosen * np.array(counts) / len(labels)
    found = np.bincount(labels[chosen], minlength=len(counts))
    assert (np.abs(found - quota) < 1).all()


def test_stratified_choice_gives_the_largest_remainders_the_rest():
    """10 of 6 + 7 + 7 items: quotas 3, 3.5, 3.5, so the odd one goes to one of the last two classes."""
    labels = np.repeat([0, 1, 2], [6, 7, 7])
    found = {
        tuple(np.bincount(labels[stratified_choice(labels, 10, np.random.default_rng(seed))]).tolist()) for seed in range(40)
    }
    assert found == {(3, 4, 3), (3, 3, 4)}


def test_stratified_choice_takes_every_item_of_a_class_equally_often():
    labels, times = np.repeat([0, 1], 10), np.zeros(20)
    for seed in range(600):
        times[stratified_choice(labels, 6, np.random.default_rng(seed))] += 1
    expected, sd = 600 * 0.3, np.sqrt(600 * 0.3 * 0.7)
    assert np.abs(times - expected).max() < 4 * sd


def test_open_prepared_refuses_labels_of_other_images(tiny_data, tmp_path):
    labels = read_arrays(tiny_data.labels)
    write_arrays(labels.isel(image=slice(0, 300)), tmp_path / "labels.nc")
    with pytest.raises(ClxaiError, match=r"images\.npy: 320 images, but .*labels\.nc has 300 labels"):
        open_prepared("digits", tiny_data.images, tmp_path / "labels.nc")


def test_open_prepared_leaves_the_images_on_disk(tiny_data):
    assert isinstance(open_prepared("digits", tiny_data.images, tiny_data.labels).images.mapped, np.memmap)
