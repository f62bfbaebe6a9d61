"""What explainers learn from is settled, or refused, while planning, and a study without them plans none."""

from types import SimpleNamespace

import pytest
from clxai.errors import ClxaiError
from clxai.planning import params
from clxai.planning.amortising import explainers_asked
from clxai.planning.borrowing import Bank, Maps
from clxai.planning.choices import matched_fills
from clxai.planning.needed import explainers_needed
from clxai.planning.outputs import banks_needed
from clxai.planning.usage import members
from project import changed, check

SAMPLES = {"training": {"images": 100, "split": "train"}, "validation": {"images": 50, "split": "val"}}


@pytest.fixture
def learning(config):
    """A study of one model with an explainer of each kind of use."""
    config["study"] |= {"models": ["ce"], "methods": ["random", "own", "other_class"]}
    config["samples"] |= SAMPLES
    config["methods"] |= {
        "own": {"method": "amortised", "explainers": 2, "epochs": 7},
        "other_class": {"method": "wrong_class", "of": "own"},
    }
    return config


def test_study_without_such_methods_has_no_explainers(config):
    check(config)
    assert explainers_needed(config) == banks_needed(config) == []


def test_explainers_learn_from_banks_of_training_and_validation_images_and_of_no_other(learning):
    check(learning)
    assert banks_needed(learning) == [Bank("ce", 0, name, "grid", "mean") for name in ("training", "validation")]
    assert explainers_needed(learning) == [("ce", 0, "own", 0), ("ce", 0, "own", 1)]


def test_method_that_runs_another_asks_the_explainers_of_that(learning):
    for name in ("own", "other_class"):
        assert explainers_asked(learning, Maps("ce", 2, "evaluation", name)) == [("ce", 2, "own", 0), ("ce", 2, "own", 1)]
    assert explainers_asked(learning, Maps("ce", 2, "evaluation", "random")) == []


def test_jobs_are_told_what_they_depend_on_and_no_more(learning):
    job = SimpleNamespace(model="ce", seed="0", method="own", explainer="1", sample="evaluation", units="grid", fill="mean")
    told = params.train_explainer(learning, job)
    assert told["recipe"]["epochs"] == 7 and "explainers" not in told["recipe"] and "sample" not in told["recipe"]
    seeds = {
        params.train_explainer(learning, SimpleNamespace(**{**vars(job), "seed": seed, "explainer": number}))["seed"]
        for seed in "01"
        for number in "01"
    }
    assert len(seeds) == 4
    fewer = changed(learning, {"mask_bank.samples": {"training": 64}})
    assert params.mask_bank(fewer, job) == params.mask_bank(learning, job)
    training = SimpleNamespace(**{**vars(job), "sample": "training"})
    assert (params.mask_bank(fewer, training)["masks"], params.mask_bank(learning, training)["masks"]) == (64, 1024)
    used = members(learning, "attribute", job)
    assert ("units", "grid") in used and ("methods", "amortised") in used


def test_fill_of_the_banks_is_the_baseline(learning):
    assert matched_fills(learning) == {"own": ["mean"], "other_class": ["mean"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods.own.sample": "absent"}, "methods.own.sample: unknown sample 'absent'"),
        (
            {"methods.own.sample": "evaluation"},
            "methods.own.sample must be a sample of split train. Got 'evaluation' of test",
        ),
        (
            {"methods.own.validation": "training"},
            "methods.own.validation must be a sample of split val. Got 'training' of train",
        ),
        ({"methods.own.width": 24}, "methods.own.width must be a multiple of 16. Got 24"),
        ({"methods.own.least_squares": 0}, "methods.own: one of least_squares, pattern, local must be above 0"),
        ({"methods.own.epoch": 3}, "methods.own: unknown option 'epoch'. Did you mean 'epochs'"),
        ({"methods.own.explainers": 0}, "methods.own.explainers must be > 0. Got 0"),
        ({"methods.own.fill": "nun"}, "methods.own.fill: fill 'nun' needs"),
        ({"mask_bank.samples": {"trainig": 64}}, "mask_bank.samples: unknown sample 'trainig'. Did you mean 'training'"),
        ({"mask_bank.samples": {"training": 62}}, "mask_bank.masks must be a multiple of 4, at least 8. Got 62"),
        ({"stability.methods": ["own"]}, "stability.methods: 'own' is made of what trained explainers say"),
    ],
)
def test_what_cannot_be_learnt_is_refused(learning, changes, message):
    with pytest.raises(ClxaiError) as refused:
        check(changed(learning, changes))
    assert message in str(refused.value)
