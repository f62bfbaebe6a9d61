"""Heads agree with independent implementations, and one scorer gives target, flipping score and accuracy."""

import inspect
import math

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.heads.base import HEADS, Head, load_head, log_odds, save_head
from clxai.heads.calibration import head_metrics
from clxai.networks.models import load_network
from clxai.networks.neighbours import search
from clxai.runtime.artefacts import write_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn import functional

N_FEATURES = 6
OPTIONS = {"softmax": {}, "linear": {"C": 10.0}, "knn": {"k": 15, "temperature": 0.07}, "mahalanobis": {}}
ARGMAX = [name for name in OPTIONS if name != "knn"]
CPU = torch.device("cpu")
every_head = pytest.mark.parametrize("name", OPTIONS)


def clusters(n_images=240, n_classes=4, seed=0):
    """Overlapping clusters, with embeddings of different lengths, labels cycling through the classes."""
    centres = torch.randn(n_classes, N_FEATURES, generator=torch.Generator().manual_seed(n_classes))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n_images) % n_classes
    points = 1.2 * centres[labels] + torch.randn(n_images, N_FEATURES, generator=generator)
    return points * (0.5 + torch.rand(n_images, 1, generator=generator)), labels


def fitted(name, n_classes=4, **options):
    torch.manual_seed(0)
    classifier = nn.Linear(N_FEATURES, n_classes) if name == "softmax" else None
    return HEADS[name].definition.fit(*clusters(n_classes=n_classes), n_classes, {**OPTIONS[name], **options}, classifier)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        yield


def test_every_registered_head_is_tested_here():
    assert set(OPTIONS) == set(HEADS)


def test_log_odds_is_the_logit_of_the_softmax_probability():
    scores = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    first = math.exp(2) / (math.exp(2) + math.exp(0.5) + math.exp(-1))
    expected = [math.log(first / (1 - first)), math.log((1 / 3) / (2 / 3))]
    assert log_odds(scores, torch.tensor([0, 2])).tolist() == pytest.approx(expected)


@given(
    scores=st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=4),
    shift=st.floats(-50, 50),
    target=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_log_odds_keeps_probability_and_ignores_a_common_shift(scores, shift, target):
    scores = torch.tensor(scores, dtype=torch.float64)
    chosen = torch.full((len(scores),), target)
    found = log_odds(scores, chosen)
    torch.testing.assert_close(found.sigmoid(), scores.softmax(1)[:, target])
    torch.testing.assert_close(log_odds(scores + shift, chosen), found, atol=1e-9, rtol=1e-7)


def test_log_odds_is_exact_where_the_probability_rounds_to_one():
    assert log_odds(torch.tensor([[300.0, 0.0]]), torch.tensor([0])).item() == 300


def test_log_odds_takes_leading_axes():
    scores = torch.randn(2, 5, 3)
    target = torch.randint(0, 3, (2, 5))
    expected = torch.stack([log_odds(scores[row], target[row]) for row in range(2)])
    assert torch.equal(log_odds(scores, target), expected)


def test_softmax_scores_are_the_networks_logits(tiny_run):
    network = load_network(tiny_run.checkpoint, CPU)
    expected = network.top(network(tiny_run.images))
    torch.testing.assert_close(tiny_run.heads["softmax"](tiny_run.embeddings), expected, rtol=1e-4, atol=1e-4)


def test_softmax_refuses_a_network_without_a_classifier():
    with pytest.raises(ClxaiError, match="head 'softmax' needs a network with a classifier"):
        HEADS["softmax"].definition.fit(*clusters(), 4, {})


def test_softmax_does_not_follow_the_classifier_afterwards():
    classifier = nn.Linear(N_FEATURES, 4)
    head = HEADS["softmax"].definition.fit(*clusters(), 4, {}, classifier)
    before = head(clusters()[0])
    with torch.no_grad():
        classifier.weight.zero_()
    assert torch.equal(head(clusters()[0]), before)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_linear_scores_differ_as_scikit_learns_log_probabilities(n_classes):
    embeddings, labels = clusters(n_classes=n_classes)
    units = functional.normalize(embeddings.double(), dim=1).numpy()
    model = LogisticRegression(C=10.0, max_iter=5000, tol=1e-5).fit(units, labels)
    expected = model.predict_log_proba(units)
    found = fitted("linear", n_classes)(embeddings).double().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], rtol=1e-3, atol=1e-3)


