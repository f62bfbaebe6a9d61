"""How many images go through a network at once."""

import pytest
import torch
from clxai.networks.architecture import Architecture
from clxai.networks.base import NETWORKS
from clxai.networks.inference import Encoder, prepared_for_flipping
from clxai.networks.models import Network
from clxai.runtime import memory
from clxai.runtime.memory import AT_ONCE, FORWARD, at_once, chosen_batch, free_bytes, rows_at_once

CPU = torch.device("cpu")


def encoder_of(shape=(32, 32), width=64, stem="small", network="resnet18"):
    stems = {} if network == "cnn" else {"stem": stem}
    options = {"width": width, **stems}
    return Encoder(Network(Architecture(network, options, shape, (0.5,) * 3, (0.2,) * 3, 10, "classifier")))


def test_a_batch_size_that_was_asked_for_is_kept():
    assert chosen_batch(7, 1000, CPU) == 7


@pytest.mark.parametrize(("gibibytes", "expected"), [(64, FORWARD["cpu"]), (0.1, 25), (1e-6, 1)])
def test_the_batch_is_what_a_quarter_of_the_free_memory_bears(monkeypatch, gibibytes, expected):
    monkeypatch.setattr(memory, "free_bytes", lambda device: gibibytes * 2**30)
    assert chosen_batch(None, 2**20, CPU) == expected


def test_larger_images_come_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**30)
    batches = [chosen_batch(None, encoder_of((size, 32)).bytes_per_image(), CPU) for size in (32, 64, 128)]
    assert batches == sorted(batches, reverse=True)
    assert batches[0] > batches[-1]


@pytest.mark.parametrize("what", AT_ONCE)
@pytest.mark.parametrize(("times", "share"), [((1, 1), 1), ((0.25, 2), 1), ((2, 1), 2), ((2, 2), 4), ((1000, 1000), None)])
def test_larger_images_go_together_by_their_pixels(what, times, share):
    images, side = AT_ONCE[what]
    shape = (7, 3, int(times[0] * side), int(times[1] * side))
    assert at_once(what, shape) == (1 if share is None else images // share)


@pytest.mark.parametrize(("columns", "rows"), [(2**10, 2**14), (2**24, 1), (2**30, 1)])
def test_a_table_has_as_many_rows_as_keep_it_small(columns, rows):
    assert rows_at_once(columns, CPU) == rows


def test_free_bytes_are_within_the_machine():
    assert 2**20 < free_bytes(CPU) < 2**50


def test_a_control_group_lowers_what_is_free(tmp_path, monkeypatch):
    (tmp_path / "own").write_text("0::/job/step\n")
    for group, limit in (("job", "3000000"), ("job/step", "max")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
        (tmp_path / group / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUP", tmp_path / "own")
    assert free_bytes(CPU) == 2_000_000


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("shape", "width", "stem"), [((32, 32), 16, "small"), ((64, 48), 64, "small"), ((128, 128), 64, "large")]
)
def test_the_estimate_bounds_what_a_forward_pass_allocates(network, shape, width, stem):
    """Torch's own profiler counts every allocation; a batch must peak below the estimate, and not far below."""
    encoder = prepared_for_flipping(encoder_of(shape, width, stem, network), "float32")
    estimate = 8 * encoder.bytes_per_image()
    images = torch.rand(8, 3, *shape).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True, record_shapes=False) as profiler:
        encoder.backbone(images)
    held, peak = 0, 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert 0.3 * estimate < peak < estimate
