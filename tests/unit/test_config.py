import re

import pytest
import yaml
from clxai.errors import ClxaiError
from clxai.measures.identities import CHECKED_METRICS
from clxai.names import SPLITS
from clxai.planning import params
from clxai.planning.choices import chosen, contrasts_of, heads_of
from clxai.planning.config import check_schema, check_values
from clxai.planning.options import check_options
from clxai.planning.outputs import metrics_of
from clxai.planning.provenance import code_of
from clxai.planning.reading import plain, read_texts, study_name
from clxai.planning.usage import members
from clxai.registry import LIBRARY, declared
from clxai.runtime.devices import PRECISIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from project import MISSING, ROOT, SCHEMA, changed, check, leaves

SOURCE = {"source": "folder", "path": "."}


def test_default_config_passes(config):
    check(config)


def test_default_config_needs_nothing_filled_in():
    check_schema(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()), SCHEMA)


EIGHT = {"flipping.steps": 4}
GOOD = {
    "own name of a method": {"methods": {"cam3": {"method": "grad_cam", "layer": "layer3"}}, "study.methods": ["random", "cam3"]},
    "all fills": {"flipping.fills": list(declared("fills"))},
    "all units": {"flipping.units": list(declared("units")), "units": {"grid": None, "superpixels": {"n_segments": 16}}, **EIGHT},
    "own name of a fill": {"fills": {"wide": {"fill": "blur", "sigma": 0.3}}, "flipping.fills": ["wide"]},
    "own name of a fill as baseline": {
        "fills": {"wide": {"fill": "blur", "sigma": 0.3}},
        "methods": {"occlusion": {"baseline": "wide"}},
    },
    "own name of units": {"units": {"rows": {"units": "grid", "height": 1, "width": 8}}, "flipping.units": ["rows"]},
    "whole number for a real option": {"heads": {"linear": {"C": 1}}},
    "height and width": {
        **{"datasets.digits.source": "folder", "datasets.digits.path": "."},
        **{"datasets.digits.size": [16, 48], "units": {"grid": {"height": 4, "width": 4}}, "flipping.steps": 48},
    },
    "exactly all units as steps": {"flipping.steps": 64},
    "contrastive model with softmax among the heads": {"study.models": ["supcon"]},
    "size of one number": {"datasets.digits.size": 24},
    "k of a limited bank that is not given": {"datasets.digits.limit": {"train": 150}},
    "folder with a path": {"datasets.digits.source": "folder", "datasets.digits.path": "."},
    "empty entry of a method": {"methods": {"lrp": None}},
    "baseline of a method that has one": {"methods": {"occlusion": {"baseline": "blur"}}},
    "fractional warm-up": {"models.ce.warmup_epochs": 0.5},
    "a single epoch": {"models.ce.epochs": 1},
    "large network of large images": {"datasets.digits.size": 96, "units.grid": {"height": 8, "width": 12}},
}


@pytest.mark.parametrize("case", GOOD)
def test_sensible_config_passes(config, case):
    check(changed(config, GOOD[case]))


