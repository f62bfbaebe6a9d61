"""The engine's way of fills that see the mask: the same answer as any fill where the mask does not matter, batch by batch."""

import numpy as np
import pytest
import torch
from clxai.fills.base import Fill, fill_of
from clxai.flipping.curves import observer_of
from clxai.flipping.engine import Flipping, flip
from clxai.names import ORDERS
from clxai.registry import Entry
from clxai.units.base import cut_images
from clxai.units.removal import removal_counts

SEED, STEPS, UNIT = 3, 5, 4


def seeing_the_mask(name, asked=None):
    """A fill that does not depend on the mask, declared to need it; `asked` collects the masks that it is shown."""
    entry = fill_of(name).entry

    def definition(canvas, **options):
        assert canvas.removed.shape == (len(canvas.images), *canvas.images.shape[-2:])
        if asked is not None:
            asked.append((canvas.index, canvas.removed))
        return entry.definition(canvas, **options)

    return Fill(name, Entry(name, definition, {**entry.semantics, "needs": "mask"}), fill_of(name).options)


def flipped(run, rank, fills, batch_size=512):
    """Log-odds [explained, fill, order, head, image, step] and embedding paths [..., image, step, feature]."""
    cut = cut_images("grid", {"height": UNIT, "width": UNIT}, torch.empty(1, 1, 16, 16))
    plan = Flipping(tuple(fills), cut, removal_counts(cut.n_units, STEPS), SEED, batch_size)
    shape = (len(rank), len(fills), len(ORDERS))
    pieces = {place: {} for place in np.ndindex(shape)}
    for (*place, group), quantities, path in flip(run.encoder, observer_of(run, 7), run.images, run.index, rank, plan):
        pieces[tuple(place)][group.start] = (quantities["log_odds"], path)
    sorted_pieces = [[part for _, part in sorted(pieces[place].items())] for place in np.ndindex(shape)]
    odds = torch.stack([torch.cat([part[0] for part in parts], dim=1) for parts in sorted_pieces])
    path = torch.stack([torch.cat([part[1] for part in parts], dim=0) for parts in sorted_pieces])
    return [values.unflatten(0, shape).numpy() for values in (odds, path)]


@pytest.mark.parametrize("name", ["mean", "blur", "noise"])
def test_fill_that_ignores_the_mask_gives_the_same_when_it_is_shown_it(few, rank, name):
    known, shown = (flipped(few, rank, [chosen]) for chosen in (fill_of(name), seeing_the_mask(name)))
    for first, second in zip(known, shown, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_fill_that_sees_the_mask_does_not_depend_on_the_batch_size(few, rank, batch_size):
    whole, parts = (flipped(few, rank, [fill_of("linear")], size) for size in (512, batch_size))
    for first, second in zip(whole, parts, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-3, atol=1e-3)


def test_fills_of_both_kinds_in_one_study_do_not_touch_each_other(few, rank):
    together = flipped(few, rank, [fill_of("mean"), fill_of("linear"), fill_of("zero")])
    for number, name in enumerate(("mean", "linear", "zero")):
        for values, alone in zip(together, flipped(few, rank, [fill_of(name)]), strict=True):
            np.testing.assert_allclose(values[:, number], alone[:, 0], rtol=1e-4, atol=1e-4)


def test_fill_is_shown_what_is_gone_of_each_image(few, rank):
    asked = []
    flipped(few, rank, [seeing_the_mask("mean", asked)])
    index, removed = (torch.cat(parts) for parts in zip(*asked, strict=True))
    steps = STEPS - 1
    assert len(index) == 3 + 2 * 2 * 3 * steps  # everything gone once, then rankings x orders x images x inner steps
    assert removed[:3].all()
    inner = removed[3:].unflatten(0, (2, 2, 3, steps))
    assert index[3:].unflatten(0, (2, 2, 3, steps))[1, 0, :, 0].tolist() == few.index.tolist()
    for image in range(3):
        for step, count in enumerate([round(step * 16 / STEPS) for step in range(1, STEPS)]):
            for order, ranks in enumerate((rank[1, image], 15 - rank[1, image])):
                gone = (ranks < count).view(4, 4).repeat_interleave(UNIT, 0).repeat_interleave(UNIT, 1)
                assert torch.equal(inner[1, order, image, step], gone)
