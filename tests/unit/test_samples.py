"""Named samples: stratified, seeded, disjoint, and stable when others are added."""

from types import SimpleNamespace

import numpy as np
import pytest
from clxai.data.datasets import stratified_choice
from clxai.data.samples import draw_sample
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.planning import params
from clxai.planning.choices import samples_before


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_sample_is_of_its_split_and_stratified(tiny_data, split):
    data = tiny_data.data
    sample = draw_sample(data, "evaluation", split, 30, seed=0)
    assert set(sample.tolist()) <= set(data.indices(split).tolist())
    assert (np.diff(sample) > 0).all()
    share = np.bincount(data.labels[data.indices(split)], minlength=10) * 30 / len(data.indices(split))
    assert (np.abs(np.bincount(data.labels[sample], minlength=10) - share) < 1).all()


def test_evaluation_sample_is_drawn_as_it_always_was(tiny_data):
    data = tiny_data.data
    test = data.indices("test")
    expected = test[stratified_choice(data.labels[test], 20, np.random.default_rng(key_of("evaluation", 7)))]
    assert draw_sample(data, "evaluation", "test", 20, 7).tolist() == sorted(expected.tolist())


def test_sample_depends_on_the_seed_and_the_name(tiny_data):
    cases = (("a", "test", 20, 0), ("a", "test", 20, 1), ("b", "test", 20, 0))
    draws = [draw_sample(tiny_data.data, *case).tolist() for case in cases]
    assert draws[0] == draw_sample(tiny_data.data, "a", "test", 20, 0).tolist()
    assert draws[0] not in draws[1:]


def test_samples_of_a_split_have_no_image_in_common_and_fill_it(tiny_data):
    sizes, drawn = [("a", 20), ("b", 13), ("c", 27)], []
    for place, (name, size) in enumerate(sizes):
        drawn.append(draw_sample(tiny_data.data, name, "test", size, 0, sizes[:place]))
        counts = np.bincount(tiny_data.data.labels[drawn[-1]], minlength=10)
        assert counts.max() - counts.min() <= 2
    assert sorted(np.concatenate(drawn).tolist()) == tiny_data.data.indices("test").tolist()


def test_sample_larger_than_what_is_left_is_refused(tiny_data):
    with pytest.raises(ClxaiError, match=r"samples\.a\.images must be at most the 60 test images left of digits\. Got 61"):
        draw_sample(tiny_data.data, "a", "test", 61, 0)
    with pytest.raises(ClxaiError, match=r"samples\.b\.images must be at most the 20 test images left of digits\. Got 21"):
        draw_sample(tiny_data.data, "b", "test", 21, 0, [("a", 40)])


def test_only_earlier_samples_of_the_same_split_come_before(config):
    config["samples"] |= {
        "tuning": {"images": 10, "split": "train"},
        "second": {"images": 5, "split": "test"},
        "third": {"images": 6, "split": "test"},
    }
    assert samples_before(config, "evaluation") == samples_before(config, "tuning") == []
    assert samples_before(config, "third") == [("evaluation", 30), ("second", 5)]


def test_params_of_a_sample_do_not_change_with_later_ones(config):
    job = SimpleNamespace(dataset="digits", sample="evaluation")
    before = params.sample_images(config, job)
    config["samples"]["more"] = {"images": 5, "split": "test"}
    assert params.sample_images(config, job) == before == {"before": [], "n_images": 30, "seed": 0, "split": "test"}
