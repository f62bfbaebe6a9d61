"""Embeddings are one finite row per image, in the order of the images, whatever the batch size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.data.batches import ImageStore
from clxai.errors import ClxaiError
from clxai.networks.embeddings import embed, embed_dataset, read_embeddings
from clxai.networks.inference import load_encoder
from clxai.runtime.artefacts import write_arrays
from clxai.runtime.memory import AT_ONCE, Most

CPU = torch.device("cpu")


def test_embed_rows_follow_the_store_for_any_batch_size(tiny_run, tiny_data, monkeypatch):
    indices = tiny_data.data.indices("val")[::-1].copy()
    monkeypatch.setitem(AT_ONCE, "embedded", Most(7, 16))
    found = embed(tiny_run.encoder, ImageStore(tiny_data.data.images, indices, CPU))
    images = torch.from_numpy(np.array(tiny_data.data.images[indices])).float() / 255
    with torch.no_grad():
        torch.testing.assert_close(found, tiny_run.encoder(images), rtol=1e-4, atol=1e-5)


def test_embed_gives_the_same_rows_when_memory_runs_out(tiny_run, tiny_data, monkeypatch, capsys):
    store = ImageStore(tiny_data.data.images, tiny_data.data.indices("val"), CPU)
    expected, whole = embed(tiny_run.encoder, store), tiny_run.encoder.forward

    def forward(images):
        if len(images) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(images)

    monkeypatch.setattr(tiny_run.encoder, "forward", forward)
    torch.testing.assert_close(embed(tiny_run.encoder, store), expected, rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().out.splitlines() == [f"embedding: out of memory, going on with {n} at a time" for n in (30, 15, 7)]


def test_embed_refuses_embeddings_that_are_not_finite(tiny_run, tiny_data):
    encoder = load_encoder(tiny_run.checkpoint, CPU)
    encoder.backbone.layer4[1].conv2.bias[0] = torch.inf
    with pytest.raises(ClxaiError, match="the embeddings of 60 of 60 images are not finite"):
        embed(encoder, ImageStore(tiny_data.data.images, tiny_data.data.indices("val"), CPU))


def test_embed_dataset_comes_back_as_one_row_per_image(tiny_run, tiny_data, tmp_path):
    path = str(tmp_path / "embeddings.nc")
    write_arrays(embed_dataset(tiny_run.encoder, tiny_data.data, CPU, "model.safetensors"), path)
    found = read_embeddings(path, tiny_data.data)
    assert found.shape == (320, tiny_run.encoder.n_features)
    assert torch.equal(found, tiny_run.all_embeddings)


def test_embed_dataset_refuses_a_model_of_another_data_set(tiny_run, tiny_data):
    other = replace(tiny_data.data, class_names=("a", "b"))
    with pytest.raises(
        ClxaiError, match=r"model\.safetensors: checkpoint for .* \(10, 1, 16, 16\), the data set has \(2, 1, 16, 16\)"
    ):
        embed_dataset(tiny_run.encoder, other, CPU, "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dataset: dataset.isel(image=slice(0, 300)), "300 embeddings, but digits has 320 images"),
        (lambda dataset: dataset.where(dataset["image"] != 5), "embeddings are not finite"),
    ],
)
def test_read_embeddings_refuses_rows_that_are_missing_or_not_finite(tiny_run, tiny_data, tmp_path, change, message):
    path = str(tmp_path / "embeddings.nc")
    write_arrays(change(embed_dataset(tiny_run.encoder, tiny_data.data, CPU, "model")), path)
    with pytest.raises(ClxaiError, match=rf"embeddings\.nc: {message}"):
        read_embeddings(path, tiny_data.data)
