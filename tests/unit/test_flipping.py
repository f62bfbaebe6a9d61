import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.fills.base import fill_images, fill_of, fills_of
from clxai.flipping.curves import observer_of
from clxai.flipping.engine import Flipping, flip
from clxai.flipping.observing import Observer
from clxai.heads.affine import Softmax
from clxai.heads.base import log_odds
from clxai.names import ORDERS
from clxai.networks.architecture import Architecture
from clxai.networks.models import load_network
from clxai.units.base import cut_images
from clxai.units.removal import removal_counts
from project import flat_encoder
from sklearn.covariance import LedoitWolf
from torch import nn

FILLS = ("mean", "noise")
UNIT, STEPS, SEED, BANK_K = 4, 5, 3, 7
SCORES = (
    "probability",
    "probability_matched",
    "probability_matched_low",
    "probability_matched_high",
    "log_odds",
    "prediction",
    "centroid_distance",
    "other_distance",
)
DRIFTS = ("drift_l2", "drift_cosine", "bank_distance", "mean_distance", "relative_mahalanobis", "step_length", "acceleration")


def plan_of(fills, size, unit, steps, batch_size):
    """Squares of `unit` pixels."""
    cut = cut_images("grid", {"height": unit, "width": unit}, torch.empty(1, 1, size, size))
    return Flipping(fills_of(fills), cut, removal_counts(cut.n_units, steps), SEED, batch_size)


def flipped(run, rank, batch_size=512, fills=FILLS, steps=STEPS):
    """All quantities of all pieces as arrays [explained, fill, order, ..., image, step], and the paths."""
    plan = plan_of(fills, 16, UNIT, steps, batch_size)
    shape = (len(rank), len(fills), len(ORDERS))
    pieces = {place: {} for place in np.ndindex(shape)}
    for (explained, fill, order, group), quantities, path in flip(
        run.encoder, observer_of(run, BANK_K), run.images, run.index, rank, plan
    ):
        pieces[explained, fill, order][group.start] = {**quantities, "path": path}
    values = {}
    for name in (*SCORES, *DRIFTS, "path"):
        axis = 1 if name in SCORES else 0
        whole = [torch.cat([part[name] for _, part in sorted(pieces[place].items())], dim=axis) for place in np.ndindex(shape)]
        values[name] = torch.stack(whole).unflatten(0, shape).numpy()
    return values


def softmax_scores(head, z):
    scores = head.weight.double().numpy() @ z + head.bias.double().numpy()
    return scores, int(np.argmax(scores))


def knn_scores(head, z):
    bank, labels = head.bank.double().numpy(), head.labels.tolist()
    temperature = head.options["temperature"]
    cosines = bank @ (z / np.linalg.norm(z))
    nearest = np.argsort(-cosines)[: head.options["k"]]
    sums, votes = np.zeros(10), np.zeros(10)
    for item in nearest:
        sums[labels[item]] += np.exp(cosines[item] / temperature)
        votes[labels[item]] += 1
    scores = np.array([np.log(total) if count else -1 / temperature for total, count in zip(sums, votes, strict=True)])
    most = [c for c in range(10) if votes[c] == votes.max()]
    return scores, max(most, key=lambda c: scores[c])


def odds_of(scores, target):
    others = np.delete(scores, target)
    return scores[target] - others.max() - np.log(np.exp(others - others.max()).sum())