# name: (changes, what the message must hold, in this order)
WRONG = {
    "unknown section": ({"flippings": {}}, ["config: unknown key 'flippings'", "Did you mean 'flipping'?", "Known: checks"]),
    "unknown key of study": ({"study.sedes": [0]}, ["study: unknown key 'sedes'", "Did you mean 'seeds'?", "models"]),
    "unknown key of flipping": ({"flipping.step": 4}, ["flipping: unknown key 'step'", "Did you mean 'steps'?"]),
    "unknown key of a data set": ({"datasets.digits.sizes": 8}, ["datasets.digits: unknown key 'sizes'", "'size'"]),
    "unknown key of a model": ({"models.ce.epoch": 3}, ["models.ce: unknown key 'epoch'", "'epochs'"]),
    "unknown split in limit": ({"datasets.digits.limit": {"trian": 5}}, ["datasets.digits.limit", "'trian'", "'train'"]),
    "unknown augmentation": ({"models.ce.augmentation.crop": 2}, ["models.ce.augmentation: unknown key 'crop'", "crop_padding"]),
    "unknown jitter": ({"models.ce.augmentation.jitter.hues": 0.1}, ["models.ce.augmentation.jitter", "'hues'", "'hue'"]),
    "loss missing": ({"models.ce.loss": MISSING}, ["models.ce", "'loss' is a required property"]),
    "unknown data set": (
        {"study.datasets": ["digit"]},
        ["study.datasets: unknown dataset 'digit'", "'digits'?", "Known: digits"],
    ),
    "unknown model": (
        {"study.models": ["supcom"]},
        ["study.models: unknown model 'supcom'", "'supcon'?", "ce, ce_matched, supcon"],
    ),
    "unknown method": ({"study.methods": ["random", "salience"]}, ["unknown attribution method 'salience'", "'saliency'", "lrp"]),
    "unknown method behind an own name": ({"methods": {"cam": {"method": "gradcam"}}}, ["methods", "'gradcam'", "'grad_cam'"]),
    "unknown head": ({"study.heads": ["knn", "softmx"]}, ["heads: unknown head 'softmx'", "'softmax'", "mahalanobis"]),
    "options of an unknown head": ({"heads": {"svm": {}}}, ["heads: unknown head 'svm'", "Known: knn, linear"]),
    "unknown loss": ({"models.ce.loss": "suppcon"}, ["models.ce.loss: unknown loss 'suppcon'", "'supcon'", "triplet"]),
    "unknown source": (
        {"datasets.digits.source": "digit"},
        ["datasets.digits.source: unknown data source 'digit'", "torchvision"],
    ),
    "unknown torchvision set": (
        {"datasets.digits.source": "torchvision", "datasets.digits.name": "CIFAR01"},
        ["datasets.digits.name: unknown torchvision data set 'CIFAR01'", "Did you mean 'CIFAR10'?"],
    ),
    "torchvision without name": (
        {"datasets.digits.source": "torchvision"},
        ["datasets.digits.name is needed by source 'torchvision'"],
    ),
    "npz without path": ({"datasets.digits.source": "npz"}, ["datasets.digits.path is needed by source 'npz'"]),
    "missing path": (
        {"datasets.digits.source": "folder", "datasets.digits.path": "no/such/folder"},
        ["datasets.digits.path: 'no/such/folder' does not exist"],
    ),
    "unknown fill": (
        {"flipping.fills": ["meen"]},
        ["flipping.fills: unknown fill 'meen'", "'mean'?", "blur, linear, mean, noise, nun, zero"],
    ),
    "unknown optimiser": ({"models.ce.optimiser": "adam"}, ["models.ce.optimiser", "'adam'", "adamw, sgd"]),
    "unknown schedule": ({"models.ce.schedule": "cosin"}, ["models.ce.schedule", "'cosin'", "constant, cosine"]),
    "unknown network": ({"models.ce.network": "resnet19"}, ["models.ce.network: unknown network 'resnet19'", "'resnet18'"]),
    "unknown network option": (
        {"models.ce.network_options": {"widht": 8}},
        ["models.ce.network_options: unknown option 'widht'", "'width'"],
    ),
    "stem of a network without one": (
        {"models.ce.network": "cnn", "models.ce.network_options": {"stem": "small"}},
        ["models.ce.network_options: unknown option 'stem'", "Known: width"],
    ),
    "width of zero": ({"models.ce.network_options": {"width": 0}}, ["models.ce.network_options.width must be > 0", "Got 0"]),
    "unknown stem": (
        {"models.ce.network_options": {"stem": "tiny"}},
        ["models.ce.network_options.stem", "'tiny'", "auto, large, small"],
    ),
    "layer of another network": (
        {"models.ce.network": "cnn"},
        ["methods.grad_cam.layer, network cnn of models.ce: unknown layer 'layer3'", "conv1, conv2, conv3, conv4, last"],
    ),
    "unknown precision": ({"models.ce.precision": "float16"}, ["models.ce.precision", "'float16'", "bfloat16, float32"]),
    "unknown loss option": (
        {"models.supcon.loss_options": {"temprature": 0.1}},
        ["models.supcon.loss_options: unknown option 'temprature'", "'temperature'?"],
    ),
    "unknown method option": (
        {"methods": {"smoothgrad": {"sigmas": 1.0}}},
        ["methods.smoothgrad: unknown option 'sigmas'", "'sigma'"],
    ),
    "unknown head option": ({"heads": {"knn": {"K": 5}}}, ["heads.knn: unknown option 'K'", "Known: k, temperature"]),
    "unknown layer": (
        {"methods": {"grad_cam": {"layer": "layer5"}}},
        ["methods.grad_cam.layer", "'layer5'", "last, layer1, layer2"],
    ),
    "baseline where there is none": (
        {"methods": {"saliency": {"baseline": "mean"}}},
        ["methods.saliency: unknown option 'baseline'"],
    ),
    "unknown baseline": (
        {"methods": {"occlusion": {"baseline": "blurr"}}},
        ["methods.occlusion.baseline", "'blurr'", "'blur'?", "mean"],
    ),
    "loss temperature of zero": (
        {"models.supcon.loss_options.temperature": 0.0},
        ["loss_options.temperature must be > 0", "Got 0.0"],
    ),
    "negative kNN temperature": ({"heads": {"knn": {"temperature": -0.1}}}, ["heads.knn.temperature must be > 0", "Got -0.1"]),
    "negative label smoothing": (
        {"models.ce.loss_options": {"label_smoothing": -0.1}},
        ["models.ce.loss_options.label_smoothing must be >= 0", "Got -0.1"],
    ),
    "text for a number option": (
        {"heads": {"knn": {"k": "many"}}},
        ["heads.knn.k must be a whole number", "default 200", "'many'"],
    ),
    "fraction for a whole option": (
        {"methods": {"smoothgrad": {"samples": 2.5}}},
        ["methods.smoothgrad.samples", "whole number", "2.5"],
    ),
    "truth value for a number option": ({"heads": {"linear": {"C": True}}}, ["heads.linear.C must be a number", "Got True"]),
    "number for a layer": ({"methods": {"grad_cam": {"layer": 4}}}, ["methods.grad_cam.layer must be a name", "Got 4"]),
    "k above the bank": (
        {"heads": {"knn": {"k": 5000}}},
        ["heads.knn.k must be at most the 1222 training images of digits", "5000"],
    ),
    "k above a limited bank": (
        {"datasets.digits.limit": {"train": 150}, "heads": {"knn": {"k": 200}}},
        ["heads.knn.k must be at most the 150", "digits. Got 200"],
    ),
    "bank_k above the bank": (
        {"flipping.bank_k": 1300},
        ["flipping.bank_k must be at most the 1222 training images", "Got 1300"],
    ),
    "exponent without a dot": ({"models.ce.learning_rate": "1e-3"}, ["models.ce.learning_rate", "'1e-3'", "1.0e-3, not 1e-3"]),
    "unit that does not tile": (
        {"units.grid": {"height": 5, "width": 4}},
        ["units.grid.height must tile 16 px of datasets.digits: one of [1, 2, 4, 8]. Got 5"],
    ),
    "unit as large as the image": (
        {"units.grid": {"width": 16}},
        ["units.grid.width must tile 16 px", "Got 16"],
    ),
    "more steps than bands": (
        {"flipping.units": ["bands"]},
        ["flipping.steps must be at most the 4 units of units.bands on images of datasets.digits. Got 16"],
    ),
    "more steps than superpixels are wanted": (
        {"flipping.units": ["superpixels"], "units.superpixels": {"n_segments": 10}},
        ["flipping.steps must be at most the 10 units of units.superpixels", "Got 16"],
    ),
    "unknown units": ({"flipping.units": ["gird"]}, ["flipping.units: unknown kind of units 'gird'", "'grid'?"]),
    "unknown option of units": ({"units.grid": {"hieght": 2}}, ["units.grid: unknown option 'hieght'", "'height'?"]),
    "baseline that is no fill": (
        {"methods": {"occlusion": {"baseline": "blurr"}}},
        ["methods.occlusion.baseline: unknown fill 'blurr'", "'blur'?"],
    ),
    "more steps than units": (
        {"flipping.steps": 65},
        ["flipping.steps must be at most the 64 units of units.grid on images of datasets.digits. Got 65"],
    ),
    "one step": ({"flipping.steps": 1}, ["flipping.steps", "1 is less than the minimum of 2"]),
    "image too small for the stem": (
        {"models.ce.network_options": {"stem": "large"}},
        ["datasets.digits.size must be at least 64 px for models.ce (resnet18) with the large stem", "Got 16 x 16"],
    ),
    "image too small at all": (
        {"datasets.digits.size": 8},
        ["datasets.digits.size must be at least 16 px", "small stem", "Got 8 x 8"],
    ),
    "size of digits": ({"datasets.digits.size": 20}, ["datasets.digits.size must be a multiple of 8", "Got 20"]),
    "digits without size": ({"datasets.digits.size": None}, ["datasets.digits.size must be at least 16", "Got 8"]),
    "stride above window": (
        {"methods.occlusion": {"window": 4, "stride": 5}},
        ["methods.occlusion.stride must be at most window 4", "Got 5"],
    ),
    "steps above the most": (
        {"methods.integrated_gradients": {"steps": 2000}},
        ["methods.integrated_gradients.steps must be at most most_steps 1024", "Got 2000"],
    ),
    "smoothing above 1": (
        {"models.ce.loss_options.label_smoothing": 1.5},
        ["models.ce.loss_options.label_smoothing must be at most 1.0", "Got 1.5"],
    ),
    "warm-up of all epochs": ({"models.ce.warmup_epochs": 12}, ["models.ce.warmup_epochs must be below epochs 12", "Got 12"]),
    "warning of no check": ({"checks.warn": ["ig_complete"]}, ["checks.warn", "ig_complete", "Did you mean 'ig_completeness'"]),
    "crop upside down": (
        {"models.supcon.augmentation.resized_crop": [1.0, 0.5]},
        ["models.supcon.augmentation.resized_crop must be [least, most]", "[1.0, 0.5]"],
    ),
    "crop above the image": (
        {"models.supcon.augmentation.resized_crop": [0.5, 1.5]},
        ["resized_crop.1", "1.5 is greater", "maximum of 1"],
    ),
    "crop of one number": (
        {"models.supcon.augmentation.resized_crop": [0.5]},
        ["augmentation.resized_crop", "[0.5]", "too short"],
    ),
    "random missing": ({"study.methods": ["lrp"]}, ["study.methods must include 'random'"]),
    "no data set": ({"study.datasets": []}, ["study.datasets", "[]", "non-empty"]),
    "no seed": ({"study.seeds": []}, ["study.seeds", "[]", "non-empty"]),
    "no head": ({"study.heads": []}, ["study.heads", "[]", "non-empty"]),
    "seed given twice": ({"study.seeds": [0, 1, 0]}, ["study.seeds", "[0, 1, 0]", "non-unique"]),
    "method given twice": ({"study.methods": ["random", "lrp", "lrp"]}, ["study.methods", "non-unique"]),
    "negative seed": ({"study.seeds": [-1]}, ["study.seeds.0", "-1 is less than the minimum of 0"]),
    "one seed instead of a list": ({"study.seeds": 3}, ["study.seeds", "3 is not of type 'array'"]),
    "name for a list": ({"study.heads": "knn"}, ["study.heads: expected array", "'knn'"]),
    "fraction of images": (
        {"samples.evaluation.images": 10.5},
        ["samples.evaluation.images", "10.5 is not of type 'integer'"],
    ),
    "unknown sample": ({"study.sample": "evaluaton"}, ["study.sample: unknown sample 'evaluaton'", "'evaluation'?"]),
    "samples that do not fit one beside the other": (
        {"samples.evaluation": {"images": 300, "split": "test"}, "samples.more": {"images": 60, "split": "test"}},
        ["samples.more.images must be at most the 59 test images of digits (of 359; evaluation come first). Got 60"],
    ),
    "sample of a split that is no split": ({"samples.evaluation.split": "tests"}, ["samples.evaluation.split", "'test'?"]),
    "alpha of one": ({"checks.alpha": 1}, ["checks.alpha", "1"]),
    "contrast of an unknown model": (
        {"study.contrasts": [["supcon", "cee"]]},
        ["study.contrasts: unknown model of the study 'cee'", "ce"],
    ),
    "contrast with itself": ({"study.contrasts": [["ce", "ce"]]}, ["study.contrasts", "two different models", "['ce', 'ce']"]),
    "contrast given twice": (
        {"study.contrasts": [["ce", "supcon"], ["supcon", "ce"]]},
        ["study.contrasts", "each pair once", "['supcon', 'ce']"],
    ),
    "contrast of three": ({"study.contrasts": [["ce", "supcon", "ce_matched"]]}, ["study.contrasts.0", "too long"]),
    "declared contrast of an unknown model": (
        {"statistics.confirmatory": [{"model": "cee", "minus": "supcon"}]},
        ["statistics.confirmatory.0: unknown model of the study 'cee'", "'ce'"],
    ),
    "declared contrast without a second model": (
        {"statistics.confirmatory": [{"model": "ce"}]},
        ["statistics.confirmatory.0", "'minus' is a required property"],
    ),
    "declared contrast that is not among the contrasts": (
        {"study.contrasts": [["supcon", "ce"]], "statistics.confirmatory": [{"model": "ce", "minus": "supcon"}]},
        ["statistics.confirmatory.0: ['ce', 'supcon'] must be one of study.contrasts [['supcon', 'ce']]"],
    ),
    "declared contrast given twice": (
        {"statistics.confirmatory": [{"model": "supcon", "minus": "ce"}, {"model": "supcon", "minus": "ce", "fill": "mean"}]},
        ["statistics.confirmatory.1", "named once"],
    ),
    "declared contrast of a head that one model lacks": (
        {"statistics.confirmatory": [{"model": "supcon", "minus": "ce", "head": "softmax"}]},
        ["statistics.confirmatory.0.head: unknown head of this contrast 'softmax'", "linear"],
    ),
    "declared contrast of a metric that is none of contrasts": (
        {"statistics.confirmatory": [{"model": "supcon", "minus": "ce", "metric": "aopc"}]},
        ["statistics.confirmatory.0.metric: unknown metric of this contrast 'aopc'", "srg_matched"],
    ),
    "declared contrast of a control": (
        {"statistics.confirmatory": [{"model": "supcon", "minus": "ce", "method": "random"}]},
        ["statistics.confirmatory.0.method: unknown method of this contrast 'random'", "lrp"],
    ),
    "unknown metric": ({"study.metrics": ["srg_mached"]}, ["study.metrics: unknown metric 'srg_mached'", "'srg_matched'"]),
    "metrics without those of the checks": (
        {"study.metrics": ["auc_insertion", "auc_deletion", "srg", "aopc"]},
        ["study.metrics must include auc_insertion_matched, auc_deletion_matched, srg_matched,", "self-checks"],
    ),
    "figure of another name": (
        {"study.metrics": list(CHECKED_METRICS), "study.figures": ["new"], "figures": {"new": {"figure": "sgr"}}},
        ["study.figures: unknown figure 'sgr'", "'srg'"],
    ),
    "figure with the file of another": (
        {"study.figures": ["gallery", "gallery_ce"], "figures": {"gallery_ce": {"figure": "srg"}}},
        ["study.figures: figure 'gallery_ce' and figure 'gallery' of model 'ce' would both be gallery_ce.svg"],
    ),
    "unknown figure": ({"study.figures": ["deletions"]}, ["study.figures: unknown figure 'deletions'", "'deletion'"]),
    "unknown option of a figure": ({"figures.gallery": {"image": 2}}, ["figures.gallery: unknown option 'image'", "'images'"]),
    "no image in the gallery": ({"figures.gallery": {"images": 0}}, ["figures.gallery.images must be > 0"]),
    "no margin": ({"statistics.margin": 0}, ["statistics.margin", "0"]),
    "few draws": ({"statistics.bootstrap_draws": 10}, ["statistics.bootstrap_draws", "10 is less than the minimum of 100"]),
    "momentum of one": ({"models.ce.momentum": 1}, ["models.ce.momentum", "1"]),
    "model without any head": (
        {"study.heads": ["softmax"]},
        ["models.supcon: none of study.heads ['softmax'] works with loss supcon"],
    ),
    "name of a data set that is no folder": ({"datasets": {"../up": SOURCE}}, ["datasets", "'../up'"]),
    "capital in a model name": ({"models.CE": {"loss": "supcon"}}, ["models", "'CE'"]),
    "options as a list": ({"heads": {"knn": [5]}}, ["heads.knn", "[5]", "object"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_config_is_refused_in_one_line_that_names_key_found_and_allowed(config, case):
    changes, expected = WRONG[case]
    with pytest.raises(ClxaiError, match=".*".join(map(re.escape, expected))) as error:
        check(changed(config, changes))
    assert "\n" not in str(error.value)


def test_first_error_is_the_outermost(config):
    config["study"]["seedz"] = [0]
    config["models"]["ce"]["augmentation"]["jitter"]["hue"] = 7
    with pytest.raises(ClxaiError, match="study: unknown key 'seedz'"):
        check_schema(config, SCHEMA)


@pytest.mark.parametrize(
    ("family", "name", "member", "options"),
    [
        ("heads", "knn", "knn", {"k": 20, "temperature": 0.07}),
        ("heads", "knn5", "knn", {"k": 5, "temperature": 0.07}),
        ("heads", "linear", "linear", {"C": 10.0}),
        ("heads", "knn9", "knn", {"temperature": 0.9}),
        ("methods", "early", "grad_cam", {"layer": "layer2"}),
        ("methods", "saliency", "saliency", {}),
        ("methods", "occlusion", "occlusion", {"stride": 2, "baseline": "mean"}),
    ],
)
def test_chosen_is_the_member_with_all_its_options(config, family, name, member, options):
    config["heads"] = {"knn": {"k": 20}, "knn5": {"head": "knn", "k": 5}, "knn9": {"head": "knn", "temperature": 0.9}}
    config["methods"] = {"early": {"method": "grad_cam", "layer": "layer2"}, "occlusion": {"stride": 2}}
    assert chosen(config, family, name) == (member, options)


def test_head_by_another_name_is_checked_like_its_member(config):
    config["heads"] = {"knn5": {"head": "knn", "k": 5000}}
    config["study"]["heads"] = ["knn5"]
    with pytest.raises(ClxaiError, match=r"heads\.knn5\.k must be at most the 1222 training images of digits\. Got 5000"):
        check_values(config)


def test_heads_that_need_a_classifier_are_left_out_for_contrastive_models(config):
    assert heads_of(config, "ce") == ["softmax", "linear", "knn", "mahalanobis"]
    assert heads_of(config, "supcon") == ["linear", "knn", "mahalanobis"]


@pytest.mark.parametrize(("default", "value"), [(0.0, 0), (0, 0), (1.0, 2), ("x", "y"), (True, False)])
def test_option_of_the_type_of_its_default_passes(default, value):
    check_options({"option": value}, {"option": default}, "here")


@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": 1}])
def test_option_without_a_type_allows_anything(value):
    check_options({"option": value}, {"option": None}, "here", {"option": 5} if value == 3 else None)


@pytest.mark.parametrize(
    ("default", "value", "message"),
    [
        ([1, 2], [1, -1], r"here\.option\.1 must be > 0"),
        ([1, 2], 3, "must be a list"),
        (["a"], [1], "must be a name"),
        ({}, 1, "a mapping"),
    ],
)
def test_option_in_a_list_is_of_the_type_of_the_first_default(default, value, message):
    check_options({"option": default}, {"option": default}, "here")
    with pytest.raises(ClxaiError, match=message):
        check_options({"option": value}, {"option": default}, "here")


LEAVES = {".".join(("config", *path)): (entry, required) for path, entry, required in leaves(SCHEMA)}


@pytest.mark.parametrize("path", LEAVES)
def test_every_key_is_described_typed_and_has_a_default_or_is_required(path):
    entry, required = LEAVES[path]
    assert entry["description"].endswith(".") or entry["description"].endswith(")")
    assert "type" in entry
    assert required or "default" in entry


def test_every_object_refuses_unknown_keys_or_says_what_they_are():
    free = {"config.models.*.loss_options", "config.models.*.network_options"}  # checked against what members declare
    for path, (entry, _) in {"config": (SCHEMA, True), **LEAVES}.items():
        if entry["type"] == "object" and path not in free:
            assert "additionalProperties" in entry, path


@pytest.mark.parametrize(
    ("path", "names"),
    [("config.models.*.precision", set(PRECISIONS))],
)
def test_enums_of_the_schema_are_the_names_of_the_code(path, names):
    assert set(LEAVES[path][0]["enum"]) == names


def test_splits_of_the_schema_are_those_of_the_code():
    assert list(LEAVES["config.datasets.*.limit"][0]["properties"]) == list(SPLITS)


def in_brackets(path):
    """The names that a description lists in round brackets."""
    return re.search(r"\(([^()]*)\)", LEAVES[path][0]["description"]).group(1).split(", ")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("config.study.heads", "heads"),
        ("config.datasets.*.source", "sources"),
        ("config.models.*.loss", "losses"),
        ("config.flipping.fills", "fills"),
        ("config.flipping.units", "units"),
    ],
)
def test_descriptions_list_exactly_what_is_declared(path, family):
    assert sorted(in_brackets(path)) == sorted(declared(family))


@pytest.mark.parametrize("family", ["heads", "fills", "units"])
def test_description_of_a_section_lists_the_options_of_its_family(family):
    found = re.findall(r"(\w+) \{([^{}:]*)\}", LEAVES[f"config.{family}"][0]["description"])
    known = {name: list(member.semantics["options"]) for name, member in declared(family).items() if member.semantics["options"]}
    assert {name: options.split(", ") for name, options in found} == known


def test_description_of_the_losses_lists_their_options():
    found = re.findall(r"(\w+) \((\w+)\)", LEAVES["config.models.*.loss_options"][0]["description"])
    known = [(option, name) for name, loss in declared("losses").items() for option in loss.semantics["options"]]
    assert sorted(found) == sorted(known)


def test_default_study_of_the_schema_is_the_default_config():
    written = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["study"]
    for key, value in written.items():
        assert LEAVES[f"config.study.{key}"][0]["default"] == value


keys = st.text("abc", min_size=1, max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def sorted_deeply(value):
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(map(sorted_deeply, value.values()))
    return all(map(sorted_deeply, value)) if isinstance(value, list) else True


@settings(max_examples=60, deadline=None)
@given(values)
def test_plain_keeps_the_values_and_sorts_the_keys_at_every_depth(value):
    assert plain(value) == value
    assert sorted_deeply(plain(value))


def test_plain_makes_equal_configs_print_equally():
    first = {"b": {"y": 1, "x": (1, 2)}, "a": [{"d": 0, "c": None}]}
    second = {"a": [{"c": None, "d": 0}], "b": {"x": [1, 2], "y": 1}}
    assert repr(plain(first)) == repr(plain(second)) == "{'a': [{'c': None, 'd': 0}], 'b': {'x': [1, 2], 'y': 1}}"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({}, "default"),
        ({"config/config.yaml": {}}, "default"),
        ({"config/config.yaml": {"study": None}, "config/fashionmnist.yaml": {}}, "fashionmnist"),
        ({"config/config.yaml": {}, "a.yaml": {}, "b.yaml": {"models": {}}}, "b"),
        ({"config/config.yaml": {}, "b.yaml": {"study": {"name": "mine"}}}, "mine"),
        ({"config/config.yaml": {}, "a.yaml": {"study": {"name": "mine"}}, "b.yaml": {"study": {"seed": 1}}}, "b"),
        ({"config/config.yaml": {}, "/x/My-Study.v2.yaml": {}}, "my_study_v2"),
    ],
)
def test_study_is_named_by_its_last_file_unless_that_names_it(config, files, name):
    for content in files.values():
        config["study"].update(content.get("study") or {})
    assert study_name(config, files) == name


