"""docs/results/every.md says what its table says."""

import re

import pandas as pd
import pytest
from clxai.planning.findings import RESULTS

PAGE, SHOWN = (RESULTS / "every.md").read_text(), ("sensitivity_n", "faithfulness_correlation", "infidelity_scaled", "flip_size")


@pytest.fixture(scope="module")
def ranking():
    return pd.read_csv(RESULTS / "every" / "ranking.csv")


def rows_of(header):
    """The cells of the rows below the table whose header starts so."""
    table = PAGE.split(f"| {header} |")[1].split("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def number(value):
    return f"{value:.2f}".replace("-0.00", "0.00")


def interval(row, name):
    return f"{number(row[name])} [{number(row[name + '_low'])}, {number(row[name + '_high'])}]"


def side(row):
    """Whether a method lies above or below `contrast` by an interval that excludes 0."""
    return "yes" if row["over_contrast_low"] > 0 else "below" if row["over_contrast_high"] < 0 else "-"


def test_rows_by_fill_mean_are_those_of_the_table(ranking):
    by = ranking[ranking["fill"] == "mean"].set_index(["metric", "method"])
    srg = by.loc["srg_matched"].sort_values("mean", ascending=False, kind="stable")
    written = rows_of("method")
    assert [cells[0] for cells in written] == srg.index.tolist()
    for name, score, over, beats, *others in written:
        row = srg.loc[name]
        assert [score, over, beats or "-"] == [interval(row, "mean"), interval(row, "over_contrast"), side(row)]
        assert others == [number(by.loc[(metric, name), "mean"]) for metric in SHOWN]


def test_rows_of_the_fills_count_who_beats_contrast(ranking):
    for fill, contrast, above, below, first in rows_of("fill"):
        srg = ranking[(ranking["fill"] == fill) & (ranking["metric"] == "srg_matched")].set_index("method")
        sides = srg.drop(index="contrast").apply(side, axis=1)
        assert [contrast, int(above), int(below)] == [
            number(srg.loc["contrast", "mean"]),
            sum(sides == "yes"),
            sum(sides == "below"),
        ]
        best = srg.sort_values("mean", ascending=False).index
        assert (
            re.findall(r"\w+", first.replace("`", ""))
            == [name for name in best if sides.get(name) == "yes"][: first.count(",") + 1]
        )