def test_linear_is_the_optimum_of_the_penalised_likelihood():
    """The gradient of C sum_i -log p_i + 1/2 |W|^2 vanishes."""
    embeddings, labels = clusters()
    head = fitted("linear")
    weight, bias = head.weight.double().requires_grad_(), head.bias.double().requires_grad_()
    logits = functional.linear(functional.normalize(embeddings.double(), dim=1), weight, bias)
    (10.0 * functional.cross_entropy(logits, labels, reduction="sum") + weight.square().sum() / 2).backward()
    scale = 10.0 * len(labels)
    assert weight.grad.abs().max() < 1e-4 * scale
    assert bias.grad.abs().max() < 1e-4 * scale


def test_linear_that_does_not_converge_is_refused(monkeypatch):
    import sklearn.linear_model

    def hurried(**options):
        return LogisticRegression(**{**options, "max_iter": 1})

    monkeypatch.setattr(sklearn.linear_model, "LogisticRegression", hurried)
    with pytest.warns(UserWarning), pytest.raises(ClxaiError, match=r"did not converge in 1 iterations: lower heads\.linear\.C"):
        fitted("linear")


def knn_by_loops(embeddings, k, temperature, n_classes=4):
    """Scores and votes in float64: for each class, log of the summed exp(cosine / t) over its neighbours; -1/t without one."""
    bank, owners = clusters(n_classes=n_classes)
    scores, votes = [], []
    for point in embeddings.double():
        cosines = [float(point @ item / point.norm() / item.norm()) for item in bank.double()]
        nearest = sorted(range(len(bank)), key=lambda item: -cosines[item])[:k]
        sums, count = [0.0] * n_classes, [0] * n_classes
        for item in nearest:
            sums[owners[item]] += math.exp(cosines[item] / temperature)
            count[owners[item]] += 1
        scores.append([math.log(total) if total else -1 / temperature for total in sums])
        votes.append(max(range(n_classes), key=lambda c: (count[c], scores[-1][c])))
    return scores, votes


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (3, 0.07), (15, 0.5), (100, 0.1)])
def test_knn_scores_and_votes_equal_their_definition(k, temperature):
    queries = clusters(60, seed=1)[0]
    scores, votes = fitted("knn", k=k, temperature=temperature).decide(queries)
    expected_scores, expected_votes = knn_by_loops(queries, k, temperature)
    np.testing.assert_allclose(scores.numpy(), expected_scores, rtol=1e-4, atol=1e-4)
    assert votes.tolist() == expected_votes


def test_knn_class_without_a_neighbour_has_the_score_of_the_far_side_of_the_sphere():
    scores = fitted("knn", k=1, temperature=0.07)(clusters(20, seed=1)[0])
    assert ((scores == -1 / scores.new_tensor(0.07)).sum(dim=1) == 3).all()


@pytest.mark.parametrize("k", [1, 7, 30])
def test_knn_predictions_equal_scikit_learns_away_from_ties(k):
    bank, labels = clusters()
    queries = clusters(200, seed=1)[0]
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(bank, labels)
    share = torch.tensor(model.predict_proba(queries)).topk(2, dim=1).values
    clear = share[:, 0] > share[:, 1]
    assert clear.sum() > 150
    assert fitted("knn", k=k).predict(queries)[clear].tolist() == model.predict(queries)[clear].tolist()


def test_knn_tie_of_votes_goes_to_the_higher_score():
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    head = HEADS["knn"].definition.fit(bank, torch.tensor([0, 1]), 2, {"k": 2, "temperature": 0.1})
    assert head.predict(torch.tensor([[1.0, 0.9], [0.9, 1.0]])).tolist() == [0, 1]


def test_knn_at_an_extreme_temperature_is_finite_with_a_finite_gradient():
    queries = clusters(20, seed=1)[0].requires_grad_()
    scores = fitted("knn", temperature=0.001)(queries)
    scores.sum().backward()
    assert torch.isfinite(scores).all()
    assert torch.isfinite(queries.grad).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 241}, r"heads\.knn\.k must be in 1\.\.240, the size of the training bank. Got 241"),
        ({"k": 0}, r"heads\.knn\.k must be in 1\.\.240.*Got 0"),
        ({"temperature": 0.0}, r"heads\.knn\.temperature must be > 0. Got 0.0"),
    ],
)
def test_knn_refuses_options_out_of_range(options, message):
    with pytest.raises(ClxaiError, match=message):
        fitted("knn", **options)


