"""What a study needs and does not show is made for it: the maps of other methods, on the real DAG."""

TINY = "tests/workflow/tiny.yaml"
AVERAGED = '''
"""A method of a stranger: one file."""

import torch

from clxai.attribution.base import Explanation, method


@method("averaged", family="perturbation", reduction="none", needs=("saliency", "grad_cam"))
def averaged(problem, options):
    """The mean of two maps."""
    return Explanation(torch.stack([problem.maps[name] for name in ("saliency", "grad_cam")]).mean(dim=0)[:, None])
'''


def test_methods_that_a_method_needs_are_run_and_not_flipped(fresh):
    module, config = fresh.folder / "workflow/scripts/clxai/attribution/averaged.py", fresh.folder / TINY
    module.write_text(AVERAGED)
    config.write_text(config.read_text().replace("random, saliency, grad_cam", "random, averaged"))
    planned = fresh.planned()
    assert (planned["attribute"], planned["flip"]) == (2 * 4, 2 * 2)
    target = "results/digits/ce/seed0/attributions/evaluation/averaged.nc"
    assert fresh.planned(target)["attribute"] == 3
    module.write_text(AVERAGED.replace('"grad_cam")', '"averaged")'))
    process = fresh.snakemake("-n", target)
    assert process.returncode != 0
    assert "attribution method 'averaged', by its needs, leads back to 'averaged'" in process.stdout + process.stderr
