"""A network, weights, maps and images of a stranger are inputs by their content, in the real DAG."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from project import copy_project, replaced
from torch import nn

CONFIG = "own.yaml"
MODEL = "results/mine/theirs/seed0/model.safetensors"
MAPS = "results/mine/theirs/seed0/attributions/evaluation/maps.nc"
NETWORK = '''
"""A network of a stranger."""

import beside
from clxai.networks.base import network
from torch import nn


@network("build", layers=("0",), smallest=8, classifier="4", normalise=((0.5,), (0.25,)))
def build(options, channels):
    """Eight features."""
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(channels, beside.WIDTH, 3, 2), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 2))
'''
STUDY = """
study: {datasets: [mine], models: [theirs], seeds: [0], heads: [softmax, linear], methods: [random, saliency, maps]}
samples: {evaluation: {images: 8}}
datasets: {mine: {source: npz, path: own.npz}}
models: {theirs: {loss: cross_entropy, network: "own.py:build", weights: own.pth, epochs: 0}}
methods: {maps: {method: file, path: "maps.npz", order: crc32, signed: false}}
flipping: {fills: [mean], steps: 4, trajectories: 2, bank_k: 3}
units: {grid: {height: 4, width: 4}}
statistics: {bootstrap_draws: 100}
checks: {alpha: 0.000001, accuracy: null}
"""


def write_weights(path, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.save(nn.Sequential(nn.Conv2d(1, 8, 3, 2), *([nn.Identity()] * 3), nn.Linear(8, 2)).state_dict(), path)


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """The project with a study of what a stranger brings, of which the network is adopted."""
    project = copy_project(tmp_path_factory.mktemp("brought"))
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = (rng.random((80, 16, 16)) * 100 + 100 * labels[:, None, None] * (np.arange(16) < 8)).astype(np.uint8)
    np.savez(project.folder / "own.npz", train_images=images, train_labels=labels)
    np.savez(project.folder / "maps.npz", maps=np.ones((1, 16, 16)), crc32=[0])
    write_weights(project.folder / "own.pth", 0)
    for name, text in {"own.py": NETWORK, "beside.py": "WIDTH = 8\n", CONFIG: STUDY}.items():
        (project.folder / name).write_text(text)
    run(project, MODEL)
    return project


def run(project, *targets):
    process = project.snakemake("--cores", "2", *targets, config=CONFIG)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]


def test_network_of_a_stranger_is_adopted_once_and_again_where_its_content_changed(brought):
    for name in ("own.pth", "own.py", "beside.py"):
        os.utime(brought.folder / name)
    assert brought.planned(MODEL, config=CONFIG) == {}
    with brought.edited("beside.py", lambda text: text + "# edited\n"):
        assert brought.planned(MODEL, config=CONFIG) == {"train_model": 1}
    before = (brought.folder / "own.pth").read_bytes()
    write_weights(brought.folder / "own.pth", 1)
    assert brought.planned(MODEL, config=CONFIG) == {"train_model": 1}
    (brought.folder / "own.pth").write_bytes(before)


def test_maps_of_a_stranger_are_planned_like_those_of_a_method(brought):
    planned = brought.planned(config=CONFIG)
    assert (planned["attribute"], planned["flip"]) == (3, 3)
    assert not {"train_model", "export_images"} & set(planned)


@pytest.mark.campaign
def test_a_stranger_gets_tables_and_figures_of_their_images_network_and_maps(brought):
    """Maps of the exported images, by their checksums and backwards; another map makes its own jobs again."""
    run(brought, "exported_all")
    folder = brought.folder / "results/mine/exported/evaluation"
    ids = pd.read_csv(folder / "ids.csv")[::-1]
    with np.load(folder / "images.npz") as arrays:
        np.savez(brought.folder / "maps.npz", maps=arrays["images"][::-1, 0].astype(float), crc32=ids["crc32"].to_numpy())
    run(brought)
    tables = brought.folder / "results/studies/own/mine/tables"
    assert set(pd.read_csv(tables / "summary.csv")["method"]) >= {"random", "saliency", "maps"}
    assert (brought.folder / "results/studies/own/mine/figures/srg.svg").exists()
    assert brought.planned(config=CONFIG) == {}
    with np.load(brought.folder / "maps.npz") as arrays:
        content = dict(arrays)
    np.savez(brought.folder / "maps.npz", **{**content, "maps": content["maps"] + 1e-3 * np.arange(16)})
    planned = brought.planned(config=CONFIG)
    assert (planned["attribute"], planned["flip"]) == (1, 1)
    with brought.edited(CONFIG, replaced(("signed: false", "signed: true"))):
        assert brought.planned(MAPS, config=CONFIG) == {"attribute": 1}
