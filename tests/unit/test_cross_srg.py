"""On real digits: the test tells the maps of a trained network from those of its randomised copies; what is learnt by heart is.

These take a minute and more, and run in the campaign.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.flipping.curves import flip_curves
from clxai.heads.fitting import fit_heads
from clxai.measures.metrics.base import measure
from clxai.measures.statistics import two_way
from clxai.networks.embeddings import embed_dataset
from clxai.networks.inference import Encoder, load_encoder
from clxai.networks.models import load_network, save_network
from clxai.runs import Run
from clxai.training.starting import start_from
from clxai.training.training import train
from project import grid

pytestmark = pytest.mark.campaign

CPU = torch.device("cpu")
PARTS = ["stem", "layer1", "layer2", "layer3", "layer4"]
HEADS = {"softmax": {}, "linear": {"C": 10.0}}
FLIPPING = {
    **{"fills": [{"name": "mean", "fill": "mean", "options": {}}], "units": grid(2), "steps": 16, "seed": 0},
    **{"batch_size": 128, "precision": "float32", "trajectories": 1, "bank_k": 10},
}


@pytest.fixture(scope="module")
def trained(tiny_run):
    return replace(tiny_run, heads={name: tiny_run.heads[name] for name in HEADS})


@pytest.fixture(scope="module")
def copies(trained, tmp_path_factory):
    """Three copies with all layers drawn anew, embedded, their heads fitted again but for the classifier."""
    folder, found = tmp_path_factory.mktemp("copies"), []
    for seed in range(3):
        network, path = load_network(trained.checkpoint, CPU), str(folder / f"{seed}.safetensors")
        start_from(network, trained.checkpoint, PARTS, seed)
        save_network(network, path)
        encoder = load_encoder(path, CPU)
        embeddings = torch.from_numpy(embed_dataset(encoder, trained.data, CPU, path)["embedding"].values)
        heads, _ = fit_heads(encoder, trained.data, embeddings, HEADS)
        found.append(Run(trained.data, encoder, path, heads, embeddings, trained.index))
    return found


def srg(run, maps):
    """The matched SRG [head, image] of maps on a run, each head's own."""
    found = measure(flip_curves(run, maps, FLIPPING), ["srg_matched"])["srg_matched"].isel(fill=0)
    return np.stack([found.sel(explained_by=head, scored_by=head).values for head in run.heads])


@pytest.mark.parametrize("method", ["integrated_gradients", "lrp"])
def test_maps_of_the_trained_network_are_worth_more_to_it_than_those_of_its_randomised_copies(trained, copies, method):
    """Paired by image, over three re-initialisations and 20 images: the interval of the difference is above 0."""
    own = explain(trained, method, {}, 0)
    worth = srg(trained, own)
    lent = [srg(trained, own.assign(attribution=explain(copy, method, {}, 0)["attribution"])) for copy in copies]
    gain = worth[:, None] - np.stack(lent, axis=1)  # [head, copy, image]
    for values in gain:
        low, _ = two_way(values[..., None]).interval()
        assert low[0] > 0


def test_network_that_learns_permuted_labels_learns_by_heart_and_is_at_chance_on_test(tiny_data, tiny_recipe):
    recipe = {**tiny_recipe, "labels": "permuted", "epochs": 80, "network_options": {"width": 8}, "weight_decay": 0.0}
    recipe["augmentation"] = {**recipe["augmentation"], "crop_padding": 0}
    result = train(tiny_data.data, recipe, 0, CPU)
    encoder, test = Encoder(result.network), tiny_data.data.indices("test")
    embeddings = torch.from_numpy(embed_dataset(encoder, tiny_data.data, CPU, "here")["embedding"].values)
    predicted = encoder.classifier(embeddings[test]).argmax(dim=1).numpy()
    assert result.record()["memorised"] > 0.95
    # 60 images at chance 1/10: more than 13 right has a probability of .3 %
    assert (predicted == tiny_data.data.labels[test]).sum() <= 13
