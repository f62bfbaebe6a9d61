"""A training that was killed and started again is, byte for byte, the training that was not killed."""

import json
import math
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.losses.base import LOSSES
from clxai.networks.models import save_network
from clxai.runtime.artefacts import read_tensors, write_record, write_table, write_tensors
from clxai.training import resuming, training
from clxai.training.resuming import SideFile
from clxai.training.training import train

CPU = torch.device("cpu")
STRONG = {
    "crop_padding": 1,
    "resized_crop": [0.5, 1.0],
    "flip": True,
    "jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.0, "hue": 0.0, "probability": 0.8},
    "grey": 0,
}
NOISE = {"name": "noise", "fill": "noise", "options": {}}
SCRIPT = Path(resuming.__file__).parents[2] / "train_model.py"


class Killed(BaseException):
    """What happens to the process."""


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """Four epochs of a network of width 2, validated after the second and the fourth."""
    return {
        **tiny_recipe,
        "epochs": 4,
        "network_options": {"width": 2},
        "batch_size": 50,
        "warmup_epochs": 1.5,
        "validate_every": 2,
        "augmentation": STRONG,
    }


@pytest.fixture(scope="module")
def undisturbed(tiny_data):
    """Train a recipe without a side file: once for all tests that compare with it."""
    done = {}

    def training_of(recipe):
        key = json.dumps(recipe, sort_keys=True)
        if key not in done:
            done[key] = train(tiny_data.data, recipe, 0, CPU)
        return done[key]

    return training_of


@pytest.fixture
def side(tmp_path):
    """A side file that is saved after every epoch."""
    return SideFile(tmp_path / ".state" / "training.safetensors", (str(SCRIPT), training.__file__), pause=0.0)


@pytest.fixture
def dying(monkeypatch, tiny_data):
    """Train until the process dies in the epoch after `survived` ones, its weights already changed."""
    whole = training.train_epoch

    def run(recipe, side, survived, seed=0, start=None):
        left = iter(range(survived))

        def epoch(*arguments, **settings):
            loss = whole(*arguments, **settings)
            if next(left, None) is None:
                raise Killed
            return loss

        monkeypatch.setattr(training, "train_epoch", epoch)
        with pytest.raises(Killed):
            train(tiny_data.data, recipe, seed, CPU, side, start)
        monkeypatch.setattr(training, "train_epoch", whole)

    return run


def files_of(result, folder):
    """The bytes of what the rule writes."""
    folder.mkdir(exist_ok=True)
    save_network(result.network, folder / "model.safetensors")
    write_record(result.record(), folder / "training.json")
    write_table(pd.DataFrame(result.history, columns=training.HISTORY), folder / "history.csv")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same(found, expected, folder):
    assert files_of(found, folder / "found") == files_of(expected, folder / "expected")
    assert repr(found.history) == repr(expected.history)  # all digits, not only those of the table
    strides = [[value.stride() for value in result.network.state_dict().values()] for result in (found, expected)]
    assert strides[0] == strides[1]


