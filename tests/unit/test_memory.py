"""How many images go through a network at once."""

import pytest
import torch
from clxai.networks.architecture import Architecture
from clxai.networks.inference import Encoder, prepare_for_flipping
from clxai.networks.models import Network
from clxai.runtime import memory
from clxai.runtime.memory import MOST_AT_ONCE, bytes_per_image, chosen_batch, free_bytes

CPU = torch.device("cpu")


def architecture(size=32, width=64, stem="small"):
    return Architecture(stem, width, size, (0.5,) * 3, (0.2,) * 3, 10, "classifier")


def test_a_batch_size_that_was_asked_for_is_kept():
    assert chosen_batch(7, architecture(), CPU) == 7


@pytest.mark.parametrize(("gibibytes", "expected"), [(64, MOST_AT_ONCE["cpu"]), (0.1, 24), (1e-6, 1)])
def test_the_batch_is_what_a_quarter_of_the_free_memory_bears(monkeypatch, gibibytes, expected):
    monkeypatch.setattr(memory, "free_bytes", lambda device: gibibytes * 2**30)
    assert chosen_batch(None, architecture(), CPU) == expected


def test_larger_images_come_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**30)
    batches = [chosen_batch(None, architecture(size), CPU) for size in (32, 64, 128)]
    assert batches == sorted(batches, reverse=True)
    assert batches[0] > batches[-1]


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


@pytest.mark.parametrize(("size", "width", "stem"), [(32, 16, "small"), (64, 64, "small"), (128, 64, "large")])
def test_the_estimate_bounds_what_a_forward_pass_allocates(size, width, stem):
    """Torch's own profiler counts every allocation; a batch must peak below the estimate, and not far below."""
    network = Network(architecture(size, width, stem))
    encoder = Encoder(network.state_dict(), network.architecture)
    prepare_for_flipping(encoder.backbone, "float32")
    images = torch.rand(8, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True, record_shapes=False) as profiler:
        encoder.backbone(images)
    held, peak = 0, 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    estimate = 8 * bytes_per_image(network.architecture)
    assert 0.3 * estimate < peak < estimate