def test_knn_is_independent_of_the_order_of_its_bank():
    embeddings, labels = clusters()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    queries = clusters(30, seed=1)[0]
    shuffled = HEADS["knn"].definition.fit(embeddings[order], labels[order], 4, OPTIONS["knn"])
    torch.testing.assert_close(shuffled(queries), fitted("knn")(queries), rtol=1e-4, atol=1e-4)


def test_mahalanobis_scores_are_half_squared_distances_by_scipy():
    """Pooled within-class covariance, Ledoit-Wolf shrunk, with the degrees of freedom that the means cost."""
    embeddings, labels = clusters()
    units = functional.normalize(embeddings.double(), dim=1).numpy()
    labels = labels.numpy()
    means = [units[labels == c].mean(axis=0) for c in range(4)]
    residuals = np.concatenate([units[labels == c] - means[c] for c in range(4)])
    covariance = ledoit_wolf(residuals, assume_centered=True)[0] * len(units) / (len(units) - 4)
    inverse = np.linalg.inv(covariance)
    queries = clusters(20, seed=1)[0]
    points = functional.normalize(queries.double(), dim=1).numpy()
    expected = [[-0.5 * mahalanobis(point, mean, inverse) ** 2 for mean in means] for point in points]
    found = fitted("mahalanobis")(queries).double().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found - found[:, :1], np.array(expected) - np.array(expected)[:, :1], rtol=1e-3, atol=1e-3)


def test_mahalanobis_of_collapsed_embeddings_is_finite():
    """Contrastive training leaves no spread within a class: only shrinkage makes the covariance invertible."""
    centres = torch.eye(4, N_FEATURES)
    labels = torch.arange(80) % 4
    embeddings = centres[labels] + 1e-3 * torch.randn(80, 1) * torch.ones(1, N_FEATURES)
    head = HEADS["mahalanobis"].definition.fit(embeddings, labels, 4, {})
    assert torch.isfinite(head(embeddings)).all()
    assert head.predict(embeddings).tolist() == labels.tolist()


@every_head
def test_frozen_scores_equal_searched_scores_at_the_clean_point(name):
    head, queries = fitted(name), clusters(30, seed=1)[0]
    frozen = head.freeze(queries)
    torch.testing.assert_close(frozen(head.points(queries), torch.arange(30)), head(queries), rtol=1e-5, atol=1e-5)


@every_head
def test_frozen_scores_belong_to_the_image_that_index_names(name):
    """A batch may hold several points of one image, in any order."""
    head, queries = fitted(name), clusters(30, seed=1)[0]
    index = torch.tensor([4, 4, 0, 29])
    found = head.freeze(queries)(head.points(queries)[index], index)
    torch.testing.assert_close(found, head(queries)[index], rtol=1e-5, atol=1e-5)


def test_knn_frozen_scores_keep_the_neighbours_of_the_clean_point():
    """Moved far away, the search finds others; the frozen scores stay with those of the clean point."""
    head, bank = fitted("knn", k=3), clusters()[0]
    clean, away = bank[:1], -bank[:1]
    frozen = head.freeze(clean)
    found = frozen(head.points(away), torch.tensor([0]))
    neighbours = (head.points(clean) @ head.bank.T).topk(3).indices[0]
    present = set(head.labels[neighbours].tolist())
    absent = [c for c in range(4) if c not in present]
    assert (found[0, absent] == -1 / torch.tensor(0.07)).all()
    assert not torch.isclose(found, head(away)).all()


@every_head
def test_log_odds_gradient_equals_finite_differences(name):
    """In float64, through the frozen scores, for the class of the clean image."""
    head, queries = fitted(name).double(), clusters(3, seed=1)[0].double()
    frozen, index, target = head.freeze(queries), torch.arange(3), head.predict(queries)
    moved = queries.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: log_odds(frozen(head.points(z), index), target), moved)


@every_head
def test_scores_are_differentiable_in_the_embedding(name):
    head, queries = fitted(name), clusters(5, seed=1)[0].requires_grad_()
    log_odds(head(queries), head.predict(queries)).sum().backward()
    assert torch.isfinite(queries.grad).all()
    assert queries.grad.abs().sum(dim=1).min() > 0


@pytest.mark.parametrize("name", ["linear", "knn", "mahalanobis"])
def test_unit_head_ignores_the_length_of_the_embedding(name):
    head, queries = fitted(name), clusters(20, seed=1)[0]
    torch.testing.assert_close(head(3.7 * queries), head(queries), rtol=1e-4, atol=1e-4)