@pytest.mark.parametrize("survived", [1, 2, 3])
@pytest.mark.parametrize("loss", ["cross_entropy", "supcon"])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_resumed_training_is_the_undisturbed_one(
    tiny_data, recipe, side, dying, undisturbed, tmp_path, capsys, optimiser, loss, survived
):
    recipe = {**recipe, "optimiser": optimiser, "loss": loss, "learning_rate": 0.05 if optimiser == "sgd" else 0.003}
    dying(recipe, side, survived)
    said = capsys.readouterr().out
    resumed = train(tiny_data.data, recipe, 0, CPU, side)
    assert f"resuming after epoch {survived} of 4, from {side.path}" in (log := capsys.readouterr().out)
    assert log.startswith(said)  # the log of the second attempt shows the whole training
    assert_same(resumed, undisturbed(recipe), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "constant"},
        {"momentum": 0.0},
        {"weight_decay": 0.0, "warmup_epochs": 0},
        {"validate_every": 3},
        {"keep": "best"},
        {"masks": {"share": 0.5, "units": {"units": "superpixels", "options": {"n_segments": 12}}, "fill": NOISE}},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_resumed_training_is_the_undisturbed_one_with_other_settings(tiny_data, recipe, side, dying, tmp_path, changes):
    recipe = {**recipe, **changes}
    dying(recipe, side, 2)
    assert_same(train(tiny_data.data, recipe, 0, CPU, side), train(tiny_data.data, recipe, 0, CPU), tmp_path)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_resumed_training_is_the_undisturbed_one_in_bfloat16(tiny_data, recipe, side, dying, tmp_path, optimiser):
    recipe = {**recipe, "precision": "bfloat16", "optimiser": optimiser, "learning_rate": 0.003}
    dying(recipe, side, 2)
    assert_same(train(tiny_data.data, recipe, 0, CPU, side), train(tiny_data.data, recipe, 0, CPU), tmp_path)


def test_training_may_die_again_and_again(tiny_data, recipe, side, dying, undisturbed, tmp_path, capsys):
    for survived in (1, 0, 1, 0, 1):
        dying(recipe, side, survived)
    assert "resuming after epoch 2 of 4" in capsys.readouterr().out
    assert_same(train(tiny_data.data, recipe, 0, CPU, side), undisturbed(recipe), tmp_path)


@pytest.mark.parametrize("survived", [1, 2, 3])
@pytest.mark.parametrize(
    ("accuracies", "best"),
    [((0.9, 0.5, 0.6, 0.2), 1), ((0.1, 0.9, 0.9, 0.2), 3), ((0.1, 0.2, 0.3, 0.4), 4)],
    ids=["before", "tie", "after"],
)
def test_best_epoch_is_kept_across_the_kill(tiny_data, recipe, side, dying, tmp_path, monkeypatch, survived, accuracies, best):
    recipe = {**recipe, "validate_every": 1, "keep": "best"}

    def scripted(values):
        left = iter(values)
        monkeypatch.setattr(training, "validation_accuracy", lambda *arguments: next(left))

    scripted(accuracies)
    undisturbed = train(tiny_data.data, recipe, 0, CPU)
    scripted(accuracies)
    dying(recipe, side, survived)
    scripted(accuracies[survived:])
    resumed = train(tiny_data.data, recipe, 0, CPU, side)
    assert (resumed.epoch, resumed.val_accuracy) == (best, max(accuracies))
    assert_same(resumed, undisturbed, tmp_path)


def layout(state):
    """Types and strides; the stride of an axis of length 1 says nothing."""
    steps = {
        key: [step for step, length in zip(value.stride(), value.shape, strict=True) if length > 1]
        for key, value in state.items()
    }
    return {key: (value.dtype, value.shape, steps[key]) for key, value in state.items()}


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_state_of_the_optimiser_comes_back_in_its_layout(tiny_data, recipe, side, dying, monkeypatch, optimiser):
    """Channels-last like the weights: another layout is slower, and on a GPU other kernels would compute it."""
    recipe, made, whole = {**recipe, "optimiser": optimiser}, [], training._optimiser
    monkeypatch.setattr(training, "_optimiser", lambda *arguments: made.append(whole(*arguments)) or made[-1])
    dying(recipe, side, 2)
    train(tiny_data.data, recipe, 0, CPU, side)
    train(tiny_data.data, recipe, 0, CPU)
    resumed, undisturbed = ([layout(state) for state in optimiser.state.values()] for optimiser in made[1:])
    assert resumed == undisturbed


def test_training_killed_after_its_last_epoch_trains_no_more(tiny_data, recipe, side, tmp_path, monkeypatch):
    """The process may die while it writes the outputs."""
    undisturbed = train(tiny_data.data, recipe, 0, CPU, replace(side, pause=math.inf))
    monkeypatch.setattr(training, "train_epoch", lambda *arguments: pytest.fail("an epoch was trained"))
    assert_same(train(tiny_data.data, recipe, 0, CPU, side), undisturbed, tmp_path)


