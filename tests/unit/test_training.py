"""Training depends on the data and the seed alone, selects on validation images and never sees a test image."""

import copy
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from clxai.data.batches import ImageStore
from clxai.errors import ClxaiError
from clxai.losses.base import LOSSES
from clxai.training import training
from clxai.training.masking import masking_of
from clxai.training.training import batches_per_epoch, build_network, learning_rate, train, train_epoch, validation_accuracy
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
STRONG = {
    "crop_padding": 1,
    "resized_crop": [0.5, 1.0],
    "flip": False,
    "jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.0, "hue": 0.0, "probability": 0.8},
    "grey": 0,
}


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """Two epochs of a network of width 2."""
    return {**tiny_recipe, "epochs": 2, "network_options": {"width": 2}, "warmup_epochs": 0.5, "augmentation": STRONG}


@pytest.fixture(scope="module")
def trained(tiny_data, recipe):
    return train(tiny_data.data, recipe, 0, CPU)


def same_weights(one, other):
    found, expected = one.state_dict(), other.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def with_images(data, indices):
    """The data set with noise in place of these images."""
    images = np.array(data.images)
    images[indices] = np.random.default_rng(0).integers(0, 256, images[indices].shape, dtype=np.uint8)
    return replace(data, images=images)


@pytest.mark.parametrize("loss", LOSSES)
def test_train_repeats_bit_for_bit_with_a_seed(tiny_data, recipe, loss):
    one, again = (train(tiny_data.data, {**recipe, "loss": loss}, 0, CPU) for _ in range(2))
    assert same_weights(one.network, again.network)
    assert one.history == again.history


def test_train_differs_with_another_seed(tiny_data, recipe, trained):
    other = train(tiny_data.data, recipe, 1, CPU)
    assert other.history[0]["loss"] != trained.history[0]["loss"]
    assert not same_weights(other.network, trained.network)


def test_train_ignores_the_global_random_state(tiny_data, recipe, trained):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        np.random.seed(123)  # noqa: NPY002
        assert same_weights(train(tiny_data.data, recipe, 0, CPU).network, trained.network)


def test_train_never_looks_at_test_images_or_labels(tiny_data, recipe, trained):
    data = tiny_data.data
    labels = data.labels.copy()
    labels[data.indices("test")] = 0
    corrupted = replace(with_images(data, data.indices("test")), labels=labels)
    result = train(corrupted, recipe, 0, CPU)
    assert same_weights(result.network, trained.network)
    assert result.history == trained.history


def test_train_fits_no_validation_image(tiny_data, recipe, trained):
    """They choose the epoch; the loss of every epoch is without them."""
    data = tiny_data.data
    result = train(with_images(data, data.indices("val")), recipe, 0, CPU)
    assert [row["loss"] for row in result.history] == [row["loss"] for row in trained.history]
    assert [row["val_accuracy"] for row in result.history] != [row["val_accuracy"] for row in trained.history]


def test_build_network_starts_every_loss_of_a_seed_from_the_same_backbone(tiny_data, recipe):
    backbones = [build_network(tiny_data.data, {**recipe, "loss": loss}, 0).backbone for loss in LOSSES]
    assert all(same_weights(backbone, backbones[0]) for backbone in backbones)
    assert not same_weights(build_network(tiny_data.data, recipe, 1).backbone, backbones[0])


def test_build_network_initialises_convolutions_by_he(tiny_data, recipe):
    """Standard deviation sqrt(2 / fan_out) of the published ResNet."""
    weight = build_network(tiny_data.data, {**recipe, "network_options": {"width": 16}}, 0).backbone.layer3[1].conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)


def test_build_network_takes_statistics_and_classes_from_the_data(tiny_data, recipe):
    architecture = build_network(tiny_data.data, recipe, 0).architecture
    pixels = tiny_data.data.images[tiny_data.data.indices("train")] / 255
    assert architecture.mean == pytest.approx([pixels.mean()])
    assert architecture.std == pytest.approx([pixels.std()])
    assert (architecture.n_classes, architecture.shape) == (10, (16, 16))
    assert architecture.options == {"width": 2, "stem": "small"}


@pytest.mark.parametrize(("shape", "stem"), [((24, 16), "small"), ((200, 64), "small"), ((96, 200), "large")])
def test_stem_of_oblong_images_is_that_of_the_smaller_side(tiny_data, recipe, shape, stem):
    data = replace(tiny_data.data, images=np.zeros((1, 1, *shape), dtype=np.uint8))
    architecture = build_network(data, recipe, 0).architecture
    assert (architecture.shape, architecture.options["stem"]) == (shape, stem)