def test_name_given_beside_the_files_counts(config):
    """As with --config and in a module."""
    config["study"]["name"] = "mine"
    assert study_name(config, {"a.yaml": {}}) == study_name(config, {}) == "mine"


def texts(value):
    """A config as Snakemake reads it from `--config`: every inner value a text."""
    return yaml.load(yaml.safe_dump(value), Loader=yaml.BaseLoader)


def test_config_of_texts_is_the_config(config):
    assert read_texts(texts(config), SCHEMA) == config


def test_options_without_a_schema_are_read_as_yaml():
    given = {"heads": {"knn": {"k": "7"}}, "methods": {"cam": {"method": "grad_cam", "layer": "layer2"}, "lrp": "null"}}
    assert read_texts(given, SCHEMA) == {
        "heads": {"knn": {"k": 7}},
        "methods": {"cam": {"method": "grad_cam", "layer": "layer2"}, "lrp": None},
    }


@pytest.mark.parametrize("text", ["8 images", "1e-3", "[", "", "2026-01-01"])
def test_text_that_is_no_number_stays_and_is_refused(config, text):
    config["flipping"]["steps"] = text
    with pytest.raises(ClxaiError, match=r"flipping\.steps: expected integer, got the string"):
        check_schema(read_texts(config, SCHEMA), SCHEMA)


