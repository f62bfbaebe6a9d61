"""What a study would take: counts against counting by hand and against what methods really compute, and the arithmetic."""

import csv

import pytest
import yaml
from clxai.commands.estimate import COLUMNS, DEFAULT, line, words
from clxai.commands.estimate import SCHEMA as SCHEMA_FILE
from clxai.commands.probing import REFERENCE_FLOP, reference
from clxai.errors import ClxaiError
from clxai.planning.estimating import Rates, Row, estimate
from clxai.planning.filling import merged
from clxai.planning.work import Load, Network, Size, batch_of, by_rule, passes_of, size_of, units_of, work_of
from PIL import Image
from project import ROOT

# Counted while the methods run on 16 px (tests/unit/test_costing.py holds the counter to these).
COUNTED = {
    "random": ({}, 0),
    "saliency": ({}, 2),
    "smoothgrad": ({"samples": 5}, 10),
    "integrated_gradients": ({"steps": 64}, 2 * 64 + 4),
    "occlusion": ({"window": 8, "stride": 8}, 4 + 1),
    "eigen_cam": ({}, 1),
}


@pytest.mark.parametrize("name", COUNTED)
def test_passes_are_those_that_are_counted_while_a_method_runs(config, name):
    options, counted = COUNTED[name]
    config["methods"][name] = options
    assert passes_of(config, name, (16, 16)) == pytest.approx(counted, rel=0.05)


def test_method_that_runs_another_costs_as_much_and_one_that_borrows_nothing(config):
    config["methods"] |= {"wrong": {"method": "wrong_class", "of": "saliency"}, "lent": {"method": "borrowed", "of": "saliency"}}
    assert (passes_of(config, "wrong", (16, 16)), passes_of(config, "lent", (16, 16))) == (2, 0)


@pytest.mark.parametrize(("name", "units"), [("grid", 64), ("bands", 4), ("superpixels", 50)])
def test_units_are_tiles_or_an_option(config, name, units):
    """The default study's grid is of 2 px."""
    assert units_of(config, name, (16, 16)) == units


def test_size_of_digits_and_of_a_set_that_is_not_there_yet(config):
    """1,797 digits, a fifth for testing, .15 of the rest for validation; CIFAR-10 by its published numbers."""
    digits = size_of(config, "digits")
    assert (digits.images, digits.shape, digits.channels) == ({"train": 1222, "val": 216, "test": 359}, (16, 16), 1)
    entry = config["datasets"]["digits"] | {"source": "torchvision", "name": "CIFAR10", "size": None, "limit": {"test": 1000}}
    config["datasets"]["digits"] = entry
    assert size_of(config, "digits") == Size({"train": 42500, "val": 7500, "test": 1000}, (32, 32), 3, 10)
    config["datasets"]["digits"] = entry | {"name": "GTSRB", "limit": {}}
    with pytest.raises(ClxaiError, match=r"datasets\.digits: how many images there are, and of which size, is not known yet"):
        size_of(config, "digits")


def test_work_of_a_study_is_that_of_its_jobs(config):
    """Three models, three seeds, six methods; batches of 128 of 1,222 images; 16 steps, one fill, 30 images, 3 or 4 heads."""
    loads = by_rule(work_of(config, size_of(config, "digits")))
    assert {
        rule: sum(load.jobs for load in own) for rule, own in loads.items() if rule in ("train_model", "attribute", "flip")
    } == {
        "train_model": 9,
        "attribute": 54,
        "flip": 54,
    }
    trained = {load.model: load.trained for load in loads["train_model"]}
    assert trained == {"ce": 3 * 12 * 9 * 128, "supcon": 3 * 12 * 9 * 256, "ce_matched": 3 * 12 * 9 * 256}
    assert batch_of(config, "supcon") == 256
    saliency = [load.forward for load in loads["attribute"] if load.model == "ce"][1]
    assert saliency == 3 * 30 * 4 * 2
    flipped = [load.forward for load in loads["flip"] if load.model == "ce"]
    assert flipped[:2] == [3 * 30 * (1 * 2 * 15 + 2), 3 * 30 * (4 * 2 * 15 + 2)], "random is the same for all heads"


def test_seconds_bytes_and_memory_are_sums_over_jobs():
    """Two trainings and their embeddings: 10 s a job, 100 images a second forward, 20 in training."""
    rates = {"ce": Rates(100.0, 20.0, 1e9, 1e6, 10_000_000, 512)}
    loads = [Load("train_model", 2, "ce", 1000.0, 4000.0), Load("embed_images", 2, "ce", 500.0), Load("summarise", 1, rows=1e6)]
    train, embed, tables, whole = estimate(loads, rates, 10.0, {"ce": 256})
    assert (train.seconds, train.tflop, train.disk) == pytest.approx((20 + 10 + 200, 13.0, 0.08))
    assert train.memory == pytest.approx(0.8 + 0.16 + 0.256)
    assert (embed.seconds, embed.disk) == pytest.approx((25, 500 * 512 * 4e-9))
    assert (tables.seconds, tables.memory) == pytest.approx((1210, 2.8))
    assert (whole.rule, whole.jobs, whole.seconds) == ("all", 5, pytest.approx(230 + 25 + 1210))


def test_flop_of_a_network_are_two_a_multiplication():
    """ResNet-18 with the small stem at 32 px: 0.556 billion multiplications, 11.17 million weights [He et al. 2016, counted]."""
    found = reference(Network("resnet18", (("stem", "small"), ("width", 64)), (32, 32), 3, 10))
    assert found.flop == pytest.approx(2 * 0.556e9, rel=2e-3)
    assert (found.weights, found.features) == (11_173_962, 512)
    assert (found.forward, 3 * found.trained) == pytest.approx((REFERENCE_FLOP / found.flop,) * 2)


def test_table_and_line_of_a_study():
    rows = [Row("train_model", 2, 3000.0, 7200.0, 1.0, 0.5), Row("all", 3, 4000.0, 10800.0, 2.0, 1.5)]
    shown = list(words(rows, 2))
    assert shown[-1].split() == ["all", "3", "4e+03", "3.00", "1.50", "2.0", "1.5"]
    assert line("a.yaml", rows) == ["a.yaml", 3, "4", "2", "3", "2", "1.5"]


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_committed_config_is_right(file, tmp_path):
    """Merged over the default one, as Snakemake does; images that a user brings are a few invented ones."""
    if "source: wav" in file.read_text() and not (ROOT / "resources" / "fsdd").exists():
        pytest.skip("the recordings are not there")
    given = [DEFAULT, *([] if file == DEFAULT else [file])]
    if "source: folder" in file.read_text():
        for number in range(60):
            place = tmp_path / "images" / "train" / f"class{number % 3}"
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 40)).save(place / f"{number}.png")
        name = yaml.safe_load(file.read_text())["study"]["datasets"][0]
        own = {"datasets": {name: {"path": str(tmp_path / "images")}}, "samples": {"evaluation": {"images": 9}}}
        own["models"] = {model: {"batch_size": 16} for model in ("ce", "supcon")}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
        given.append(tmp_path / "own.yaml")
    assert merged(given, SCHEMA_FILE)["study"]["datasets"]


def test_committed_estimates_are_of_the_configs_that_plan_without_a_users_files():
    with (ROOT / "config" / "estimates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    without = {"analyses.yaml", "controls.yaml"}  # are added to a study
    without |= {"audio.yaml", "imagenet_s50.yaml"}  # need recordings and images
    assert {row["config"] for row in rows} == {path.name for path in (ROOT / "config").glob("*.yaml")} - without
