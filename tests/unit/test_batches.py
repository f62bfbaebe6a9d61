"""An image store gives the same batches whether the images are resident or read from the memory map."""

import numpy as np
import pytest
import torch
from clxai.data.batches import ImageStore
from clxai.runtime import memory


@pytest.fixture(params=["resident", "memory_map"])
def store(request, tiny_data, monkeypatch):
    if request.param == "memory_map":
        monkeypatch.setattr(memory, "_RESIDENT_ON_CPU", 0.0)
    store = ImageStore(tiny_data.data.images, tiny_data.data.indices("val"), torch.device("cpu"))
    assert (store.resident is None) == (request.param == "memory_map")
    return store


def test_take_gives_the_images_at_these_positions_of_the_split(store, tiny_data):
    batch = store.take(torch.tensor([5, 0, 5]))
    expected = tiny_data.data.images[tiny_data.data.indices("val")[[5, 0, 5]]] / 255
    np.testing.assert_allclose(batch.numpy(), expected, atol=1e-7)
    assert len(store) == 60


def test_take_gives_float_images_in_the_unit_interval_channels_last(store):
    batch = store.take(torch.arange(60))
    assert batch.dtype == torch.float32
    assert (batch.min(), batch.max()) == (0, 1)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_take_gives_copies(store):
    """Augmentation in place must not reach the next epoch."""
    first = store.take(torch.arange(4))
    expected = first.clone()
    first.zero_()
    assert torch.equal(store.take(torch.arange(4)), expected)
