"""The device is CUDA where there is one, else the CPU; autocast is on exactly where it was asked for or pays."""

import pytest
import torch
from clxai import devices
from clxai.devices import autocast, describe, select_device
from clxai.errors import ClxaiError

CPU = torch.device("cpu")


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("visible", "kind"), [(True, "cuda"), (False, "cpu")])
def test_select_device_prefers_cuda(monkeypatch, restored_threads, visible, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
    assert select_device(1).type == kind


def test_select_device_uses_the_threads_of_the_rule(restored_threads):
    select_device(2)
    assert torch.get_num_threads() == 2
    assert describe(CPU).startswith("cpu (")
    assert describe(CPU).endswith("2 threads)")


@pytest.mark.parametrize(
    ("precision", "fast", "expected"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_autocast_decides_the_type_of_a_product(monkeypatch, precision, fast, expected):
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: fast)
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_autocast_refuses_an_unknown_precision():
    with pytest.raises(ClxaiError, match=r"precision must be one of auto, float32, bfloat16\. Got 'float16'"):
        autocast(CPU, "float16")
