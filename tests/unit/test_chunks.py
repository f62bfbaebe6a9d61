"""Out of memory makes chunks smaller and changes no number."""

import gc
import weakref

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.runtime.chunks import halving, in_chunks


def network(most, seen):
    """A network that runs out of memory above a number of rows."""

    def compute(rows):
        seen.append(rows.tolist())
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ...")
        return rows.double().sqrt() * 3

    return compute


@pytest.mark.parametrize("size", [1, 2, 7, 8, 64])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("n_items", [1, 10, 16])
def test_numbers_do_not_depend_on_the_chunk(n_items, most, size):
    items, seen = torch.arange(n_items), []
    found = torch.cat(in_chunks(network(most, seen), items, size, "test"))
    assert torch.equal(found, items.double().sqrt() * 3)
    done = [item for rows in seen if len(rows) <= most for item in rows]
    assert done == items.tolist()  # each item is computed once, in order


def test_chunks_stay_small_and_each_halving_is_said(capsys):
    seen = []
    in_chunks(network(3, seen), torch.arange(20), 16, "embedding")
    assert [len(rows) for rows in seen] == [16, 8, 4, *[2] * 10]
    assert capsys.readouterr().out.splitlines() == [f"embedding: out of memory, going on with {n} at a time" for n in (8, 4, 2)]


def test_nothing_is_said_when_memory_suffices(capsys):
    assert len(in_chunks(network(8, []), torch.arange(20), 8, "embedding")) == 3
    assert capsys.readouterr().out == ""


def test_no_items_make_no_chunks():
    assert in_chunks(network(8, []), torch.arange(0), 8, "embedding") == []


def test_item_that_does_not_fit_names_the_keys_to_lower():
    reason = r"flipping: one item at a time does not fit into the memory \(CUDA out of memory\): lower flipping.batch_size"
    with pytest.raises(ClxaiError, match=reason):
        in_chunks(network(0, []), torch.arange(4), 4, "flipping", lower="flipping.batch_size")


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError):
        halving(lambda n: n / 0, 4, "test")


def test_halving_returns_the_size_that_fitted():
    assert halving(lambda n: network(5, [])(torch.arange(n)).tolist(), 16, "test")[1] == 4


def test_memory_of_the_failed_try_is_free_before_the_next():
    """The error holds on to the frames of the failed try, and these to their tensors."""
    kept = []

    def compute(n):
        assert all(tensor() is None for tensor in kept)
        large = torch.ones(n)
        kept.append(weakref.ref(large))
        if n > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return n

    gc.disable()
    try:
        assert halving(compute, 16, "test") == (2, 2)
    finally:
        gc.enable()
