"""Shared fixtures: a checked config, a tiny prepared data set, and a tiny trained run with its heads."""

import gzip
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest_plugins = ["project"]  # the tiny study and Snakemake, shared by the tests of the workflow
torch.set_num_threads(1)


@pytest.fixture
def config():
    """A fresh copy of the filled default config."""
    from project import filled_config

    return filled_config()


@pytest.fixture
def entry(config):
    """Make an entry of `datasets` with every key filled in."""

    def make(source, **changes):
        return {**config["datasets"]["digits"], "size": None, "source": source, **changes}

    return make


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory):
    """The root of the published FashionMNIST, unpacked from the files under CLXAI_TEST_DATA."""
    packed = Path(os.environ.get("CLXAI_TEST_DATA", "absent"), "FashionMNIST", "raw")
    if not packed.is_dir():
        pytest.skip("set CLXAI_TEST_DATA to a folder with FashionMNIST/raw/*.gz")
    root = tmp_path_factory.mktemp("torchvision")
    (root / "FashionMNIST" / "raw").mkdir(parents=True)
    for file in packed.glob("*.gz"):
        with gzip.open(file) as content, (root / "FashionMNIST" / "raw" / file.stem).open("wb") as target:
            shutil.copyfileobj(content, target)
    return root


class _Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def harmful(tmp_path):
    """A folder, and an array that makes it when it is unpickled."""
    folder = tmp_path / "harm"
    return folder, np.array([_Harmful(folder)] * 12, dtype=object)


@pytest.fixture(scope="session")
def tiny_recipe():
    """A recipe small enough to train in a second."""
    from project import filled_config

    recipe = filled_config()["models"]["ce"]
    return {
        **recipe,
        "epochs": 8,
        "network_options": {"width": 4},
        "batch_size": 20,
        "warmup_epochs": 1,
        "precision": "float32",
        "validate_every": 1,
    }


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Digits at 16x16 px, 200 train, 60 val and 60 test images, prepared by the real code."""
    from clxai.data.datasets import open_prepared
    from clxai.data.preparing import prepare
    from project import filled_config

    entry = filled_config()["datasets"]["digits"]
    entry = {**entry, "size": 16, "limit": {"train": 200, "val": 60, "test": 60}}
    folder = tmp_path_factory.mktemp("data")
    prepare(entry, folder / "images.npy", folder / "labels.nc")
    data = open_prepared("digits", folder / "images.npy", folder / "labels.nc")
    return SimpleNamespace(data=data, images=folder / "images.npy", labels=folder / "labels.nc")


@pytest.fixture(scope="session")
def tiny_run(tiny_data, tiny_recipe, tmp_path_factory):
    """A cross-entropy model trained for eight epochs, embedded, with all four heads, opened as the workflow opens it."""
    from clxai.heads.base import save_head
    from clxai.heads.fitting import fit_heads
    from clxai.networks.embeddings import embed_dataset, read_embeddings
    from clxai.networks.inference import load_encoder
    from clxai.networks.models import save_network
    from clxai.runs import open_run
    from clxai.runtime.artefacts import write_arrays
    from clxai.training.training import train

    folder, cpu = tmp_path_factory.mktemp("run"), torch.device("cpu")
    model, embeddings = str(folder / "model.safetensors"), str(folder / "embeddings.nc")
    save_network(train(tiny_data.data, tiny_recipe, 0, cpu).network, model)
    encoder = load_encoder(model, cpu)
    write_arrays(embed_dataset(encoder, tiny_data.data, cpu, model), embeddings)
    options = {"softmax": {}, "linear": {"C": 10.0}, "knn": {"k": 50, "temperature": 0.07}, "mahalanobis": {}}
    heads, _ = fit_heads(encoder, tiny_data.data, read_embeddings(embeddings, tiny_data.data), options)
    paths = {name: str(folder / f"{name}.safetensors") for name in heads}
    for name, head in heads.items():
        save_head(head, name, paths[name])
    inputs = SimpleNamespace(
        images=tiny_data.images, labels=tiny_data.labels, model=model, embeddings=[embeddings], heads=list(paths.values())
    )
    run = open_run(inputs, "digits", cpu)
    return run.at(tiny_data.data.indices("test")[:20])


@pytest.fixture(scope="session")
def few(tiny_run):
    """The tiny run, looking at three images."""
    return tiny_run.at(tiny_run.index[:3].numpy())


@pytest.fixture(scope="session")
def rank():
    """Orders of the 16 units of these three images by two explanations."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([[rng.permutation(16) for _ in range(3)] for _ in range(2)]))
