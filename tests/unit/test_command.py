"""The command `clxai`: what each subcommand prints, writes and refuses, and its exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from clxai import __version__
from clxai.commands import check, open_page
from clxai.commands.main import COMMANDS, main
from clxai.commands.new import CHECKOUT, lay_out
from clxai.commands.planned import Plan, one_line, plan_of
from clxai.commands.studies import find_study
from clxai.errors import ClxaiError
from clxai.registry import PLACES, declared
from project import SCHEMA


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with two finished studies, one of them of two data sets."""
    for place in ("one/digits", "two/digits", "two/letters"):
        (tmp_path / "results" / "studies" / place / "tables").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *arguments):
    """The one line that a refused command says."""
    assert main(arguments) == 1
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_has_examples_and_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  c" in text and "exit codes: 0 " in text
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize("arguments", [[], ["lst"], ["list", "method"], ["compare", "a"], ["new"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: clxai" in capsys.readouterr().err


def test_command_runs_as_a_program():
    command = [sys.executable, "-m", "clxai.commands.main", "--version"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, f"clxai {__version__}\n")


def test_new_lays_out_a_study_whose_config_is_right(tmp_path, capsys):
    from clxai.planning.filling import merged

    assert main(["new", str(tmp_path / "My-study")]) == 0
    assert "clxai check && snakemake" in capsys.readouterr().out
    laid = sorted(str(path.relative_to(tmp_path / "My-study")) for path in (tmp_path / "My-study").rglob("*") if path.is_file())
    profiles = [f"profiles/{name}/profile.yaml" for name in ("default", "slurm", "workstation")]
    assert laid == ["README.md", "Snakefile", "config/config.yaml", *profiles]
    assert f'CLXAI = "{CHECKOUT}"' in (tmp_path / "My-study" / "Snakefile").read_text()
    config = merged([tmp_path / "My-study" / "config" / "config.yaml"], CHECKOUT / "workflow" / "schemas" / "config.schema.yaml")
    assert config["study"]["name"] == "my_study"


def test_config_of_the_page_on_a_study_of_ones_own_is_right(tmp_path, monkeypatch):
    """docs/own_study.md, with its network, weights, images and maps: before the maps are there, and after."""
    from clxai.planning.filling import merged

    page = (CHECKOUT / "docs" / "own_study.md").read_text()
    (network, _), (config, theirs) = (re.findall(rf"```{kind}\n(.*?)```", page, flags=re.DOTALL) for kind in ("python", "yaml"))
    monkeypatch.chdir(tmp_path)
    images = {f"{split}_images": np.zeros((60, 32, 32, 3), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(60) % 3 for split in ("train", "val", "test")}
    np.savez("mine.npz", **images, **labels)
    Path("mine.pth").touch()
    np.save("maps.npy", np.zeros((30, 32, 32)))
    Path("my_network.py").write_text(network)
    with_maps = config.replace("grad_cam]", "grad_cam, theirs]").replace("methods:\n  grad_cam", f"methods:\n{theirs}  grad_cam")
    for text, n_methods in ((config, 4), (with_maps, 5)):
        Path("config.yaml").write_text(text)
        filled = merged([Path("config.yaml")], CHECKOUT / "workflow" / "schemas" / "config.schema.yaml")
        assert len(filled["study"]["methods"]) == n_methods


def test_files_of_a_new_study_keep_no_placeholder(tmp_path):
    for file in lay_out(tmp_path / "one", name="pilot"):
        assert "$" not in file.read_text(), file
    assert yaml.safe_load((tmp_path / "one" / "config" / "config.yaml").read_text()).keys() <= SCHEMA["properties"].keys()


def test_new_refuses_what_it_would_overwrite_or_cannot_name(tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "is not empty (it holds 'notes.txt')" in refused(capsys, "new", str(tmp_path / "full"))
    assert "is a file" in refused(capsys, "new", str(tmp_path / "full" / "notes.txt"))
    assert "lies in the checkout" in refused(capsys, "new", str(CHECKOUT / "docs" / "mine"))
    assert "is no checkout of CLXAI" in refused(capsys, "new", str(tmp_path / "a"), "--checkout", str(tmp_path))
    assert "--name must be small letters" in refused(capsys, "new", str(tmp_path / "a"), "--name", "My study")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize("family", PLACES)
def test_list_shows_every_member_with_its_options(family, capsys):
    assert main(["list", family]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [*declared(family)]
    assert main(["list", family, "--json"]) == 0
    records = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {name: one["options"] for name, one in records.items()} == {
        name: json.loads(json.dumps(member.semantics["options"])) for name, member in declared(family).items()
    }


def test_list_says_what_a_member_needs(capsys):
    main(["list", "fills"])
    text = capsys.readouterr().out
    assert "linear\n" in text and "    needs: mask\n    options: noise: 0.01" in text


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("one", "results/studies/one/digits"),
        ("results/studies/one", "results/studies/one/digits"),
        ("results/studies/two/letters", "results/studies/two/letters"),
    ],
)
def test_study_is_found_by_name_or_folder(home, given, found):
    assert str(find_study(given)) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("too", "unknown study 'too'. Did you mean 'two'"),
        ("two", "more than one study is meant, name its folder: results/studies/two/digits, results/studies/two/letters"),
        (None, "more than one study is meant, name one"),
    ],
)
def test_study_that_is_not_one_is_refused(home, given, message):
    with pytest.raises(ClxaiError, match=message):
        find_study(given)


def test_without_any_study_the_refusal_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClxaiError, match=r"no finished study below results/studies .*run `snakemake"):
        find_study()


def test_open_opens_the_page_or_says_what_makes_it(home, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(open_page.webbrowser, "open", opened.append)
    page = home / "results" / "studies" / "one" / "digits" / "explorer" / "index.html"
    made = "this makes it: snakemake --cores 2 results/studies/one/digits/explorer/index.html"
    assert made in refused(capsys, "open", "one")
    page.parent.mkdir()
    page.write_text("<html>")
    assert main(["open", "one"]) == 0
    assert main(["open", "one", "--print"]) == 0
    assert capsys.readouterr().out.split() == [page.as_uri()] * 2
    assert opened == [page.as_uri()]


def test_plan_counts_jobs_and_names_without_target_rules():
    jobs = {"prepare_data": 1, "train_model": 4, "models_all": 1, "all": 1, "default": 1, "total": 8}
    wildcards = [{}, *({"dataset": "digits", "model": model, "seed": seed} for model in ("ce", "supcon") for seed in ("2", "10"))]
    plan = plan_of(jobs, wildcards)
    assert plan.jobs == {"prepare_data": 1, "train_model": 4}
    assert plan.levels == {"dataset": ["digits"], "model": ["ce", "supcon"], "seed": ["2", "10"]}
    assert check.words(plan)[-3:] == ["jobs              5", "", "the config is right"]
    assert check.words(Plan()) == ["the config is right; nothing is left to run"]


def test_errors_of_snakemake_become_one_line():
    where = 'WorkflowError in file "/there/rules/common.smk", line 68:'
    text = f'{where}\nconfig: study: unknown key\n  File "/there/Snakefile", line 1\n'
    assert one_line(text) == "config: study: unknown key"


def test_check_takes_the_workflow_of_the_folder_before_that_of_the_checkout(tmp_path):
    assert check.snakefile_here(tmp_path) == CHECKOUT / "Snakefile"
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").touch()
    assert check.snakefile_here(tmp_path) == tmp_path / "workflow" / "Snakefile"
    with pytest.raises(ClxaiError, match="`clxai new DIR` lays out a study"):
        check.snakefile_here(tmp_path / "elsewhere", tmp_path)


def test_check_refuses_a_file_that_is_not_there(tmp_path, capsys):
    assert "absent.yaml: no such config file" in refused(capsys, "check", str(tmp_path / "absent.yaml"))
