"""The mean of each row, of the training images alone."""

import numpy as np
import pytest
import torch
from clxai.fills import rows
from clxai.fills.base import Bank, fill_images, fill_of


@pytest.mark.parametrize("at_once", [2, 1024])
def test_row_mean_is_that_of_the_training_images(monkeypatch, at_once):
    monkeypatch.setattr(rows, "_AT_ONCE", at_once)
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 4, 5), dtype=np.uint8)
    items = torch.tensor([1, 2, 4, 5, 7])
    bank = Bank(images, items, items % 2, torch.eye(5), torch.eye(3, 5))
    filled = fill_images(fill_of("row_mean"), torch.rand(3, 2, 4, 5), torch.zeros(2, 1, 1), torch.arange(3), 0, None, bank)
    expected = images[items.numpy()].mean(axis=(0, 3)) / 255
    np.testing.assert_allclose(filled.numpy(), np.broadcast_to(expected[:, :, None], (3, 2, 4, 5)), atol=1e-6)