def test_home_in_a_path_is_written_out(config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/reader")
    config["datasets"]["digits"]["path"] = "~/images.npz"
    assert read_texts(config, SCHEMA)["datasets"]["digits"]["path"] == "/home/reader/images.npz"


def test_home_of_nobody_is_a_path_that_does_not_exist(config):
    config["datasets"]["digits"].update({**SOURCE, "path": "~nobody-of-that-name/images"})
    with pytest.raises(ClxaiError, match="'~nobody-of-that-name/images' does not exist"):
        check(read_texts(config, SCHEMA))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [["supcon", "ce"], ["ce_matched", "ce"], ["ce_matched", "supcon"]]),
        ([["supcon", "ce_matched"]], [["supcon", "ce_matched"]]),
        ([], []),
    ],
)
def test_contrasts_are_the_named_pairs_or_every_later_model_minus_every_earlier(config, given, expected):
    config["study"]["models"], config["study"]["contrasts"] = ["ce", "supcon", "ce_matched"], given
    assert contrasts_of(config) == expected


def test_methods_are_matched_with_the_fills_that_are_their_baseline(config):
    methods = {"ig_zero": {"method": "integrated_gradients", "baseline": "zero"}, "edges": {"method": "sobel"}}
    shown = ["random", "edges", "saliency", "occlusion", "ig_zero"]
    fills = {"fills": {"grey": {"fill": "mean"}}, "flipping.fills": ["mean", "grey", "zero", "blur"]}
    config = changed(config, {"methods": methods, "study.methods": shown, **fills})
    check(config)
    found = params.summarise(config, None)
    assert found["matched"] == {"ig_zero": ["zero"], "occlusion": ["mean", "grey"]}
    assert found["blind"] == ["random", "edges"]


