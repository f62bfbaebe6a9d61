"""The device is CUDA where there is one, else the CPU; autocast is on exactly where it was asked for or pays."""

import re
from pathlib import Path

import pytest
import torch
from clxai.errors import ClxaiError
from clxai.runtime import devices
from clxai.runtime.devices import autocast, describe, select_device

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def restored_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def leased(monkeypatch):
    """What is done about leases, in order, instead of doing it."""
    done = []
    monkeypatch.setattr(devices, "take_lease", lambda job: done.append(job) or "GPU-1")
    monkeypatch.setattr(devices, "release", lambda: done.append("released"))
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    return done


@pytest.mark.parametrize(
    ("resources", "visible", "kind", "done"),
    [
        ({"gpu": 1}, True, "cuda", ["a.log"]),
        ({"gpu": 1}, False, "cpu", ["a.log", "released"]),
        ({"gpu": 0}, True, "cpu", []),
        ({}, True, "cpu", []),
        ({"gpu": 0, "gres": "gpu:1"}, True, "cuda", ["a.log"]),
        ({"gpu": 0, "gres": "nvme:1"}, True, "cpu", []),
    ],
)
def test_job_computes_on_a_gpu_if_it_asks_for_one_and_there_is_one(
    monkeypatch, restored_threads, leased, resources, visible, kind, done
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
    assert select_device(1, resources, "a.log").type == kind
    assert leased == done


def test_every_rule_that_asks_for_a_gpu_selects_one_by_its_resources():
    rules = [rule for file in (ROOT / "rules").glob("*.smk") for rule in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]]
    scripts = [re.search(r'"\.\./(workflow/scripts/\w+\.py)"', rule)[1] for rule in rules if "gpu=1" in rule]
    assert sorted(Path(script).stem for script in scripts) == [
        *("analyse", "attribute", "embed_images", "flip", "mask_bank", "measure_stability", "train_explainer", "train_model")
    ]
    for script in scripts:
        assert "select_device(snakemake.threads, snakemake.resources, " in (ROOT / script).read_text()


def test_device_is_leased_before_cuda_starts(monkeypatch, restored_threads, leased):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(leased.append("CUDA starts")))
    select_device(1, {"gpu": 1}, "a.log")
    assert leased[:2] == ["a.log", "CUDA starts"]


def test_nothing_is_leased_by_a_pytorch_without_cuda(monkeypatch, restored_threads, leased):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device(1, {"gpu": 1}, "a.log") == CPU
    assert "a.log" not in leased


def test_select_device_uses_the_threads_of_the_rule(restored_threads):
    select_device(2, {}, "a.log")
    assert torch.get_num_threads() == 2
    assert describe(CPU).startswith("cpu (")
    assert describe(CPU).endswith("2 threads)")


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_decides_the_type_of_a_product(precision, expected):
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


@pytest.mark.parametrize("precision", ["float16", "auto"])
def test_autocast_refuses_an_unknown_precision(precision):
    with pytest.raises(ClxaiError, match=r"precision must be one of float32, bfloat16\. Got '" + precision):
        autocast(CPU, precision)
