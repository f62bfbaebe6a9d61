"""The benchmarks compare what they say they compare; here with contestants whose time is known."""

import importlib
import time

import pytest
import torch

from benchmarks.__main__ import GROUPS, HEADER, in_words
from benchmarks.measuring import Comparison, Setting, by_turns

SETTING = Setting(torch.device("cpu"), threads=1, repetitions=4)


def test_contestants_take_turns_and_the_order_alternates():
    calls = []
    contestants = {name: lambda name=name: calls.append(name) for name in ("ours", "peer")}
    seconds = by_turns(contestants, SETTING, warm_up=1)
    assert "".join(name[0] for name in calls) == "op" + "oppooppo"
    assert {name: len(values) for name, values in seconds.items()} == {"ours": 4, "peer": 4}


def test_a_slower_contestant_has_more_seconds():
    seconds = by_turns({"ours": lambda: None, "peer": lambda: time.sleep(0.01)}, SETTING)
    assert min(seconds["peer"]) >= 0.01 > max(seconds["ours"])


def test_a_contestant_that_waits_takes_no_cpu_time():
    setting = Setting(torch.device("cpu"), threads=1, repetitions=2, cpu_time=True)
    assert max(by_turns({"ours": lambda: time.sleep(0.05)}, setting)["ours"]) < 0.04


@pytest.mark.parametrize(
    ("ours", "peer", "bar", "ratio", "holds"),
    [
        ([1.1, 1.2, 5.0], [1.0, 1.0, 1.0], {"at_most": 1.3}, 1.2, True),
        ([1.1, 1.4, 1.5], [1.0, 1.0, 1.0], {"at_most": 1.3}, 1.4, False),
        ([1.0, 1.0, 1.0], [3.0, 4.0, 9.0], {"at_least": 4.0}, 4.0, True),
        ([1.0, 1.0, 1.0], [3.0, 3.5, 9.0], {"at_least": 4.0}, 3.5, False),
        ([2.0, 3.0, 4.0], None, {"at_most": 3.0}, 3.0, True),
    ],
)
def test_the_median_ratio_is_held_against_the_bar(ours, peer, bar, ratio, holds):
    record = Comparison("ours", "peer", ours, peer, **bar).record()
    assert record["ratio"] == pytest.approx(ratio)
    assert record["holds"] is holds
    assert ("MISSED" in in_words(record)) is not holds


@pytest.mark.parametrize(
    ("peer", "bar", "column", "cell"),
    [
        ([1.0], {"at_most": 1.3}, 4, "2x [2.00, 2.00]"),
        ([8.0], {"at_least": 3}, 5, "4x [4.00, 4.00]"),
        (None, {"at_most": 3.0}, 2, "2 [2.00, 2.00]"),
    ],
)
def test_each_kind_of_ratio_has_its_own_column(peer, bar, column, cell):
    cells = in_words(Comparison("ours", "theirs", [2.0], peer, **bar).record()).strip("| ").split(" | ")
    assert cells[column] == cell
    assert [cells[other] for other in {4, 5} - {column}] == [""] * len({4, 5} - {column})
    assert len(cells) == HEADER[0].count("|") - 1


@pytest.mark.parametrize("group", [*GROUPS, "scaling"])
def test_every_group_can_be_run(group):
    module = importlib.import_module(f"benchmarks.{group}")
    assert callable(getattr(module, "sweep" if group == "scaling" else "compare"))