def test_declared_contrasts_are_filled_in_and_turn_the_pairs(config):
    config = changed(config, {"statistics.confirmatory": [{"model": "supcon", "minus": "ce_matched", "head": "knn"}]})
    check(config)
    found = params.summarise(config, None)
    pair = {"model": "supcon", "minus": "ce_matched", "quantity": "value", "metric": "srg_matched"}
    assert found["confirmatory"] == [{**pair, "method": "all", "head": "knn", "units": "grid", "fill": "mean"}]
    assert found["contrasts"] == [["supcon", "ce"], ["ce_matched", "ce"], ["supcon", "ce_matched"]]


def test_metrics_are_all_that_are_declared_or_those_that_are_named(config):
    assert metrics_of(config) == list(declared("metrics"))
    config["study"]["metrics"] = [*CHECKED_METRICS[::-1], "roughness"]
    assert metrics_of(config) == [*CHECKED_METRICS[::-1], "roughness"]


def test_metrics_are_code_of_the_summaries_alone(config):
    config["study"]["metrics"] = [*CHECKED_METRICS, "roughness"]
    chosen = members(config, "summarise", None)
    assert chosen == [("metrics", name) for name in (*CHECKED_METRICS, "roughness")]
    files = {file.name for file in code_of(LIBRARY.parent / "summarise.py", *chosen)}
    assert {"areas.py", "path.py"} <= files
    assert "monotonicity.py" not in files
