"""What a user brings for a model is checked while planning, as far as the config, a header or a declaration shows."""

import re

import pytest
from clxai.errors import ClxaiError
from clxai.planning.brought import weights_of
from clxai.planning.choices import heads_of, network_of, recipe_of
from clxai.planning.params import state_verdict, train_model
from clxai.planning.provenance import code_of, own_files
from clxai.planning.usage import members
from clxai.registry import LIBRARY
from project import check

FILE = '''"""A network of a stranger."""
import beside
from clxai.networks.base import network
from clxai.networks.blocks import SpatialMean


@network("build", layers=("body",), smallest=16, classifier="fc", lrp=None)
def build(options, channels):
    """Never run while planning."""
    raise RuntimeError
'''


@pytest.fixture
def bringing(config, tmp_path, monkeypatch):
    """A config of one seed whose model `ce` brings weights for a network in a file; changes of that model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "mine.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "damaged.safetensors").write_bytes(b"no header at all")
    (tmp_path / "mine0.pth").write_bytes(b"x")
    config["study"] |= {"models": ["ce", "supcon"], "seeds": [0], "methods": ["random", "saliency", "grad_cam"]}
    config["methods"] = {}

    def change(study=(), **changes):
        own = {
            "weights": "mine.safetensors",
            "epochs": 0,
            "network": "own.py:build",
            "network_options": {},
            "warmup_epochs": None,
        }
        config["models"]["ce"] |= {**own, **changes}
        config["study"] |= dict(study)
        return config

    return change


def test_a_model_may_bring_its_network_and_its_weights(bringing):
    config = bringing()
    check(config)
    assert network_of(config, "ce") == ("own.py:build", {})
    assert recipe_of(config, "ce")["weights"] == weights_of(config, "ce", 0) == "mine.safetensors"
    assert "weights" not in recipe_of(config, "supcon")
    assert heads_of(config, "ce")[0] == "softmax"


def test_a_model_without_a_loss_has_no_softmax_head_and_is_not_called_contrastive(bringing):
    config = bringing(loss="none")
    check(config)
    assert "softmax" not in heads_of(config, "ce")
    assert state_verdict(config, None)["contrastive"] == ["supcon"]


class Job:
    dataset, model, seed, method, sample = "digits", "ce", 0, "saliency", "evaluation"


@pytest.mark.parametrize("script", ["train_model", "embed_images", "fit_heads", "attribute"])
def test_a_file_and_what_it_imports_beside_it_are_inputs_of_each_job_that_builds_its_network(bringing, tmp_path, script):
    used = members(bringing(), script, Job)
    assert sorted(path.name for path in own_files(*used)) == ["beside.py", "own.py"]
    code = code_of(LIBRARY.parent / f"{script}.py", *used)
    assert LIBRARY / "networks/blocks.py" in code
    assert not {path.name for path in code} & {"beside.py", "own.py"}
    Job.model = "supcon"
    try:
        assert own_files(*members(bringing(), script, Job)) == ()
    finally:
        Job.model = "ce"


def test_published_networks_are_those_of_the_library_with_their_stem(bringing):
    config = bringing(network="torchvision/resnet50")
    assert network_of(config, "ce") == ("resnet50", {"width": 64, "stem": "large"})
    assert train_model(config, Job)["network"] == "resnet50"


def test_weights_of_each_seed_are_files_of_their_own(bringing):
    config = bringing(weights="mine{seed}.pth")
    check(config)
    assert weights_of(config, "ce", 0) == "mine0.pth"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "absent.pth"}, "models.ce.weights: 'absent.pth' does not exist"),
        ({"weights": "own.py"}, "models.ce.weights: own.py must end with .safetensors, .pt, .pth"),
        ({"weights": "damaged.safetensors"}, "models.ce.weights: damaged.safetensors is not a readable safetensors file"),
        ({"study": {"seeds": [0, 1]}}, "models.ce.weights: one file cannot stand for 2 trainings: put {seed} into its path"),
        ({"study": {"seeds": [0, 1]}, "weights": "mine{seed}.pth"}, "models.ce.weights: 'mine1.pth' does not exist"),
        ({"start": "supcon"}, "models.ce: give start or weights, not both. Got 'supcon' and 'mine.safetensors'"),
        ({"loss": "none", "epochs": 3}, "models.ce.epochs must be 0 for a model of loss none. Got 3"),
        ({"loss": "nonne"}, "models.ce.loss: unknown loss 'nonne'. Did you mean 'none'?"),
        ({"network": "resnet81"}, "models.ce.network: unknown network 'resnet81'. Did you mean 'resnet18'?"),
        ({"network": "torchvision/resnet81"}, "unknown network 'torchvision/resnet81'. Did you mean 'torchvision/resnet18'?"),
        ({"network": "absent.py:build"}, "models.ce.network: network 'absent.py:build': absent.py: no such file"),
        ({"network": "own.py:biuld"}, "models.ce.network: own.py: unknown network 'biuld'. Did you mean 'build'? Known: build."),
        ({"network": "beside.py:build"}, "models.ce.network: beside.py: unknown network 'build'. Known: none."),
        ({"network_options": {"width": 8}}, "models.ce.network_options: unknown option 'width'"),
        ({"network": "torchvision/resnet18", "network_options": {"stem": "small"}}, "stem is 'large' for torchvision/resnet18"),
        ({"study": {"methods": ["random", "lrp"]}}, "methods.lrp: lrp has no rules for network own.py:build of models.ce"),
        ({"randomise": ["layer4"]}, "models.ce.randomise: unknown layer 'layer4'"),
    ],
)
def test_what_cannot_be_brought_is_refused_before_any_job(bringing, changes, message):
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        check(bringing(**changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("smallest=16", "smallest=64"), "datasets.digits.size must be at least 64 px for models.ce (own.py:build)"),
        (("smallest=16", "smallest=16, size=(24, 32)"), "datasets.digits.size must be [24, 32] (height, width) for models.ce"),
        (('layers=("body",)', "layers=()"), "has no layers for class activation maps"),
        (("smallest=16, ", ""), "own.py, line 7: @network('build') lacks the keyword 'smallest'"),
        (("smallest=16", "smalest=16"), "unknown keyword 'smalest'. Did you mean 'smallest'?"),
        (("import beside", "import ("), "models.ce.network: own.py, line 2: not Python"),
    ],
)
def test_a_declaration_says_what_cannot_be_before_any_job(bringing, tmp_path, edit, message):
    (tmp_path / "own.py").write_text(FILE.replace(*edit) + f"# {message}\n")
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        check(bringing())
    assert "\n" not in str(refused.value)