def slow_path(network, run, image, ranks, fill, order):
    """One step at a time, one unit at a time, through the unfolded network in float64."""
    clean = run.images[image].double()
    filled = fill_images(fill_of(fill), run.images[image : image + 1], run.encoder.mean, run.index[image : image + 1], SEED)[0]
    path = []
    for count in [round(step * 16 / STEPS) for step in range(STEPS + 1)]:
        changed = clean.clone()
        for unit in range(16):
            place = int(ranks[unit]) if order == "morf" else 15 - int(ranks[unit])
            if place < count:
                top, left = UNIT * (unit // 4), UNIT * (unit % 4)
                changed[:, top : top + UNIT, left : left + UNIT] = filled[:, top : top + UNIT, left : left + UNIT]
        path.append(network.backbone(network.normalise(changed[None]))[0].numpy())
    return np.stack(path)


def curvature(path, fraction):
    """Norm of the second derivative of the parabola through each point and its two neighbours, NaN at the ends."""
    bend = np.full(len(path), np.nan)
    for step in range(1, len(path) - 1):
        x = fraction[step - 1 : step + 2] - fraction[step]
        coefficients = np.linalg.solve(np.vander(x, 3), path[step - 1 : step + 2])
        bend[step] = np.linalg.norm(2 * coefficients[0])
    return bend


def relative_distance(units, labels, u):
    """Squared Mahalanobis distances written out, with scikit-learn's shrunk covariances inverted."""
    means = np.stack([units[labels == c].mean(axis=0) for c in range(10)])
    within = LedoitWolf(assume_centered=True).fit(units - means[labels.astype(int)]).covariance_ * len(units) / (len(units) - 10)
    common = LedoitWolf().fit(units).covariance_ * len(units) / (len(units) - 1)
    to_class = min((u - mean) @ np.linalg.inv(within) @ (u - mean) for mean in means)
    return to_class - (u - units.mean(axis=0)) @ np.linalg.inv(common) @ (u - units.mean(axis=0))


def slow_quantities(run, path):
    bank, labels = (part.double().numpy() for part in run.training_bank())
    units = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    fraction = np.array([round(step * 16 / STEPS) for step in range(STEPS + 1)]) / 16
    norms = np.linalg.norm(path, axis=1)
    found = {
        "drift_l2": [np.linalg.norm(z - path[0]) for z in path],
        "drift_cosine": [1 - z @ path[0] / (n * norms[0]) for z, n in zip(path, norms, strict=True)],
        "bank_distance": [np.sort(np.linalg.norm(units - z / n, axis=1))[BANK_K - 1] for z, n in zip(path, norms, strict=True)],
        "mean_distance": [np.linalg.norm(z - bank.mean(axis=0)) for z in path],
        "relative_mahalanobis": [relative_distance(units, labels, z / n) for z, n in zip(path, norms, strict=True)],
        "step_length": [0.0, *(np.linalg.norm(path[j] - path[j - 1]) for j in range(1, len(path)))],
        "acceleration": curvature(path, fraction),
    }
    heads = {"softmax": softmax_scores, "knn": knn_scores}
    for name, scorer in heads.items():
        head = run.heads[name]
        scored = [scorer(head, z) for z in path]
        target = scored[0][1]
        odds = np.array([odds_of(scores, target) for scores, _ in scored])
        matched = {
            end: np.array([odds_of(scores / float(getattr(head, f"temperature{end}")), target) for scores, _ in scored])
            for end in ("", "_low", "_high")
        }
        centroids = [bank[labels == c].mean(axis=0) for c in range(10)]
        found[name] = {
            "log_odds": odds,
            "probability": 1 / (1 + np.exp(-odds)),
            **{f"probability_matched{end}": 1 / (1 + np.exp(-values)) for end, values in matched.items()},
            "prediction": [prediction for _, prediction in scored],
            "centroid_distance": [np.linalg.norm(z - centroids[target]) for z in path],
            "other_distance": [min(np.linalg.norm(z - centroids[c]) for c in range(10) if c != target) for z in path],
        }
    return found


@pytest.fixture(scope="module")
def fast(few, rank):
    return flipped(few, rank)


@pytest.fixture(scope="module")
def slow(few, rank):
    network = load_network(few.checkpoint, torch.device("cpu")).double()
    found = {}
    for image in range(3):
        for fill_number, fill in enumerate(FILLS):
            for order_number, order in enumerate(ORDERS):
                path = slow_path(network, few, image, rank[0, image], fill, order)
                found[fill_number, order_number, image] = (path, slow_quantities(few, path))
    return found


def test_embedding_path_equals_the_slow_twin(fast, slow):
    for (fill, order, image), (path, _) in slow.items():
        np.testing.assert_allclose(fast["path"][0, fill, order, image], path, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_equals_the_slow_twin(fast, slow, name):
    for (fill, order, image), (_, expected) in slow.items():
        found = fast[name][0, fill, order, image]
        atol = {"acceleration": 1e-3, "relative_mahalanobis": 1e-2}.get(name, 1e-4)
        np.testing.assert_allclose(found, expected[name], rtol=1e-3, atol=atol)


@pytest.mark.parametrize("head", ["softmax", "knn"])
@pytest.mark.parametrize("name", SCORES)
def test_scores_equal_the_slow_twin(few, fast, slow, head, name):
    number = list(few.heads).index(head)
    for (fill, order, image), (_, expected) in slow.items():
        found = fast[name][0, fill, order, number, image]
        np.testing.assert_allclose(found, expected[head][name], rtol=1e-4, atol=1e-3 if name == "log_odds" else 1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 9, 64])
def test_result_does_not_depend_on_the_batch_size(few, rank, fast, batch_size):
    other = flipped(few, rank, batch_size)
    for name, values in fast.items():
        atol = {"acceleration": 1e-3, "relative_mahalanobis": 1e-2}.get(name, 1e-4)
        np.testing.assert_allclose(other[name], values, rtol=1e-3, atol=atol, err_msg=name)


def test_both_ends_are_shared_by_orders_and_explanations(fast):
    path = fast["path"]
    np.testing.assert_array_equal(path[..., 0, :], np.broadcast_to(path[:1, :1, :1, :, 0], path[..., 0, :].shape))
    np.testing.assert_array_equal(path[..., -1, :], np.broadcast_to(path[:1, :, :1, :, -1], path[..., -1, :].shape))


def test_fully_removed_image_is_the_fill_alone(few, fast):
    for number, fill in enumerate(FILLS):
        filled = fill_images(fill_of(fill), few.images, few.encoder.mean, few.index, SEED)
        np.testing.assert_allclose(fast["path"][0, number, 0, :, -1], few.encoder(filled), rtol=1e-4, atol=1e-4)


def test_orders_differ_in_between(fast):
    assert np.abs(fast["path"][:, :, 0, :, 2] - fast["path"][:, :, 1, :, 2]).max(axis=-1).min() > 0


def test_each_explanation_follows_its_own_rank(few, rank, fast):
    alone = flipped(few, rank[1:])
    np.testing.assert_allclose(alone["path"][0], fast["path"][1], rtol=1e-4, atol=1e-4)
    assert np.abs(fast["path"][0] - fast["path"][1]).max() > 0.01


def test_network_sees_whole_units_of_all_channels_replaced_by_the_normalised_fill():
    encoder = flat_encoder(Architecture("cnn", {}, (16, 16), (0.1, 0.4, 0.7), (0.5, 0.2, 0.3), 2, "projection"))
    images, n_features = torch.rand(1, 3, 16, 16), 3 * 16 * 16
    head = Softmax({"weight": torch.randn(2, n_features), "bias": torch.zeros(2)})
    bank = torch.randn(4, n_features)
    observer = Observer({"softmax": head}, torch.zeros(1, 1).long(), torch.randn(2, n_features), bank.mean(dim=0), bank, 1)
    rank = torch.tensor([3, 0, 2, 1])[None, None]
    plan = plan_of(("zero",), 16, 8, 4, 64)
    (_, _, path), (_, _, lerf) = flip(encoder, observer, images, torch.arange(1), rank, plan)
    expected = images[0].clone()
    for step, (top, left) in enumerate([(0, 8), (8, 8), (8, 0), (0, 0)], start=1):
        expected[:, top : top + 8, left : left + 8] = 0.0
        seen = path[0, step].reshape(3, 16, 16) * encoder.std + encoder.mean
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-6)
        kept = lerf[0, 4 - step].reshape(3, 16, 16) * encoder.std + encoder.mean
        torch.testing.assert_close(kept, images[0] - expected, rtol=0, atol=1e-6)