def test_build_network_refuses_images_with_a_side_too_small(tiny_data, recipe):
    data = replace(tiny_data.data, images=np.array(tiny_data.data.images)[:, :, :12])
    with pytest.raises(ClxaiError, match=r"images must be at least 16 px for resnet18 with the small stem\. Got 12 x 16 px"):
        build_network(data, recipe, 0)


def test_train_keeps_the_best_validation_epoch_the_later_of_a_tie(tiny_data, recipe, monkeypatch):
    """The kept weights are those of that epoch, not of the last one."""
    constant = {**recipe, "schedule": "constant", "batch_size": 50, "keep": "best"}

    def scripted(*accuracies):
        left = iter(accuracies)
        monkeypatch.setattr(training, "validation_accuracy", lambda *arguments: next(left))
        return train(tiny_data.data, {**constant, "epochs": len(accuracies)}, 0, CPU)

    result = scripted(0.1, 0.5, 0.5, 0.2)
    assert (result.epoch, result.val_accuracy) == (3, 0.5)
    assert same_weights(result.network, scripted(0.1, 0.5, 0.6).network)
    assert not same_weights(result.network, scripted(0.1, 0.2, 0.3, 0.4).network)


def test_train_keeps_the_last_epoch_whatever_validation_says(tiny_data, recipe, monkeypatch):
    left = iter((0.9, 0.5, 0.1))
    monkeypatch.setattr(training, "validation_accuracy", lambda *arguments: next(left))
    last = {**recipe, "epochs": 3, "keep": "last", "validate_every": 1}
    result = train(tiny_data.data, last, 0, CPU)
    assert (result.epoch, result.val_accuracy) == (3, 0.1)
    monkeypatch.undo()
    assert same_weights(result.network, train(tiny_data.data, {**last, "validate_every": 3}, 0, CPU).network)


@pytest.mark.parametrize(("ruined", "low"), [("classifier", True), ("nothing", False)])
def test_validation_accuracy_is_the_lower_of_vote_and_own_classifier(tiny_data, tiny_recipe, ruined, low):
    data = tiny_data.data
    network = train(data, tiny_recipe, 0, CPU).network
    store = ImageStore(data.images, data.indices("train"), CPU)
    labels = torch.from_numpy(data.labels[store.indices])
    if ruined == "classifier":
        with torch.no_grad():
            for parameter in network.top.parameters():
                parameter.zero_()
    assert (validation_accuracy(network, data, store, labels, CPU) < 0.3) == low


def test_train_reports_the_validation_accuracy_of_the_kept_network(tiny_data, trained):
    data = tiny_data.data
    store = ImageStore(data.images, data.indices("train"), CPU)
    labels = torch.from_numpy(data.labels[data.indices("train")])
    assert validation_accuracy(trained.network, data, store, labels, CPU) == trained.val_accuracy


def test_train_order_and_augmentation_differ_by_seed_and_epoch(tiny_data, recipe, monkeypatch):
    orders, streams = [], []

    class Spy(ImageStore):
        def take(self, positions):
            orders.append(tuple(positions.tolist()))
            return super().take(positions)

    monkeypatch.setattr(training, "ImageStore", Spy)
    monkeypatch.setattr(training, "validation_accuracy", lambda *arguments: 0.5)
    monkeypatch.setattr(training, "augment", lambda images, recipe, draws: streams.append(draws.initial_seed()) or images)
    for seed in (0, 1):
        train(tiny_data.data, recipe, seed, CPU)
    assert len(set(orders)) == len(orders) == 40
    assert len(set(streams)) == 4
    assert all(sorted(sum(orders[epoch * 10 : epoch * 10 + 10], ())) == list(range(200)) for epoch in range(4))


def test_train_validates_at_intervals_and_at_the_end(tiny_data, recipe):
    result = train(tiny_data.data, {**recipe, "epochs": 5, "batch_size": 100, "validate_every": 2}, 0, CPU)
    assert [row["epoch"] for row in result.history if not math.isnan(row["val_accuracy"])] == [2, 4, 5]


def test_train_lowers_the_loss(tiny_data, tiny_recipe):
    history = train(tiny_data.data, {**tiny_recipe, "epochs": 5}, 0, CPU).history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_train_stops_at_a_loss_that_is_not_finite_naming_the_epoch(tiny_data, recipe, optimiser):
    broken = {**recipe, "learning_rate": 1e25, "optimiser": optimiser, "warmup_epochs": 0}
    with pytest.raises(ClxaiError, match=r"the loss is (nan|inf) in epoch [12] of 2: lower learning_rate"):
        train(tiny_data.data, broken, 0, CPU)


def test_train_record_says_what_was_kept(trained, recipe):
    record = trained.record()
    assert {name: record[name] for name in recipe} == recipe
    assert (record["seed"], record["epoch"], record["final_loss"]) == (0, trained.epoch, trained.history[-1]["loss"])


