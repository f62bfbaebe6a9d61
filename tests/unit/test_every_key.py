"""Every key of a recipe has the effect that its description and docs/methods.md give it.

The keys come from the schema: one without a case here fails. Effects are compared with formulas, written out once more.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clxai.losses.base import LOSSES
from clxai.networks.models import save_network
from clxai.training import training
from clxai.training.augmentation import augment
from clxai.training.labels import labels_of
from clxai.training.training import build_network, train
from project import SCHEMA, changed, filled_config, leaves
from scipy.stats import kstest

CPU = torch.device("cpu")
N_TRAIN = 200


RECIPE = leaves(SCHEMA["properties"]["models"]["additionalProperties"])
KEYS = [".".join(path) for path, entry, _ in RECIPE if "properties" not in entry]


class Watch:
    """Trains and keeps what each step saw: images, rate, gradients and the weights before it; `weights` ends with the last."""

    def __init__(self, data, monkeypatch):
        self.data, self.monkeypatch = data, monkeypatch

    def train(self, recipe, data=None):
        """Train with seed 0."""
        seen = SimpleNamespace(rates=[], images=[], weights=[], gradients=[], augmentation=[], precisions=[])
        make, grow, cast = training._optimiser, training.augment, training.autocast

        def optimiser_of(network, recipe):
            optimiser = make(network, recipe)
            seen.parameters, step = list(network.parameters()), optimiser.step

            def watch():
                seen.rates.append(optimiser.param_groups[0]["lr"])
                seen.gradients.append([parameter.grad.double().clone() for parameter in seen.parameters])
                seen.weights.append([parameter.detach().double().clone() for parameter in seen.parameters])
                step()

            optimiser.step = watch
            return optimiser

        def augmented(images, steps, draws):
            seen.augmentation.append(steps)
            seen.images.append(grow(images, steps, draws))
            return seen.images[-1]

        def casting(device, precision):
            seen.precisions.append(precision)
            return cast(device, precision)

        with self.monkeypatch.context() as patch:
            patch.setattr(training, "_optimiser", optimiser_of)
            patch.setattr(training, "augment", augmented)
            patch.setattr(training, "autocast", casting)
            seen.result = train(data or self.data, recipe, 0, CPU)
        seen.weights.append([parameter.detach().double() for parameter in seen.parameters])
        return seen


@pytest.fixture
def watch(tiny_data, monkeypatch):
    return Watch(tiny_data.data, monkeypatch)


def recipe_of(**changes):
    """Two epochs of four batches without augmentation."""
    small = {"epochs": 2, "batch_size": 50, "warmup_epochs": 0.5, "validate_every": 1, "learning_rate": 0.05}
    fixed = {"precision": "float32", "augmentation": OFF, "network_options": {"width": 8}}
    return {**filled_config()["models"]["ce"], **fixed, **small, **changes}


OFF = {
    "crop_padding": 0,
    "resized_crop": None,
    "flip": False,
    "jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 1.0},
    "grey": 0,
}


def expected_rates(recipe):
    """The rate of every batch: a line from a tenth of the peak over the warm-up, then half a cosine to 0, or the peak."""
    peak, warmup, epochs, n_batches = (recipe[key] for key in ("learning_rate", "warmup_epochs", "epochs", "batch_size"))
    rates, n_batches = [], N_TRAIN // n_batches
    for batch in range(epochs * n_batches):
        epoch = batch / n_batches
        if epoch < warmup:
            rates.append(peak / 10 + (peak - peak / 10) * epoch / warmup)
        elif recipe["schedule"] == "constant":
            rates.append(peak)
        else:
            rates.append(peak * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup))) / 2)
    return rates


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0.02),
        ("schedule", "constant"),
        ("warmup_epochs", 1.25),
        ("warmup_epochs", 0),
        ("epochs", 3),
        ("batch_size", 20),
    ],
)
def test_rate_of_every_batch_is_the_schedule(watch, key, value):
    recipe = recipe_of(**{key: value})
    found = watch.train(recipe).rates
    assert found == pytest.approx(expected_rates(recipe), abs=1e-12)
    assert found != pytest.approx(expected_rates(recipe_of()), abs=1e-6)


def by_sgd(seen, momentum, decay):
    """With g the gradient plus decay times w: v <- momentum v + g, w <- w - rate (g + momentum v), as Nesterov has it."""
    weights, velocity = list(seen.weights[0]), [0.0] * len(seen.weights[0])
    for rate, gradients in zip(seen.rates, seen.gradients, strict=True):
        slopes = [gradient + decay * weight for gradient, weight in zip(gradients, weights, strict=True)]
        velocity = [momentum * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        weights = [w - rate * (g + momentum * v) for w, g, v in zip(weights, slopes, velocity, strict=True)]
    return weights


def by_adamw(seen, decay):
    """w <- w (1 - rate decay) - rate m' / (sqrt(v') + 1e-8) with bias-corrected means, betas .9 and .999."""
    weights = list(seen.weights[0])
    mean, square = [0.0] * len(weights), [0.0] * len(weights)
    for step, (rate, gradients) in enumerate(zip(seen.rates, seen.gradients, strict=True), start=1):
        for n, gradient in enumerate(gradients):
            mean[n] = 0.9 * mean[n] + 0.1 * gradient
            square[n] = 0.999 * square[n] + 0.001 * gradient**2
            move = mean[n] / (1 - 0.9**step) / ((square[n] / (1 - 0.999**step)).sqrt() + 1e-8)
            weights[n] = weights[n] * (1 - rate * decay) - rate * move
    return weights


def distance(one, other):
    """The largest relative difference of two lists of tensors."""
    pairs = zip(one, other, strict=True)
    return max(float((a - b).norm() / b.norm().clamp(min=1e-3)) for a, b in pairs)


@pytest.mark.parametrize(("key", "value"), [("momentum", 0.9), ("momentum", 0.5), ("momentum", 0.0), ("weight_decay", 0.1)])
def test_sgd_takes_the_steps_of_its_formula(watch, key, value):
    recipe = recipe_of(**{"weight_decay": 0.05, key: value})
    seen = watch.train(recipe)
    assert distance(seen.weights[-1], by_sgd(seen, recipe["momentum"], recipe["weight_decay"])) < 1e-4
    assert distance(seen.weights[-1], by_sgd(seen, recipe["momentum"], 0.0)) > 1e-3


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_adamw_takes_the_steps_of_its_formula(watch, decay):
    seen = watch.train(recipe_of(optimiser="adamw", learning_rate=0.01, weight_decay=decay))
    assert distance(seen.weights[-1], by_adamw(seen, decay)) < 1e-3
    assert distance(seen.weights[-1], by_adamw(seen, 0.5 - decay)) > 5e-3


def first_labels(data, n_images):
    labels = torch.from_numpy(data.labels[data.indices("train")])
    return labels[training._order(N_TRAIN, n_images, N_TRAIN // n_images, 0, 1)[0]]


@pytest.mark.parametrize(
    ("loss", "options", "views", "expected_views"),
    [
        ("cross_entropy", {}, None, 1),
        ("cross_entropy", {"label_smoothing": 0.8}, 2, 2),
        ("supcon", {}, None, 2),
        ("supcon", {"temperature": 0.5}, 3, 3),
        ("triplet", {}, None, 1),
        ("triplet", {"margin": 1.0}, 2, 2),
    ],
)
def test_loss_its_options_and_views_give_the_loss_of_the_record(watch, loss, options, views, expected_views):
    """One batch of all images: the loss in the record and the gradients are those of the first weights."""
    recipe = recipe_of(loss=loss, loss_options=options, views=views, epochs=1, warmup_epochs=0, batch_size=N_TRAIN)
    seen = watch.train(changed(recipe, {"augmentation.jitter.brightness": 0.4}))
    assert len(seen.images) == expected_views
    network = build_network(watch.data, recipe, 0).train()
    labels = first_labels(watch.data, N_TRAIN).repeat(expected_views)

    def joined(tensors):
        return [torch.cat([tensor.flatten().double() for tensor in tensors])]

    def expected(values):
        value = LOSSES[loss].definition(network.outputs(torch.cat(seen.images)), labels, **values)
        return value.item(), joined(torch.autograd.grad(value, list(network.top.parameters())))

    defaults = LOSSES[loss].semantics["options"]
    value, gradients = expected({**defaults, **options})
    own = [joined(seen.gradients[0])[0][-len(gradients[0]) :]]
    assert seen.result.history[0]["loss"] == pytest.approx(value, rel=1e-4)
    assert distance(own, gradients) < 0.15  # triplets change at rounding
    other, slopes = expected(defaults)
    assert not options or abs(value / other - 1) > 0.1 or distance(own, slopes) > 0.2


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("batch_size", [50, 60, 200])
def test_epochs_and_batch_size_give_the_number_of_steps_and_of_images(watch, epochs, batch_size):
    seen = watch.train(recipe_of(epochs=epochs, batch_size=batch_size, views=2))
    assert len(seen.rates) == epochs * (N_TRAIN // batch_size)
    assert [len(images) for images in seen.images] == [batch_size] * 2 * len(seen.rates)
    assert [row["epoch"] for row in seen.result.history] == list(range(1, epochs + 1))


def test_validate_every_says_which_epochs_are_validated(watch):
    history = watch.train(recipe_of(epochs=5, batch_size=N_TRAIN, validate_every=3)).result.history
    assert [row["epoch"] for row in history if not math.isnan(row["val_accuracy"])] == [3, 5]


@pytest.mark.parametrize(("keep", "epoch"), [("last", 3), ("best", 2)])
def test_keep_says_which_epoch_is_kept(watch, monkeypatch, keep, epoch):
    accuracies = iter((0.1, 0.9, 0.5))
    monkeypatch.setattr(training, "validation_accuracy", lambda *arguments: next(accuracies))
    assert watch.train(recipe_of(epochs=3, batch_size=N_TRAIN, keep=keep)).result.epoch == epoch


@pytest.mark.parametrize("width", [8, 16])
def test_width_is_the_number_of_channels_of_the_first_layer(watch, width):
    network = build_network(watch.data, recipe_of(network_options={"width": width}), 0)
    assert network.backbone.conv1.out_channels == width
    assert network.top.in_features == network.n_features == 8 * width


@pytest.mark.parametrize(
    ("stem", "size", "kernel", "stride"),
    [("small", 96, 3, 1), ("large", 64, 7, 2), ("auto", 95, 3, 1), ("auto", 96, 7, 2)],
)
def test_stem_is_that_of_small_or_large_images(watch, stem, size, kernel, stride):
    data = replace(watch.data, images=np.zeros((1, 1, size, size), dtype=np.uint8))
    backbone = build_network(data, recipe_of(network_options={"stem": stem}), 0).backbone
    assert (backbone.conv1.kernel_size, backbone.conv1.stride) == ((kernel, kernel), (stride, stride))
    assert isinstance(backbone.maxpool, torch.nn.MaxPool2d) == (kernel == 7)


@pytest.mark.parametrize("size", [16, 24])
def test_projection_size_is_the_output_of_contrastive_losses_and_of_no_other(watch, size):
    for loss, expected in (("supcon", size), ("triplet", size), ("cross_entropy", 10)):
        network = build_network(watch.data, recipe_of(loss=loss, projection_size=size), 0)
        assert network.eval().outputs(torch.zeros(1, 1, 16, 16)).shape == (1, expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_forward_pass(watch, monkeypatch, precision):
    found, loss = [], LOSSES["cross_entropy"]
    outputs = training.Network.outputs
    monkeypatch.setattr(training.Network, "outputs", lambda *given: found.append(outputs(*given)) or found[-1])
    seen = watch.train(recipe_of(precision=precision, epochs=1, batch_size=N_TRAIN, warmup_epochs=0))
    assert seen.precisions == [precision]
    assert {output.dtype for output in found} == {getattr(torch, precision)}
    assert loss.definition(found[0], torch.zeros(N_TRAIN).long(), label_smoothing=0.0).dtype == torch.float32


@pytest.mark.parametrize("compiles", [True, False])
def test_compile_compiles_the_forward_pass(watch, monkeypatch, compiles):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function: asked.append(function) or function)
    watch.train(recipe_of(epochs=1, batch_size=N_TRAIN, warmup_epochs=0, compile=compiles))
    assert len(asked) == int(compiles)


def test_start_gives_the_first_weights_and_randomise_draws_a_part_of_them_anew(watch, tmp_path):
    parent, path = watch.train(recipe_of()).result.network, tmp_path / "model.safetensors"
    save_network(parent, path)
    for parts, changed_layers in (([], set()), (["layer2"], {"layer2"})):
        found = train(watch.data, recipe_of(start="parent", randomise=parts, epochs=0), 0, CPU, start=path).network
        pairs = zip(parent.backbone.named_parameters(), found.backbone.parameters(), strict=True)
        assert {name.split(".")[0] for (name, one), other in pairs if not torch.equal(one, other)} == changed_layers


def test_permuted_labels_are_learnt_in_place_of_the_given_ones(watch, monkeypatch):
    """Each image keeps its label through all epochs; the numbers of images of each class are the given ones."""
    seen, order = [], training._order
    monkeypatch.setattr(training, "_order", lambda *given: torch.arange(len(order(*given).flatten())).view_as(order(*given)))
    monkeypatch.setattr(training, "labels_of", lambda *given: seen.append(labels_of(*given)) or seen[-1])
    watch.train(recipe_of(labels="permuted"))
    given = watch.data.labels[watch.data.indices("train")]
    (learnt,) = seen
    assert (learnt != given).mean() > 0.8
    assert (np.bincount(learnt) == np.bincount(given)).all()


MASKS = {"share": 0.5, "units": {"units": "grid", "options": {"height": 4, "width": 4}}, "fill": {"fill": "zero"}}


@pytest.mark.parametrize(
    ("key", "value", "most", "colour"),
    [
        ("share", 0.5, 8, 0.0),
        ("share", 0.25, 4, 0.0),
        ("units", {"units": "bands", "options": {"height": 8}}, 1, 0.0),
        ("fill", {"fill": "mean"}, 8, None),
    ],
)
def test_masks_remove_up_to_a_share_of_their_units_and_put_their_fill(watch, monkeypatch, key, value, most, colour):
    """On images of one grey, what the network sees is that grey and the fill, in whole units of 16 px or half an image."""
    seen, outputs = [], training.Network.outputs
    monkeypatch.setattr(training.Network, "outputs", lambda net, images: seen.append(images.clone()) or outputs(net, images))
    monkeypatch.setattr(training, "validation_accuracy", lambda *given: 0.5)
    masks = {**MASKS, key: value}
    masks["fill"] = {"name": masks["fill"]["fill"], "options": {}, **masks["fill"]}
    flat = replace(watch.data, images=np.full_like(np.array(watch.data.images), 100))
    watch.train({**recipe_of(epochs=1), "masks": masks}, flat)
    images = torch.cat(seen)
    gone = images != 100 / 255
    assert images[gone].unique().tolist() == pytest.approx([watch.data.mean[0] if colour is None else colour])
    counts = gone.flatten(1).sum(dim=1) / (256 / (2 if key == "units" else 16))
    assert set(counts.tolist()) == set(range(most + 1))


def coloured(n_images=400):
    """Random colour images from which jitter clips nothing."""
    return 0.4 + 0.15 * torch.rand(n_images, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def luma(images):
    red, green, blue = images.unbind(1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def uniform(values, least, most):
    return kstest(np.asarray(values), "uniform", (least, most - least)).pvalue > 1e-4


def of_crop_padding(clean, found):
    """The windows are moved by -2..2 pixels, what comes in is black."""
    rows = (found == 0).all(dim=(1, 3)).sum(dim=1)
    assert set(rows.tolist()) == {0, 1, 2}
    assert all(torch.isin(image[image > 0], own).all() for image, own in zip(found[:20], clean[:20], strict=True))


def of_resized_crop(clean, found):
    """A twentieth to a tenth of the area, stretched over the image: neighbours become alike."""
    assert (found.diff(dim=3).abs().mean() / clean.diff(dim=3).abs().mean()) < 0.5
    assert found.amin() >= clean.amin() - 1e-5
    assert found.amax() <= clean.amax() + 1e-5


def of_flip(clean, found):
    mirrored = (found == clean.flip(3)).all(dim=(1, 2, 3))
    assert (mirrored ^ (found == clean).all(dim=(1, 2, 3))).all()
    assert 150 < mirrored.sum() < 250


def of_brightness(clean, found):
    factors = (found / clean).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-4, atol=1e-4)
    assert uniform(factors[:, 0], 0.6, 1.4)


def of_contrast(clean, found):
    mean = luma(clean).mean(dim=(1, 2))[:, None, None, None]
    factors = ((found - mean) / (clean - mean))[(clean - mean).abs() > 0.02]
    assert 0.6 <= factors.min() < 0.65 and 1.35 < factors.max() <= 1.4001
    torch.testing.assert_close(luma(found).mean(dim=(1, 2)), luma(clean).mean(dim=(1, 2)), rtol=1e-3, atol=1e-3)
    assert uniform((found.std(dim=(1, 2, 3)) / clean.std(dim=(1, 2, 3))), 0.6, 1.4)


def of_saturation(clean, found):
    torch.testing.assert_close(luma(found), luma(clean), rtol=1e-3, atol=1e-3)
    spread, before = (images.amax(1) - images.amin(1) for images in (found, clean))
    assert uniform((spread / before).flatten(1).median(dim=1).values, 0.6, 1.4)


def of_hue(clean, found):
    torch.testing.assert_close(found.amax(1), clean.amax(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.amin(1), clean.amin(1), rtol=1e-4, atol=1e-4)
    assert (found - clean).abs().amax(dim=(1, 2, 3)).median() > 0.01


def of_probability(clean, found):
    share = (found != clean).flatten(1).any(dim=1).float().mean()
    assert 0.2 < share < 0.4


def of_grey(clean, found):
    grey = (found == found[:, :1]).flatten(1).all(dim=1)
    assert 0.2 < grey.float().mean() < 0.4
    torch.testing.assert_close(found[~grey], clean[~grey])
    torch.testing.assert_close(found[grey][:, 0], luma(clean[grey]), rtol=1e-4, atol=1e-4)


def of_time_shift(clean, found):
    """The sound is moved by -3..3 columns, what comes in is silence."""
    moved = set()
    for own, image in zip(clean, found, strict=True):
        later = [shift for shift in range(-3, 4) if torch.equal(image, shifted(own, shift))]
        assert len(later) == 1
        moved |= {*later}
    assert moved == {*range(-3, 4)}


def shifted(image, shift):
    width = image.shape[-1]
    moved = torch.zeros_like(image)
    moved[..., max(0, shift) : width + min(0, shift)] = image[..., max(0, -shift) : width + min(0, -shift)]
    return moved


def of_gain(clean, found):
    """All that sounds is louder or softer by the same, where it is not clipped."""
    change = (found - clean).flatten(1).median(dim=1).values
    assert uniform(change, -0.1, 0.1)
    inside = (found > 0) & (found < 1)
    torch.testing.assert_close((found - clean)[inside], change[:, None, None, None].expand_as(found)[inside], atol=1e-5, rtol=0)


def silent_widths(found, axes, size):
    """How many columns or rows are silent in each image: neighbours, 0 to 5 of them, equally often."""
    silent = (found == 0).all(dim=1).all(dim=axes)
    widths = silent.sum(dim=1)
    assert (silent.int().diff(dim=1).abs().sum(dim=1) <= 2).all()
    assert set(widths.tolist()) == {*range(size + 1)}
    assert silent[:, 0].any() and silent[:, -1].any()


def of_time_mask(clean, found):
    silent_widths(found, 1, 5)
    assert ((found == 0) | (found == clean)).all()


def of_frequency_mask(clean, found):
    silent_widths(found, 2, 5)
    assert ((found == 0) | (found == clean)).all()


SILENT = {"time_shift": 0, "gain": 0, "time_mask": 0, "frequency_mask": 0}
# key of the augmentation: (value, what it does to images), everything else off; `probability` needs something to jitter
AUGMENTATION = {
    "augmentation.crop_padding": (2, of_crop_padding),
    "augmentation.resized_crop": ([0.05, 0.1], of_resized_crop),
    "augmentation.flip": (True, of_flip),
    "augmentation.jitter.brightness": (0.4, of_brightness),
    "augmentation.jitter.contrast": (0.4, of_contrast),
    "augmentation.jitter.saturation": (0.4, of_saturation),
    "augmentation.jitter.hue": (0.2, of_hue),
    "augmentation.jitter.probability": (0.3, of_probability),
    "augmentation.grey": (0.3, of_grey),
    "augmentation.sound.time_shift": (3, of_time_shift),
    "augmentation.sound.gain": (0.1, of_gain),
    "augmentation.sound.time_mask": (5, of_time_mask),
    "augmentation.sound.frequency_mask": (5, of_frequency_mask),
}
HELD_ABOVE = (
    *("loss", "loss_options", "views", "epochs", "batch_size", "optimiser", "learning_rate", "momentum", "weight_decay"),
    *("schedule", "warmup_epochs", "validate_every", "keep", "network", "network_options", "projection_size", "precision"),
    *("compile", "start", "weights", "normalise", "randomise", "labels", "masks.share", "masks.units", "masks.fill"),
)


def test_every_key_of_a_recipe_has_a_case_here():
    assert sorted([*HELD_ABOVE, *AUGMENTATION]) == sorted(KEYS)


def augmented_by(key, images, draws):
    off = OFF | {"sound": SILENT} if ".sound." in key else OFF
    recipe = changed({"augmentation": off}, {key: AUGMENTATION[key][0]})
    if key.endswith("probability"):
        recipe = changed(recipe, {"augmentation.jitter.brightness": 0.4})
    return augment(images, recipe["augmentation"], draws)


@pytest.mark.parametrize("key", AUGMENTATION)
def test_augmentation_does_what_its_key_says(key):
    clean = coloured()
    AUGMENTATION[key][1](clean, augmented_by(key, clean, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("key", AUGMENTATION)
def test_images_and_views_are_augmented_independently(key):
    """The same image 300 times, in two views: what happens to one says nothing of another or of its other view."""
    clean, draws = coloured(1).expand(300, -1, -1, -1), torch.Generator().manual_seed(2)
    one, other = (augmented_by(key, clean, draws) for _ in range(2))
    measure = torch.randn(clean[0].numel(), generator=torch.Generator().manual_seed(3))
    first, second = ((view.flatten(1) @ measure).double().numpy() for view in (one, other))
    assert first.std() > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.25
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.25


def test_every_view_of_every_batch_and_epoch_draws_its_own_augmentation(watch, monkeypatch):
    """On images of one grey, the brightness shows the factor that was drawn."""
    monkeypatch.setattr(training, "validation_accuracy", lambda *given: 0.5)
    flat = replace(watch.data, images=np.full_like(np.array(watch.data.images), 100))
    recipe = changed(recipe_of(views=2), {"augmentation.jitter.brightness": 0.4})
    seen = watch.train(recipe, flat)
    assert all(steps == recipe["augmentation"] for steps in seen.augmentation)
    factors = torch.stack([images[:, 0, 0, 0] for images in seen.images]).numpy() * 255 / 100  # [batch and view, image]
    assert factors.shape == (2 * 2 * 4, 50)
    assert len(np.unique(factors)) > 0.99 * factors.size
    assert np.abs(np.corrcoef(factors)[np.triu_indices(16, 1)]).max() < 0.6
    assert abs(np.corrcoef(factors[::2].ravel(), factors[1::2].ravel())[0, 1]) < 0.2
    assert uniform(factors.ravel(), 0.6, 1.4)