def brighter(data):
    images = np.array(data.images)
    images[-1, 0, 0, 0] ^= 1
    return replace(data, images=images)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda setting: setting["recipe"].update(learning_rate=0.01), "recipe key learning_rate"),
        (lambda setting: setting["recipe"].update(augmentation={**STRONG, "crop_padding": 2}), "recipe key augmentation"),
        (lambda setting: setting.update(seed=1), "seed"),
        (lambda setting: setting.update(data=brighter(setting["data"])), "data set"),
        (lambda setting: setting.update(code="# edited"), "code clxai/training.py"),
        (lambda setting: setting.update(torch="2.6.0"), "PyTorch"),
        (lambda setting: setting.update(threads=2), "device"),
    ],
    ids=["rate", "augmentation", "seed", "data", "code", "torch", "threads"],
)
def test_state_of_another_training_is_ignored_and_says_why(
    tiny_data, recipe, side, dying, tmp_path, monkeypatch, capsys, change, named
):
    copied = tmp_path / "clxai" / "training.py"
    copied.parent.mkdir()
    copied.write_text("")
    side = replace(side, code=(str(copied),))
    dying(recipe, side, 1)
    setting = {"recipe": dict(recipe), "seed": 0, "data": tiny_data.data, "code": "", "torch": torch.__version__, "threads": 1}
    change(setting)
    copied.write_text(setting["code"])
    monkeypatch.setattr(torch, "__version__", setting["torch"])
    monkeypatch.setattr(torch, "get_num_threads", lambda: setting["threads"])
    arguments = (setting["data"], setting["recipe"], setting["seed"], CPU)
    capsys.readouterr()
    afresh = train(*arguments, side)
    message = f"the saved state is ignored and training starts afresh: {side.path}: saved with another {named}\n"
    assert capsys.readouterr().out.startswith(message)
    assert_same(afresh, train(*arguments), tmp_path)


def test_state_of_a_training_from_another_parent_is_ignored_and_one_from_the_same_goes_on(
    tiny_data, recipe, side, dying, tmp_path, capsys
):
    paths, child = [tmp_path / f"parent{seed}.safetensors" for seed in (0, 1)], {**recipe, "start": "parent"}
    for seed, path in enumerate(paths):
        save_network(training.build_network(tiny_data.data, recipe, seed), path)
    dying(child, side, 2, start=paths[0])
    kept = side.path.read_bytes()
    capsys.readouterr()
    other = train(tiny_data.data, child, 0, CPU, side, paths[1])
    assert "training starts afresh" in (said := capsys.readouterr().out) and "saved with another start\n" in said
    assert_same(other, train(tiny_data.data, child, 0, CPU, start=paths[1]), tmp_path)
    side.path.write_bytes(kept)
    resumed = train(tiny_data.data, child, 0, CPU, side, paths[0])
    assert "resuming after epoch 2 of 4" in capsys.readouterr().out
    assert_same(resumed, train(tiny_data.data, child, 0, CPU, start=paths[0]), tmp_path)


