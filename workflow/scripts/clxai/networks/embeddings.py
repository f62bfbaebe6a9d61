"""Embeddings of whole splits, computed once per model and shared by the heads, the scores and the figures; their class means."""

import numpy as np
import torch
import xarray
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.data.batches import ImageStore
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.networks.inference import Encoder
from clxai.runtime.artefacts import read_arrays
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once


@torch.no_grad()
def embed(encoder: Encoder, store: ImageStore) -> Float[Tensor, "image feature"]:
    """Return the embeddings of a store's images, float32, in order. Raises ClxaiError if one is not finite."""
    positions, together = torch.arange(len(store), device=store.device), at_once("embedded", store.images.shape)
    embeddings = torch.cat(in_chunks(lambda batch: encoder(store.take(batch)), positions, together, "embedding"))
    bad = (~torch.isfinite(embeddings)).any(dim=1).sum()
    if bad:
        raise ClxaiError(f"the embeddings of {int(bad)} of {len(embeddings)} images are not finite")
    return embeddings


def embed_dataset(encoder: Encoder, data: ImageData, device: torch.device, path: str) -> xarray.Dataset:
    """Return the embeddings of every image of a data set as [image, feature]. Raises ClxaiError if it does not fit."""
    encoder.architecture.check_fits(data.n_classes, data.images.shape[1:], path)
    embeddings = embed(encoder, ImageStore(data.images, np.arange(len(data.images)), device)).cpu().numpy()
    return xarray.Dataset(
        {"embedding": (("image", "feature"), embeddings, {"description": "embedding of the network"})},
        coords={"image": np.arange(len(embeddings))},
    )


def read_embeddings(path: str, data: ImageData) -> Float[Tensor, "image feature"]:
    """Read the embeddings of a data set. Raises ClxaiError if there is not one finite row per image."""
    embeddings = torch.from_numpy(read_arrays(path)["embedding"].values)
    if len(embeddings) != len(data.images):
        raise ClxaiError(f"{path}: {len(embeddings)} embeddings, but {data.name} has {len(data.images)} images")
    if not torch.isfinite(embeddings).all():
        raise ClxaiError(f"{path}: embeddings are not finite")
    return embeddings


def class_means(
    embeddings: Float[Tensor, "image feature"], labels: Int[Tensor, " image"], n_classes: int
) -> Float[Tensor, "class feature"]:
    """Return the mean embedding of each class, in the precision of the embeddings."""
    membership = functional.one_hot(labels, n_classes).to(embeddings.dtype)
    return membership.T @ embeddings / membership.sum(dim=0)[:, None]
