"""The figure of trust measures: each mark in the row of its model, open for references, beside the value of no trust."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from clxai.figures.base import FIGURES, Study
from clxai.figures.style import look_of, title, use_style
from matplotlib.colors import to_rgb

MODELS, PARTS = ["supcon", "ce", "ce_finetuned"], ["morf", "srg"]


def value(measure, model, part):
    return 0.1 + 0.2 * MODELS.index(model) + 0.05 * PARTS.index(part) + 0.01 * len(measure)


@pytest.fixture
def study():
    """Two measures, two parts, with rows of another head, fill and units that no figure may show; shuffled."""
    use_style()
    rows = [
        {
            "measure": measure,
            "part": part,
            "model": model,
            "head": head,
            "units": units,
            "fill": fill,
            "null": null,
            "better": better,
        }
        | {"value": number, "ci_low": number - 0.02, "ci_high": number + 0.03}
        for measure, units, fill, null, better in (("agreement", "all", "all", 0.0, 1), ("drop", "grid", "mean", np.nan, -1))
        for model in MODELS
        for part in PARTS
        for head, shift in (("knn", 0.0), ("linear", 5.0))
        for number in [value(measure, model, part) + shift]
    ]
    table = pd.DataFrame(rows)
    others = table[table["measure"] == "drop"].assign(fill="zero", value=9.0)
    both = pd.concat([table, others]).sample(frac=1, random_state=0)
    names = {"shared_heads": ["knn"], "references": ["ce_finetuned"], "tables": {"trust": both}}
    yield Study("made up", MODELS, ["linear", "knn"], ["random"], "mean", "grid", 0.05, **names)
    plt.close("all")


def test_marks_stand_in_the_row_of_their_model_open_for_references(study):
    sheet = FIGURES["trust"].definition(study)
    looks = look_of(("morf", "lerf", "srg"))
    panels = {axis.get_title().split(" (")[0]: axis for axis in sheet.axes if axis.axison}
    assert panels.keys() == {"agreement", "drop"}
    assert [label.get_text() for label in sheet.axes[0].get_yticklabels()] == [title(model) for model in MODELS]
    for measure, axis in panels.items():
        found = {}
        for container in axis.containers:
            line = container[0]
            row, colour = round(float(line.get_ydata()[0])), to_rgb(line.get_color())
            found[row, colour] = float(line.get_xdata()[0])
            assert (to_rgb(line.get_markerfacecolor()) == (1, 1, 1)) == (MODELS[row] == "ce_finetuned")
        expected = {
            (row, to_rgb(looks[part]["color"])): value(measure, model, part) for row, model in enumerate(MODELS) for part in PARTS
        }
        assert found == pytest.approx(expected)


def test_the_value_of_no_trust_is_dashed_and_the_arrow_points_to_more_trust(study):
    panels = {axis.get_title(): axis for axis in FIGURES["trust"].definition(study).axes if axis.axison}
    dashed = {name: [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"] for name, axis in panels.items()}
    assert dashed == {"agreement (more trust \N{RIGHTWARDS ARROW})": [0.0], "drop (\N{LEFTWARDS ARROW} more trust)": []}


def test_a_study_without_trust_measures_says_so_and_many_measures_fit_a_page(study):
    empty = FIGURES["trust"].definition(Study(**{**vars(study), "tables": {"trust": study.tables["trust"].iloc[:0]}}))
    assert "no trust measure" in empty.axes[0].texts[0].get_text()
    table = study.tables["trust"]
    many = pd.concat([table.assign(measure=f"measure {number}") for number in range(40)])
    sheet = FIGURES["trust"].definition(Study(**{**vars(study), "tables": {"trust": many}}))
    assert sheet.get_size_inches()[1] <= 9.5


def test_parts_of_its_own_are_named_below_a_measure_and_are_at_most_six(study):
    table = study.tables["trust"].query("part == 'morf'")
    own = pd.concat([table.assign(part=f"part {number}") for number in range(8)])
    sheet = FIGURES["trust"].definition(Study(**{**vars(study), "tables": {"trust": own}}))
    named = [text.get_text() for text in sheet.axes[0].get_legend().get_texts()]
    assert named == [f"part {number}" for number in range(6)]
    assert len(sheet.axes[0].containers) == len(MODELS) * 6
