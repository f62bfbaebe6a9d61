"""Configs that are right pass; of wrong ones the first error names key, what was found and what is allowed."""

import re

import pytest
from clxai.errors import ClxaiError
from clxai.measures.identities import CHECKED_METRICS
from clxai.planning.config import check_schema
from clxai.registry import declared
from project import MISSING, SCHEMA, changed, check

SOURCE = {"source": "folder", "path": "."}


def test_default_config_passes(config):
    check(config)


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
    "unknown section": (
        {"flippings": {}},
        ["config: unknown key 'flippings'", "Did you mean 'flipping'?", "Known: analyses, checks"],
    ),
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
        ["flipping.fills: unknown fill 'meen'", "'mean'?", "blur, linear, mean, noise, nun, row_mean, zero"],
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
    "warning of no check": (
        {"checks.warn": ["ig_completeness"]},
        ["checks.warn", "ig_completeness", "Did you mean 'completeness'"],
    ),
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
        ["statistics.confirmatory.0: unknown model 'cee'", "'ce'"],
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
    "figure of cells that are left out": (
        {"statistics.cross": False, "study.figures": ["srg", "cross"]},
        ["study.figures: 'cross' shows explanations of one head scored by another: set statistics.cross to true"],
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
