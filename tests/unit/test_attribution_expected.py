"""Expected gradients against integrated gradients from each reference, closed forms, and Captum's own."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum import attr
from clxai.attribution.base import METHODS
from clxai.errors import ClxaiError
from clxai.options import check_member
from project import affine_problem, problem_of

HEADS = ["softmax", "linear", "knn", "mahalanobis"]


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:4].numpy())


@pytest.fixture(scope="module")
def references(tiny_run):
    """Eight training images, normalised."""
    return tiny_run.encoder.normalise(tiny_run.at(tiny_run.data.indices("train")[:8]).images)


def explained(problem, samples):
    return METHODS["gradient_shap"].definition(problem, {"samples": samples})


def values(problem, references):
    """m of the images, and of all references by image: one row each."""
    with torch.no_grad():
        own = problem.log_odds(problem.inputs, problem.rows)
        repeated = [problem.log_odds(row.expand(len(own), -1, -1, -1), problem.rows) for row in references]
    return own, torch.stack(repeated, dim=1)


@pytest.fixture
def affine():
    """A problem whose log-odds are affine in the input, eight random references, and the slope."""
    problem, slope = affine_problem()
    return replace(problem, baseline=torch.randn(8, 2, 16, 16)), slope


def test_affine_target_gives_its_slope_times_the_distance_to_the_mean_of_the_references(affine):
    """All references are used equally often, so there is no sampling error left."""
    problem, slope = affine
    found = explained(problem, 32)
    expected = slope * (problem.inputs.detach() - problem.baseline.mean(dim=0))
    torch.testing.assert_close(found.maps, expected, rtol=1e-4, atol=1e-4)
    assert float(found.extras["completeness_error"].max()) < 1e-5
    spread = (slope[:, None] * problem.baseline).sum(dim=(2, 3, 4)).repeat(1, 4).std(dim=1)
    torch.testing.assert_close(found.extras["sampling_error"], spread / 32**0.5, rtol=1e-3, atol=1e-4)


def test_affine_target_gives_what_captum_gives_on_average(affine):
    """Captum draws references and places independently, by global generators: it is right on average only."""
    problem, _ = affine
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    captum = attr.GradientShap(problem.log_odds)
    expected = captum.attribute(
        problem.inputs.detach(), problem.baseline, n_samples=2000, additional_forward_args=(problem.rows,)
    )
    found = explained(problem, 32).maps
    assert float((found - expected).norm() / expected.norm()) < 0.05


@pytest.fixture(scope="module")
def by_integrals(few, references):
    """The mean over references of integrated gradients with 200 points, by head."""

    def mean_of(name):
        problem = problem_of(few, name)
        explainer = attr.IntegratedGradients(problem.log_odds)
        parts = [
            explainer.attribute(
                problem.inputs.detach(), row[None], additional_forward_args=(problem.rows,), n_steps=100, internal_batch_size=64
            )
            for row in references
        ]
        return torch.stack(parts).mean(dim=0).float()

    return {name: mean_of(name) for name in ("softmax", "knn")}


@pytest.mark.parametrize("name", ["softmax", "knn"])
def test_map_converges_to_the_mean_of_integrated_gradients_from_all_references(few, references, by_integrals, name):
    problem = replace(problem_of(few, name), baseline=references)
    errors = [float((explained(problem, n).maps - by_integrals[name]).norm() / by_integrals[name].norm()) for n in (32, 512)]
    assert errors[1] < min(0.1, errors[0] / 2)


@pytest.mark.parametrize("name", HEADS)
def test_completeness_is_reported_against_the_mean_of_the_references_with_its_error(few, references, name):
    problem = replace(problem_of(few, name), baseline=references)
    own, other = values(problem, references)
    found = explained(problem, 128)
    expected = found.maps.sum(dim=(1, 2, 3)) - (own - other.mean(dim=1))
    torch.testing.assert_close(found.extras["convergence_delta"], expected, rtol=1e-3, atol=2e-3)
    assert (expected.abs() < 4 * found.extras["sampling_error"]).all(), "draws are spread evenly"
    assert (found.extras["completeness_error"] < 0.2).all()


def test_image_has_the_same_map_whatever_else_is_explained(few, references):
    problem = replace(problem_of(few, "knn"), baseline=references)
    alone = replace(problem_of(few.at(few.index[[2]].numpy()), "knn"), baseline=references)
    torch.testing.assert_close(explained(alone, 32).maps[0], explained(problem, 32).maps[2], rtol=1e-3, atol=1e-4)


def test_more_references_than_samples_are_drawn_without_repetition(few, tiny_run):
    many = tiny_run.encoder.normalise(tiny_run.at(tiny_run.data.indices("train")[:50]).images)
    seen = []

    class Spy(type(problem_of(few, "linear"))):
        def log_odds(self, inputs, rows):
            seen.append((inputs.detach(), rows))
            return super().log_odds(inputs, rows)

    plain = replace(problem_of(few, "linear"), baseline=many)
    problem = Spy(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})
    explained(problem, 32)
    inputs, rows = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert (rows == 1).sum() == 32 + 1  # and the image itself
    assert len(inputs[rows == 1].unique(dim=0)) == 33


def test_global_generators_are_left_alone(few, references):
    before = torch.get_rng_state(), copy.deepcopy(np.random.get_state())  # noqa: NPY002
    explained(replace(problem_of(few, "linear"), baseline=references), 32)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1][1])  # noqa: NPY002


def test_few_samples_are_refused():
    with pytest.raises(ClxaiError, match=r"gradient_shap\.samples must be >= 32\. Got 5"):
        check_member(METHODS["gradient_shap"], {"samples": 5})