def damaged(content, kind):
    if kind == "flipped":
        where = random.Random(0).randrange(len(content) // 2, len(content))
        return content[:where] + bytes([content[where] ^ 16]) + content[where + 1 :]
    return {"empty": b"", "truncated": content[:-100], "halved": content[: len(content) // 2], "foreign": b"x" * 500}[kind]


@pytest.mark.parametrize("kind", ["empty", "truncated", "halved", "flipped", "foreign"])
def test_damaged_state_is_ignored_and_says_so(tiny_data, recipe, side, dying, undisturbed, tmp_path, capsys, kind):
    dying(recipe, side, 2)
    side.path.write_bytes(damaged(side.path.read_bytes(), kind))
    capsys.readouterr()
    afresh = train(tiny_data.data, recipe, 0, CPU, side)
    assert capsys.readouterr().out.startswith(f"the saved state is ignored and training starts afresh: {side.path}: ")
    assert_same(afresh, undisturbed(recipe), tmp_path)


def test_no_flipped_bit_of_a_state_passes(recipe, side, dying):
    """Bits anywhere in the file: header, record, weights. What is read is what was written, or refused."""
    dying(recipe, side, 2)
    mark = read_tensors(side.path)[1]["training"]["fingerprint"]
    expected, _ = resuming._read_fitting(side.path, mark)
    content, draw, refused = side.path.read_bytes(), random.Random(0), 0
    places = [*draw.sample(range(len(content)), 150), *draw.sample(range(9000), 150)]
    for where in places:
        side.path.write_bytes(content[:where] + bytes([content[where] ^ 1 << draw.randrange(8)]) + content[where + 1 :])
        try:
            found, _ = resuming._read_fitting(side.path, mark)
        except ClxaiError:
            refused += 1
        else:
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert refused >= 295  # a flip in the padding of the header changes nothing


def test_network_in_place_of_a_state_is_ignored(tiny_data, recipe, side, capsys):
    write_tensors({"a": torch.ones(2)}, {"kind": "network"}, side.path)
    train(tiny_data.data, {**recipe, "epochs": 1}, 0, CPU, side)
    assert "training starts afresh" in capsys.readouterr().out


def test_loss_that_is_not_finite_keeps_the_last_good_state_and_names_it(tiny_data, recipe, side, dying, monkeypatch, capsys):
    epochs, whole = iter(range(1, 5)), training.train_epoch

    def explode(*arguments):
        loss = whole(*arguments)
        return math.nan if next(epochs) == 3 else loss

    monkeypatch.setattr(training, "train_epoch", explode)
    with pytest.raises(ClxaiError) as error:
        train(tiny_data.data, recipe, 0, CPU, side)
    kept = f"the state after epoch 2 is kept in {side.path}"
    assert str(error.value) == f"the loss is nan in epoch 3 of 4: lower learning_rate; {kept}"
    tensors, record = read_tensors(side.path)
    record = record["training"]
    assert record["done"] == 2
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert [dict(row)["epoch"] for row in record["history"]] == [1, 2]


def test_weights_that_are_not_finite_never_replace_a_good_state(tiny_data, recipe, side, monkeypatch):
    """The loss of an epoch may still be finite when its last step ruins the weights."""
    epochs, whole = iter(range(1, 5)), training.train_epoch

    def ruin(network, *arguments):
        loss = whole(network, *arguments)
        if next(epochs) == 3:
            with torch.no_grad():
                network.top.bias.fill_(math.inf)
        return loss

    monkeypatch.setattr(training, "train_epoch", ruin)
    with pytest.raises(ClxaiError, match=r"in epoch 4 of 4: lower learning_rate; the state after epoch 2 is kept"):
        train(tiny_data.data, {**recipe, "validate_every": 4}, 0, CPU, side)


def test_saving_takes_at_most_a_twentieth_of_the_time(tiny_data, recipe, side, monkeypatch):
    """An epoch takes 10 s and a save 3 s: saved after the first epoch, every 60 s from then on, and after the last."""
    clock, saved = [0.0], []
    whole = training.train_epoch
    monkeypatch.setattr(resuming.time, "monotonic", lambda: clock[0])

    def epoch(*arguments):
        clock[0] += 10
        return whole(*arguments)

    def write(tensors, record, path):
        clock[0] += 3
        saved.append(record["training"]["done"])

    monkeypatch.setattr(training, "train_epoch", epoch)
    monkeypatch.setattr(resuming, "write_tensors", write)
    train(tiny_data.data, {**recipe, "epochs": 20, "batch_size": 200}, 0, CPU, replace(side, pause=20.0))
    assert saved == [1, 7, 13, 19, 20]


def test_training_without_a_side_file_writes_nothing(tiny_data, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "write_tensors", lambda *arguments: pytest.fail("a state was written"))
    train(tiny_data.data, {**recipe, "epochs": 1}, 0, CPU)


def test_remove_deletes_the_state_and_its_unfinished_copies_only(tmp_path):
    side = SideFile.beside(tmp_path / "model.safetensors", ["a.py"])
    assert side.path == tmp_path / ".state" / "training.safetensors"
    side.remove()  # nothing there yet
    side.path.parent.mkdir()
    for name in ("training.safetensors", ".training.safetensors.x1y2.safetensors", "other"):
        (side.path.parent / name).write_text("")
    side.remove()
    assert [path.name for path in side.path.parent.iterdir()] == ["other"]
    (side.path.parent / "other").unlink()
    side.remove()
    assert not side.path.parent.exists()


@pytest.mark.parametrize("loss", LOSSES)
def test_training_depends_on_no_global_random_stream(tiny_data, recipe, tmp_path, monkeypatch, loss):
    """Hence there is no random state to keep: epochs draw nothing from the streams, and nothing depends on them."""
    recipe, whole = {**recipe, "loss": loss, "validate_every": 1}, training.train_epoch
    expected = train(tiny_data.data, recipe, 0, CPU)

    def streams():
        return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002

    def epoch(*arguments):
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(len(seeds))
        before = streams()
        loss = whole(*arguments)
        seeds.append(streams() == before)
        return loss

    seeds = []
    monkeypatch.setattr(training, "train_epoch", epoch)
    with torch.random.fork_rng(devices=[]):
        assert_same(train(tiny_data.data, recipe, 0, CPU), expected, tmp_path)
    assert seeds == [True] * 4


JOB = """
import runpy, sys
from types import SimpleNamespace
sys.path.insert(0, {library!r})
snakemake = SimpleNamespace(
    scriptdir={library!r},
    log=[{folder!r} + "/train.log"],
    threads=1,
    resources={{"gpu": 1}},
    input=SimpleNamespace(images={images!r}, labels={labels!r}, start=[], code={code!r}),
    output=SimpleNamespace(**{{name: {folder!r} + "/" + file for name, file in
        dict(model="model.safetensors", record="training.json", history="history.csv").items()}}),
    wildcards=SimpleNamespace(dataset="digits", seed="0"),
    params=SimpleNamespace(config={recipe!r}),
)
runpy.run_path({script!r}, {{"snakemake": snakemake}})
"""


@pytest.mark.campaign
def test_process_killed_while_it_trains_leaves_the_same_files_after_a_second_start(tiny_data, recipe, tmp_path):
    """The real entry script in a process of its own, ended by SIGKILL."""
    recipe = {**recipe, "epochs": 30, "network_options": {"width": 4}, "batch_size": 20}
    settings = {"images": str(tiny_data.images), "labels": str(tiny_data.labels), "code": [training.__file__], "recipe": recipe}

    def start(folder):
        folder.mkdir(exist_ok=True)
        job = JOB.format(folder=str(folder), library=str(SCRIPT.parent), script=str(SCRIPT), **settings)
        return subprocess.Popen([sys.executable, "-c", job], cwd=tmp_path)

    assert start(tmp_path / "undisturbed").wait(timeout=300) == 0
    killed, log = start(tmp_path / "killed"), tmp_path / "killed" / "train.log"
    while not (log.exists() and "epoch 5 " in log.read_text()):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    assert killed.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert start(tmp_path / "killed").wait(timeout=300) == 0
    assert "resuming after epoch" in log.read_text()
    log.unlink()
    (tmp_path / "undisturbed" / "train.log").unlink()
    found, expected = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("killed", "undisturbed"))
    assert found.keys() == {"model.safetensors", "training.json", "history.csv"}
    assert found == expected