def test_softmax_head_does_not_ignore_the_length_of_the_embedding():
    head, queries = fitted("softmax"), clusters(20, seed=1)[0]
    assert not torch.isclose(head(3.7 * queries), head(queries)).any()


@pytest.mark.parametrize("name", ARGMAX)
def test_accuracy_target_and_log_odds_come_from_one_scorer(name):
    """The prediction has the largest log-odds; only a prediction can have a positive one; accuracy counts these predictions."""
    head = fitted(name)
    queries, labels = clusters(100, seed=1)
    scores, prediction = head.decide(queries)
    odds = torch.stack([log_odds(scores, torch.full_like(labels, c)) for c in range(4)], dim=1)
    assert torch.equal(scores, head(queries))
    assert torch.equal(odds.argmax(dim=1), prediction)
    rows, classes = (odds > 0).nonzero(as_tuple=True)
    assert len(rows) > 20
    assert torch.equal(prediction[rows], classes)
    assert head_metrics(head, queries, labels)["accuracy"] == pytest.approx((prediction == labels).double().mean().item())


def test_knn_hard_vote_is_the_prediction_and_mostly_the_soft_one():
    head = fitted("knn")
    queries, labels = clusters(200, seed=1)
    scores, prediction = head.decide(queries)
    assert torch.equal(prediction, head.predict(queries))
    assert 0.9 < (scores.argmax(1) == prediction).double().mean() <= 1
    assert head_metrics(head, queries, labels)["accuracy"] == pytest.approx((prediction == labels).double().mean().item())


@every_head
def test_saved_head_comes_back_with_equal_scores_options_facts_and_temperature(name, tmp_path):
    head, queries = fitted(name), clusters(20, seed=1)[0]
    head.temperature.fill_(2.5)
    head.facts = {**head.facts, "n_fitted": 240.0}
    save_head(head, name, tmp_path / "head.safetensors")
    loaded = load_head(tmp_path / "head.safetensors", CPU)
    assert type(loaded) is type(head)
    assert (loaded.options, loaded.facts, loaded.temperature.item()) == (head.options, head.facts, 2.5)
    for found, expected in zip(loaded.decide(queries), head.decide(queries), strict=True):
        torch.testing.assert_close(found, expected)


def test_load_head_refuses_a_network(tiny_run):
    with pytest.raises(ClxaiError, match=r"model\.safetensors: not a head \(kind 'network'\)"):
        load_head(tiny_run.checkpoint, CPU)


def test_load_head_refuses_an_unknown_head(tmp_path):
    write_tensors(
        {"weight": torch.ones(1)}, {"kind": "head", "head": "lineer", "options": {}, "facts": {}}, tmp_path / "a.safetensors"
    )
    with pytest.raises(ClxaiError, match=r"a\.safetensors: unknown head 'lineer'\. Did you mean 'linear'\?"):
        load_head(tmp_path / "a.safetensors", CPU)


def test_head_without_its_methods_says_what_it_lacks():
    class Half(Head):
        """Neither fits nor scores."""

    with pytest.raises(TypeError, match=r"abstract methods '?fit'?, '?point_scores'?"):
        Half({})


@every_head
def test_overrides_have_the_signature_of_the_base(name):
    member = HEADS[name].definition
    for key in ("fit", "point_scores", "freeze", "decide", "neighbours_in", "decide_among"):
        own, base = (str(inspect.signature(getattr(kind, key), eval_str=True)) for kind in (member, Head))
        assert own == base, key


@pytest.mark.parametrize(("name", "change", "expected"), [("knn", 0.0, 15), ("knn", 1e-3, 0), ("linear", 0.0, 0)])
def test_only_a_head_that_keeps_the_bank_shares_its_search(name, change, expected):
    bank = functional.normalize(clusters()[0], dim=1)
    head = fitted(name)
    assert head.neighbours_in(bank + change) == expected
    assert head.neighbours_in(bank[1:]) == 0


def test_decision_among_neighbours_is_that_of_an_own_search():
    head, queries = fitted("knn"), clusters(seed=1)[0]
    found = search(functional.normalize(queries, dim=1), head.bank, head.neighbours_in(head.bank))
    for among, alone in zip(head.decide_among(*found), head.decide(queries), strict=True):
        torch.testing.assert_close(among, alone)
