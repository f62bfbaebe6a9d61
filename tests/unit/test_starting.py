"""A model that starts from another one takes over its weights, and draws anew what it is asked to."""

from dataclasses import replace

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.networks.models import load_network, save_network
from clxai.runtime.integrity import file_digest
from clxai.training import training
from clxai.training.starting import part_of, start_from
from clxai.training.training import build_network, train

CPU = torch.device("cpu")
LAYERS = ("layer1", "layer2", "layer3", "layer4")
PARTS = ("stem", *LAYERS, "top")


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """One epoch of a network of width 2."""
    return {**tiny_recipe, "epochs": 1, "network_options": {"width": 2}, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def parent(tiny_data, recipe, tmp_path_factory):
    """The checkpoint of a trained cross-entropy model."""
    path = tmp_path_factory.mktemp("parent") / "model.safetensors"
    save_network(train(tiny_data.data, recipe, 0, CPU).network, path)
    return path


def untrained(recipe):
    return {**recipe, "epochs": 0, "start": "parent"}


def state(path):
    return load_network(path, CPU).state_dict()


def differing_parts(one, other):
    """The parts in which two networks differ."""
    assert one.keys() == other.keys()
    return {part_of(name, LAYERS) for name in one if not torch.equal(one[name], other[name])}


def test_network_without_a_start_is_left_alone(tiny_data, recipe):
    network = build_network(tiny_data.data, recipe, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert start_from(network, None, [], 0) == {}
    assert differing_parts(network.state_dict(), before) == set()


def test_no_epoch_gives_the_start_as_it_is_validated(tiny_data, recipe, parent):
    result = train(tiny_data.data, {**untrained(recipe), "batch_size": 10**6}, 0, CPU, start=parent)
    assert differing_parts(result.network.state_dict(), state(parent)) == set()
    record = result.record()
    assert (record["epoch"], record["epochs"], record["final_loss"], result.history) == (0, 0, None, [])
    assert record["val_accuracy"] == train(tiny_data.data, recipe, 0, CPU).val_accuracy
    assert (record["start"], record["start_sha256"], record["start_top"]) == ("parent", file_digest(parent), "taken over")


def test_training_goes_on_from_the_start(tiny_data, recipe, parent, monkeypatch):
    seen, whole = [], training.train_epoch

    def epoch(network, *arguments):
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return whole(network, *arguments)

    monkeypatch.setattr(training, "train_epoch", epoch)
    result = train(tiny_data.data, {**recipe, "start": "parent"}, 0, CPU, start=parent)
    assert differing_parts(seen[0], state(parent)) == set()
    assert differing_parts(result.network.state_dict(), state(parent)) == set(PARTS)


@pytest.mark.parametrize(
    ("changes", "top"),
    [({}, "taken over"), ({"loss": "supcon"}, "new"), ({"loss": "triplet", "projection_size": 7}, "new")],
)
def test_backbone_is_taken_over_and_the_top_where_it_is_the_same(tiny_data, recipe, parent, changes, top):
    changed = {**recipe, **changes}
    network = build_network(tiny_data.data, changed, 0)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    assert start_from(network, parent, [], 0)["start_top"] == top
    assert differing_parts(first, network.state_dict()) == {*PARTS} - ({"top"} if top == "new" else set())
    backbone = {name: value for name, value in state(parent).items() if not name.startswith("top.")}
    assert all(torch.equal(network.state_dict()[name], value) for name, value in backbone.items())


@pytest.mark.parametrize(("sizes", "top"), [((128, 128), "taken over"), ((128, 64), "new")])
def test_projection_is_taken_over_if_it_is_of_the_same_size(tiny_data, recipe, tmp_path, sizes, top):
    own, other = ({**recipe, "loss": "supcon", "projection_size": size} for size in sizes)
    save_network(build_network(tiny_data.data, own, 1), tmp_path / "model.safetensors")
    assert start_from(build_network(tiny_data.data, other, 0), tmp_path / "model.safetensors", [], 0)["start_top"] == top


@pytest.mark.parametrize("parts", [[part] for part in PARTS] + [["layer3", "layer4", "top"], list(PARTS)], ids=str)
def test_randomised_parts_are_drawn_anew_and_no_others(tiny_data, recipe, parent, parts):
    result = train(tiny_data.data, {**untrained(recipe), "randomise": parts}, 0, CPU, start=parent)
    assert differing_parts(result.network.state_dict(), state(parent)) == set(parts)
    assert result.record()["randomise"] == parts


def test_randomised_part_depends_on_the_seed_alone(tiny_data, recipe, parent):
    """The same in every step of a cascade, another for another seed, and not the one that the parent began with."""

    def drawn(parts, seed=0):
        network = build_network(tiny_data.data, recipe, seed)
        start_from(network, parent, parts, seed)
        return network.state_dict()["backbone.layer4.0.conv1.weight"]

    torch.manual_seed(5)
    assert torch.equal(drawn(["layer4"]), drawn(["top", "layer4", "layer1"]))
    assert not torch.equal(drawn(["layer4"]), drawn(["layer4"], seed=1))
    first = build_network(tiny_data.data, recipe, 0).state_dict()["backbone.layer4.0.conv1.weight"]
    assert not torch.equal(drawn(["layer4"]), first)
    assert drawn(["layer4"]).std() == pytest.approx(float(first.std()), rel=0.2)


@pytest.mark.parametrize(("changes", "message"), [({"network_options": {"width": 4}}, "options .*2.*, expected .*4")])
def test_start_of_another_network_is_refused(tiny_data, recipe, parent, changes, message):
    network = build_network(tiny_data.data, {**recipe, **changes}, 0)
    with pytest.raises(ClxaiError, match=rf"model\.safetensors: the start is another network: {message}"):
        start_from(network, parent, [], 0)


def test_start_of_other_classes_is_refused(tiny_data, recipe, parent):
    data = replace(tiny_data.data, class_names=(*tiny_data.data.class_names, "eleven"))
    with pytest.raises(ClxaiError, match=r"the start is another network: n_classes 10, expected 11"):
        start_from(build_network(data, recipe, 0), parent, [], 0)