def test_train_leaves_the_recipe_alone(tiny_data, recipe):
    before = copy.deepcopy(recipe)
    train(tiny_data.data, {**recipe, "epochs": 1}, 0, CPU)
    assert recipe == before


def test_views_multiply_the_batch(tiny_data, recipe, monkeypatch):
    """Two views for supcon by default, one for cross-entropy, and what the recipe says where it does."""
    sizes = {}
    for loss, views in (("supcon", None), ("cross_entropy", None), ("cross_entropy", 3)):
        entry = LOSSES[loss]
        seen = []
        spy = replace(
            entry,
            definition=lambda outputs, labels, seen=seen, entry=entry, **options: (
                seen.append((len(outputs), labels.tolist())) or entry.definition(outputs, labels, **options)
            ),
        )
        monkeypatch.setitem(LOSSES._entries, loss, spy)
        train(tiny_data.data, {**recipe, "loss": loss, "views": views, "epochs": 1}, 0, CPU)
        monkeypatch.undo()
        sizes[loss, views] = {size for size, _ in seen}
        assert all(labels == labels[:20] * (size // 20) for size, labels in seen)
        assert len(seen) == 10
    assert sizes == {("supcon", None): {40}, ("cross_entropy", None): {20}, ("cross_entropy", 3): {60}}


@pytest.mark.parametrize(("n_images", "batch_size", "expected"), [(200, 20, 10), (199, 20, 9), (20, 20, 1)])
def test_batches_per_epoch_counts_full_batches(n_images, batch_size, expected):
    assert batches_per_epoch(n_images, batch_size) == expected


def test_batches_per_epoch_refuses_a_batch_larger_than_the_split():
    with pytest.raises(ClxaiError, match=r"batch_size must be at most the 100 training images\. Got 128"):
        batches_per_epoch(100, 128)


@pytest.mark.parametrize(
    ("progress", "cosine", "constant"),
    [
        (0.0, 0.02, 0.02),
        (1.0, 0.11, 0.11),
        (2.0, 0.2, 0.2),
        (4.0, 0.15, 0.2),  # a third of the way down: (1 + cos 60) / 2
        (5.0, 0.1, 0.2),
        (6.0, 0.05, 0.2),
        (8.0, 0.0, 0.2),
    ],
)
def test_learning_rate_warms_up_from_a_tenth_then_falls_as_a_cosine_or_stays(progress, cosine, constant):
    """Peak 0.2, two epochs of warm-up, eight epochs in all."""
    recipe = {"learning_rate": 0.2, "warmup_epochs": 2, "epochs": 8}
    assert learning_rate({**recipe, "schedule": "cosine"}, progress) == pytest.approx(cosine, abs=1e-12)
    assert learning_rate({**recipe, "schedule": "constant"}, progress) == pytest.approx(constant, abs=1e-12)


def test_learning_rate_without_warm_up_starts_at_its_peak():
    assert learning_rate({"learning_rate": 0.2, "warmup_epochs": 0, "epochs": 8, "schedule": "cosine"}, 0.0) == 0.2


class _NoHostReads(TorchDispatchMode):
    """Counts operations that would make the host wait for a device: reading a number or a size that depends on values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name.startswith(self.WAITING):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("units", [None, "grid", "superpixels"])
@pytest.mark.parametrize("loss", ["cross_entropy", "supcon", "triplet"])
def test_an_epoch_reads_no_number_from_the_device_but_its_mean_loss(tiny_data, recipe, loss, units):
    recipe = {**recipe, "loss": loss, "optimiser": "sgd", "augmentation": STRONG}
    data, seed = tiny_data.data, 0
    network = build_network(data, recipe, seed)
    store = ImageStore(data.images, data.indices("train"), CPU)
    labels = torch.from_numpy(data.labels[store.indices])
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    fill = {"name": "noise", "fill": "noise", "options": {}}
    masks = units and {"share": 0.5, "units": {"units": units, "options": {}}, "fill": fill}
    masking = masking_of(masks, store, network.mean, seed)
    with _NoHostReads() as mode:
        train_epoch(network, optimiser, store, labels, recipe, seed, 1, 3, masking)
    assert mode.found == ["_local_scalar_dense"]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_training_is_the_same_training(tiny_data, recipe, monkeypatch):
    """With Dynamo's own backend, which captures the graph and runs it as it is: the code generator needs a C++ compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    short = {**recipe, "epochs": 2, "warmup_epochs": 0}
    plain, compiled = (train(tiny_data.data, {**short, "compile": on}, 0, CPU) for on in (False, True))
    assert [row["loss"] for row in compiled.history] == pytest.approx([row["loss"] for row in plain.history], rel=1e-4)