def test_target_is_fixed_along_the_curve(few, fast):
    observer = observer_of(few, BANK_K)
    for number, head in enumerate(few.heads.values()):
        path = torch.from_numpy(fast["path"][0, 0, 0])
        scores = head(path.flatten(0, 1))
        target = observer.targets[number].repeat_interleave(STEPS + 1)
        expected = log_odds(scores, target).reshape(3, STEPS + 1)
        np.testing.assert_allclose(fast["log_odds"][0, 0, 0, number], expected, rtol=1e-4, atol=1e-4)
        assert fast["prediction"][0, 0, 0, number, :, 0].tolist() == observer.targets[number].tolist()


def test_two_steps_record_clean_half_and_empty(few, rank):
    values = flipped(few, rank, steps=2)
    assert values["path"].shape[-2] == 3
    assert np.isnan(values["acceleration"]).sum(axis=-1).tolist() == np.full((2, 2, 2, 3), 2).tolist()


class _Small(nn.Module):
    """A backbone on a device whose memory holds `most` images at a time."""

    def __init__(self, backbone, most):
        super().__init__()
        self.backbone, self.most = backbone, most

    def forward(self, inputs):
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.backbone(inputs)


def test_out_of_memory_halves_the_batch_and_changes_no_result(few, rank, fast, capsys):
    encoder = copy.copy(few.encoder)
    encoder._modules = {**few.encoder._modules, "backbone": _Small(few.encoder.backbone, 5)}
    found = flipped(replace(few, encoder=encoder), rank)
    np.testing.assert_allclose(found["path"], fast["path"], rtol=1e-4, atol=1e-4)
    assert "flipping: out of memory, going on with" in capsys.readouterr().out
