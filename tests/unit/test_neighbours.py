"""Neighbour search and vote agree with scikit-learn's brute-force search."""

import pytest
import torch
from clxai.networks.neighbours import kth_largest, narrowed, search, vote_accuracy, vote_counts
from clxai.runtime import memory
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch.nn import functional


def clusters(n_items, seed=0):
    """Three overlapping clusters of embeddings with lengths of their own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n_items,), generator=generator)
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(99))
    points = centres[labels] + 1.2 * torch.randn(n_items, 8, generator=generator)
    return points * (0.5 + torch.rand(n_items, 1, generator=generator)), labels


def test_search_finds_the_nearest_by_cosine():
    bank, queries = clusters(100)[0], clusters(20, 1)[0]
    similarity, nearest = search(functional.normalize(queries, dim=1), functional.normalize(bank, dim=1), 7)
    distance, expected = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(bank).kneighbors(queries)
    falling = similarity.argsort(dim=1, descending=True)
    assert nearest.gather(1, falling).tolist() == expected.tolist()
    torch.testing.assert_close(similarity.gather(1, falling), torch.tensor(1 - distance).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_narrowing_a_search_equals_a_search_of_fewer(k):
    points, bank = (functional.normalize(part, dim=1) for part in (clusters(20, 1)[0], clusters(100)[0]))
    few, narrow = search(points, bank, k), narrowed(search(points, bank, 7), k)
    for found, expected in zip(narrow, few, strict=True):
        assert found.sort(dim=1).values.tolist() == expected.sort(dim=1).values.tolist()


@pytest.mark.parametrize("k", [1, 4, 30])
def test_kth_largest_is_that_of_a_sorted_row(k):
    values = torch.randn(5, 30).round(decimals=1)
    assert torch.equal(kth_largest(values, k), values.sort(dim=1, descending=True).values[:, k - 1])


def test_vote_counts_are_the_neighbours_of_each_class():
    counts = vote_counts(torch.tensor([[0, 2, 2], [1, 1, 1]]), 4)
    assert counts.tolist() == [[1, 0, 2, 0], [0, 3, 0, 0]]


@pytest.mark.parametrize("k", [1, 5, 25])
def test_vote_accuracy_equals_scikit_learns(k):
    bank, bank_labels = clusters(200)
    queries, labels = clusters(150, 1)
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(bank, bank_labels)
    share = torch.tensor(model.predict_proba(queries))
    top = share.topk(2, dim=1).values
    clear = top[:, 0] > top[:, 1]  # ties are broken in another way
    assert clear.sum() > 100
    found = vote_accuracy(queries[clear], labels[clear], bank, bank_labels, k)
    assert found == pytest.approx(model.score(queries[clear], labels[clear]))


def test_vote_accuracy_of_a_label_that_the_bank_lacks_is_an_error_of_the_vote():
    bank, bank_labels = clusters(50)
    assert vote_accuracy(bank, torch.full_like(bank_labels, 7), bank, bank_labels, 3) == 0
    assert vote_accuracy(bank, bank_labels, bank, bank_labels, 1) == 1


def test_a_search_in_small_portions_finds_the_same(monkeypatch):
    points, bank = (functional.normalize(part, dim=1) for part in (clusters(20, 1)[0], clusters(100)[0]))
    whole = search(points, bank, 7)
    monkeypatch.setitem(memory._TABLE, "cpu", 300)
    for found, expected in zip(search(points, bank, 7), whole, strict=True):
        torch.testing.assert_close(found.sort(dim=1).values, expected.sort(dim=1).values)
