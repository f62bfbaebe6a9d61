"""What a stranger adds is one file and a name in the config: the jobs that use it are planned, and no others.

The files are those of docs/extending.md, added to a finished study one at a time.
"""

from contextlib import ExitStack, nullcontext

import pytest
from project import AFTER_CURVES, AFTER_TRUST, TINY, examples, replaced

pytestmark = pytest.mark.xdist_group("finished")

RECIPE = "supcon: {loss: supcon, epochs: 2"
ONE_MODEL = {
    "train_model": 1,
    "embed_images": 1,
    "fit_heads": 1,
    "attribute": 3,
    "flip": 3,
    **AFTER_CURVES,
    "plot_figure_of_model": 9,
}


NEW_MODEL = ("models: [ce, supcon]", "models: [ce, supcon, third]")
# by file: the edit of the config that names the member, and the jobs that run
ADDITIONS = {
    "losses/focal.py": (
        replaced(
            NEW_MODEL,
            (f"  {RECIPE}", f"  third: {{loss: focal, epochs: 2, network_options: {{width: 4}}}}\n  {RECIPE}"),
        ),
        ONE_MODEL,
    ),
    "networks/two_layers.py": (
        replaced(
            NEW_MODEL,
            (f"  {RECIPE}", f"  third: {{loss: cross_entropy, epochs: 2, network: two_layers}}\n  {RECIPE}"),
            ("methods: [random, saliency, grad_cam]", "methods: [random, saliency]"),  # whose layer3 the network lacks
        ),
        {**ONE_MODEL, "attribute": 2, "flip": 2},
    ),
    "heads/centroid.py": (
        replaced(("[softmax, knn]", "[softmax, knn, centroid]")),
        {"fit_heads": 1, "fit_heads_without_classifier": 1, "attribute": 6, "flip": 6, **AFTER_CURVES},
    ),
    "attribution/xgrad_cam.py": (
        replaced(("saliency, grad_cam]", "saliency, grad_cam, xgrad_cam]")),
        {"attribute": 2, "flip": 2, **AFTER_CURVES},
    ),
    "analyses/typical.py": (
        replaced(("grad_cam]", "grad_cam]\n  analyses: [typical]")),
        {"analyse": 2, "summarise_analyses": 1, "describe_results": 1, "plot_figure": 1},
    ),
    "fills/checkered.py": (replaced(("fills: [mean, noise]", "fills: [mean, checkered]")), {"flip": 6, **AFTER_CURVES}),
    "units/quarters.py": (
        replaced(("flipping: {fills", "flipping: {units: [grid, quarters], fills")),
        {"flip": 6, **AFTER_CURVES},
    ),
    "figures/ties.py": (None, {"plot_figure": 1}),  # study.figures: null draws all that there are
    "measures/metrics/half_removed.py": (None, AFTER_CURVES),  # study.metrics: null takes all that there are
    "measures/trust/above_random.py": (None, AFTER_TRUST),  # study.trust: null takes all whose needs are met
    "data/sources/stripes.py": (
        replaced(
            ("datasets: [digits]", "datasets: [digits, stripes]"),
            ("datasets:\n  digits", "datasets:\n  stripes: {source: stripes}\n  digits"),
        ),
        {
            **{"prepare_data": 1, "sample_images": 1, "train_model": 2, "embed_images": 2},
            **{
                "fit_heads": 1,
                "fit_heads_without_classifier": 1,
                "attribute": 6,
                "flip": 6,
                **AFTER_CURVES,
                "describe_results": 2,
            },
        },
    ),
}
FILES = {path.removeprefix("workflow/scripts/clxai/"): text for path, text in examples().items()}


def test_every_example_of_the_documents_is_added_here():
    assert FILES.keys() == ADDITIONS.keys()


def test_files_that_the_study_does_not_name_start_nothing(finished):
    with ExitStack() as added:
        for file, (change, _) in ADDITIONS.items():
            if change is not None:
                added.enter_context(finished.added(f"workflow/scripts/clxai/{file}", FILES[file]))
        assert finished.planned() == {}


@pytest.mark.parametrize("file", ADDITIONS)
def test_added_member_starts_the_jobs_that_use_it_and_no_others(finished, file):
    change, expected = ADDITIONS[file]
    named = finished.edited(TINY, change) if change else nullcontext()
    with finished.added(f"workflow/scripts/clxai/{file}", FILES[file]), named:
        assert finished.planned() == expected
