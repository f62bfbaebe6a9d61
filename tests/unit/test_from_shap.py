"""SHAP's explainers behind our contract: their traps, and that they explain what our own do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.packages import check_package
from clxai.registry import declared
from project import affine_problem

BACKED = {"shap_gradient": {"samples": 8, "references": 4}, "shap_partition": {"max_evals": 60}}


@pytest.fixture
def shap():
    return pytest.importorskip("shap", reason="SHAP is optional: pip install 'clxai[shap]'")


@pytest.mark.parametrize("name", BACKED)
def test_planning_refuses_a_backend_that_is_not_installed_with_what_installs_it(name, monkeypatch):
    monkeypatch.setattr("clxai.packages.find_spec", lambda package: None)
    with pytest.raises(ClxaiError, match=rf"method '{name}' needs the package shap: pip install 'clxai\[shap\]'"):
        check_package(name, declared("methods")[name].semantics)


def test_gradient_explainer_of_an_affine_target_is_its_slope_times_the_distance_to_the_references(shap):
    problem, slope = affine_problem()
    problem = replace(problem, baseline=torch.randn(1, 2, 16, 16))
    found = METHODS["shap_gradient"].definition(problem, {"samples": 3}).maps
    torch.testing.assert_close(found, slope * (problem.inputs.detach() - problem.baseline), rtol=1e-4, atol=1e-4)


def test_partition_explainer_of_an_affine_target_gives_each_half_what_it_adds(shap):
    """Its first cut is between the rows; what lies below is divided as far as the evaluations reach."""
    problem, slope = affine_problem()
    found = METHODS["shap_partition"].definition(problem, {"max_evals": 60}).maps
    expected = slope * (problem.inputs.detach() - problem.baseline)
    halves = [maps.unflatten(2, (2, 8)).sum(dim=(1, 3, 4)) for maps in (found, expected)]
    torch.testing.assert_close(*halves, rtol=1e-3, atol=1e-3)


def test_gradient_explainer_agrees_with_our_expected_gradients(shap, few):
    ours, theirs = (
        explain(few, name, {"samples": 400, "references": 16}, 0)["attribution"].sel(head="knn").values.ravel()
        for name in ("gradient_shap", "shap_gradient")
    )
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98


@pytest.mark.parametrize("name", BACKED)
def test_maps_do_not_depend_on_the_batch_and_global_generators_are_left_alone(shap, few, name):
    np.random.seed(3)  # noqa: NPY002
    before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    found = explain(few, name, BACKED[name], 0)["attribution"].values
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(before[1], after[1]) and before[2:] == after[2:]
    assert torch.equal(torch.get_rng_state(), torch_before)
    alone = explain(few.at(few.index[[2]].numpy()), name, BACKED[name], 0)["attribution"].values
    np.testing.assert_allclose(alone[:, 0], found[:, 2], rtol=1e-3, atol=1e-4 * np.abs(found).max())


def test_partition_values_add_up_however_few_evaluations(shap, few):
    assert float(explain(few, "shap_partition", {"max_evals": 60}, 0)["completeness_error"].max()) < 1e-4
