"""The page of results: sentences and tables made from ranks."""

import numpy as np
import pandas as pd
from clxai.measures.metric_ranks import rank_table
from clxai.verdict.rendering import markdown
from clxai.verdict.results import finding, results_page

METHODS = {"good": 0.8, "fair": 0.31, "random": 0.3, "sobel": 0.1}


def ranks_of(metric="srg", better=1, numbers=METHODS, heads=("knn", "linear"), undefined=0):
    rows = [
        {"model": "ce", "units": "grid", "fill": "mean", "explained_by": head, "scored_by": head, "metric": metric}
        | {"better": better, "method": name, "mean": value, "ci_low": value - 0.05, "ci_high": value + 0.05}
        | {"n_seeds": 2, "n_images": 5, "n_undefined": undefined}
        for head in heads
        for name, value in numbers.items()
    ]
    return rank_table(pd.DataFrame(rows), [], ["random", "sobel"])


def test_finding_names_who_leads_and_who_is_beyond_every_control():
    """0.31 leads 0.3, and is not above it: their intervals overlap."""
    assert finding("srg", ranks_of()) == (
        "`srg` (higher is better): leading: `good` in 2 of 2 cells; above the controls: `good` in 2 of 2 cells; "
        "a control leads in 0 of 2 cells; 0 of 80 values undefined."
    )
    assert "above the controls: none" in finding("srg", ranks_of(numbers={"fair": 0.31, "random": 0.3}))


def test_finding_says_where_a_control_leads_in_the_direction_of_the_metric():
    found = finding("complexity", ranks_of("complexity", better=-1, undefined=3))
    assert found.startswith("`complexity` (lower is better): leading: `fair` in 2 of 2 cells; above the controls: none; ")
    assert found.endswith("a control leads in 2 of 2 cells; 24 of 80 values undefined.")


def test_cell_in_which_all_is_undefined_has_no_leader():
    found = finding("srg", ranks_of(numbers=dict.fromkeys(METHODS, np.nan), undefined=10))
    assert found == (
        "`srg` (higher is better): leading: none; above the controls: none; a control leads in 0 of 2 cells; "
        "80 of 80 values undefined."
    )


def test_page_has_settings_findings_ranks_and_means_of_what_is_shown():
    ranks = pd.concat([ranks_of(), ranks_of("complexity", -1), ranks_of().assign(fill="zero", metric="other")])
    page = markdown(results_page("mine", "digits", {"models": ["ce"], "units": "grid", "fill": "mean"}, ranks))
    assert page.startswith("# Results: mine, digits\n") and "| models | ce |" in page
    assert page.count("- `srg` (higher is better)") == page.count("- `complexity` (lower is better)") == 1
    assert "`other`" not in page
    assert "| method | complexity | srg |\n" in page and "| `good` | 4.0 | 1.0 |\n| `random` (c) | 2.0 | 3.0 |\n" in page
    assert "| `good` | 0.80 [0.75, 0.85] (1) | 0.80 [0.75, 0.85] (1) |\n" in page
