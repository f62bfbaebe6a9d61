"""What two laboratories hand each other: the tidy table, comparison of numbers and artefacts, export and its manifest."""

import base64
import hashlib
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from clxai.commands.export import config_of, license_of, versions
from clxai.commands.main import main
from clxai.commands.new import CHECKOUT
from clxai.errors import ClxaiError
from clxai.exchange.comparing import CHANCE, compare
from clxai.exchange.crate import METADATA, named_information
from clxai.exchange.exporting import SUMMARY, Told, can_write_parquet, export
from clxai.exchange.inventory import compared, inventory
from clxai.exchange.sides import read_side
from clxai.exchange.tables import tidy
from clxai.runtime.artefacts import read_record, write_record, write_table
from invented import claims, contrasts, everything
from scipy import stats

RUNS = ("ce", "supcon")


def numbers(*intervals, name="difference", **columns):
    """A table with one number per metric."""
    rows = [
        {"metric": f"m{place}", name: sum(ends) / 2, "ci_low": ends[0], "ci_high": ends[1]}
        for place, ends in enumerate(intervals)
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def finished(tmp_path):
    """A finished study on the disk: invented tables, and files in the place of artefacts."""

    def make(home="lab", weights=b"weights", **tables):
        results = tmp_path / home / "results"
        study, found = results / "studies" / "invented" / "none", everything(**tables)
        for name, table in found.tables.items():
            write_table(table, study / "tables" / f"{name}.csv")
        maps = [
            {"model": "ce", "seed": 0, "units": "grid", "method": name, "head": "linear", "degenerate": 0.0}
            for name in ("ig", "ink")
        ]
        write_table(pd.DataFrame(maps), study / "tables" / "maps.csv")
        write_table(pd.DataFrame({"analysis": ["margin"]}), study / "tables" / "analyses.csv")
        write_record({key: value for key, value in asdict(found).items() if key != "tables"}, study / "verdict.json")
        files = [
            study / "logs" / "summarise.log",
            results / "none" / "data" / "labels.nc",
            results / "none" / "data" / ".watch.json",
        ]
        for run in (results / "none" / model / f"seed{seed}" for model in (*RUNS, "other") for seed in range(5)):
            files += [
                run / "model.safetensors",
                run / "logs" / "train_model.log",
                run / "curves" / "evaluation" / "grid" / "ig.nc",
                run / "analyses" / "evaluation" / "margin.nc",
            ]
            files += [
                run / "analyses" / "evaluation" / "of_another_study.nc",
                run / "curves" / "evaluation" / "grid" / "of_another_study.nc",
                run / "curves" / "evaluation" / "coarse" / "ig.nc",
            ]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(weights)
        return study

    return make


@pytest.fixture
def told():
    return Told(CHECKOUT, "study: {}\n", {"clxai": "1", "snakemake": "9"}, "MIT")


def test_tidy_has_each_number_once_with_its_interval():
    table = pd.DataFrame(
        [{"model": "ce", "seed": 3, "fraction": 0.125, "mean": 0.5, "ci_low": 0.4, "ci_high": 0.7, "ci_over": "images"}]
    )
    rows = tidy({"summary": table, "empty": table[:0]}).set_index("number")
    assert list(rows.index) == ["mean", "ci_over"]
    assert rows.loc["mean", ["table", "model", "seed", "fraction", "minus"]].tolist() == ["summary", "ce", "3", "0.125", ""]
    assert rows.loc["mean", ["value", "low", "high"]].tolist() == [0.5, 0.4, 0.7]
    assert rows.loc["ci_over", "text"] == "images" and np.isnan(rows.loc["ci_over", "value"])


def test_tidy_refuses_two_rows_of_the_same_names():
    with pytest.raises(ClxaiError, match="table summary holds two rows of summary m0"):
        tidy({"summary": pd.concat([numbers((0, 1)), numbers((0, 1))])})


@pytest.mark.parametrize(
    ("a", "b", "state", "within"),
    [
        ((0.0, 0.2), (0.0, 0.2), "equal", True),
        ((0.0, 0.2), (0.05, 0.25), "agree", True),
        ((0.0, 0.2), (0.1, 0.9), "agree", False),
        ((0.0, 0.2), (0.2, 0.4), "agree", False),
        ((0.0, 0.2), (0.21, 0.4), "differ", False),
        ((0.0, 0.2), (np.nan, np.nan), "moved", False),
    ],
)
def test_states_of_a_number(a, b, state, within):
    """Whether two intervals share a point, and whether each value lies in the other's interval."""
    row = compare({"t": numbers(a)}, {"t": numbers(b)}).rows.iloc[0]
    assert (row["state"], row["within"]) == (state, within)
    assert row["moved_by"] == pytest.approx(sum(b) / 2 - sum(a) / 2, nan_ok=True)


def test_verdict_is_equal_only_where_everything_is():
    tables = everything().tables
    assert compare(tables, tables).verdict == "equal"
    moved = {**tables, "models": tables["models"].assign(final_loss=0.5)}
    assert (
        compare(moved, {**moved, "models": moved["models"].assign(final_loss=0.6)}).verdict == "agree"
    )  # no interval, no conclusion
    assert compare(tables, moved).verdict == "differ"  # a column on one side alone


@pytest.mark.parametrize(("apart", "verdict"), [(1, "agree"), (2, "differ")])
def test_as_many_disjoint_intervals_as_chance_gives_are_no_difference(apart, verdict):
    """Of 100 intervals that moved, one may share no point with its counterpart."""
    one, other = [(0.0, 0.2)] * 100, [(0.3, 0.5)] * apart + [(0.1, 0.3)] * (100 - apart)
    assert compare({"t": numbers(*one)}, {"t": numbers(*other)}).verdict == verdict


def test_chance_is_above_what_independent_repetitions_give():
    """Two 95 % intervals of equal width share no point if their means are 2 * 1.96 standard errors apart."""
    disjoint = 2 * stats.norm.sf(2 * stats.norm.ppf(0.975) / np.sqrt(2))
    assert disjoint == pytest.approx(0.0056, abs=1e-4)
    assert disjoint < CHANCE


def test_a_conclusion_that_is_another_makes_a_difference():
    comparison = compare({"trust_claims": claims("none")}, {"trust_claims": claims("higher")})
    assert comparison.verdict == "differ"
    assert comparison.conclusions[["text_a", "text_b"]].to_numpy().tolist() == [["none", "higher"]]


@pytest.mark.parametrize(("family", "verdict"), [("confirmatory", "differ"), ("exploratory", "agree")])
def test_what_was_explored_is_no_conclusion(family, verdict):
    one = contrasts([(0.1, 0.3)]).assign(family=family)
    assert compare({"contrasts": one}, {"contrasts": one.assign(equivalent=True)}).verdict == verdict


def test_largest_move_is_counted_in_halves_of_the_wider_interval():
    one, other = numbers((0.0, 0.2), (0.0, 2.0)), numbers((0.1, 0.3), (0.4, 2.4))
    largest = compare({"t": one}, {"t": other}).largest(1)
    assert largest[["metric", "halves"]].to_numpy().tolist() == [["m0", pytest.approx(1.0)]]


def test_inventory_is_what_belongs_to_the_study(finished):
    found = {one.name: one for one in inventory(finished())}
    assert {name for name, one in found.items() if one.own} >= {"tables/summary.csv", "verdict.json"}
    assert found["data/labels.nc"].sha256 == hashlib.sha256(b"weights").hexdigest()
    assert found["ce/seed0/model.safetensors"].size == 7
    assert "ce/seed4/curves/evaluation/grid/ig.nc" in found
    assert "ce/seed4/analyses/evaluation/margin.nc" in found
    foreign = ("logs", "watch", "another", "coarse", "other/")
    assert [name for name in found if any(word in name for word in foreign)] == []


def test_inventory_refuses_a_folder_that_is_no_study(tmp_path):
    with pytest.raises(ClxaiError, match=r"is not the folder of a finished study: it has no tables/models\.csv"):
        inventory(tmp_path)


def test_artefacts_are_compared_by_digest():
    found = compared({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert found == {"equal": ["a"], "differ": ["b"], "only in A": ["c"], "only in B": ["d"]}


def test_named_information_is_that_of_the_rfc():
    """The example of RFC 6920, section 8.1: the SHA-256 of `Hello World!`."""
    digest = hashlib.sha256(b"Hello World!").hexdigest()
    assert named_information(digest) == "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"


@pytest.mark.parametrize("whole", [False, True])
def test_export_is_a_crate_whose_files_are_what_it_says(finished, told, tmp_path, whole):
    folder = export(finished(), tmp_path / "out", Told(**{**vars(told), "whole": whole}))
    entities = {one["@id"]: one for one in json.loads((folder / METADATA).read_text())["@graph"]}
    files = {key: one for key, one in entities.items() if "File" in one["@type"]}
    inside = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {METADATA}
    assert {key for key in files if not key.startswith("ni:")} == inside
    for key in inside:
        content = (folder / key).read_bytes()
        assert (files[key]["sha256"], files[key]["contentSize"]) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    assert ("results/ce/seed0/model.safetensors" in inside) == whole
    outside = [one for key, one in files.items() if key.startswith("ni:")]
    assert [base64.urlsafe_b64decode(one["@id"].partition(";")[2] + "=").hex() for one in outside] == [
        one["sha256"] for one in outside
    ]


def test_crate_is_a_run_of_a_workflow(finished, told, tmp_path):
    """What RO-Crate 1.1, Process Run Crate 0.5, Workflow Run Crate 0.5 and Workflow RO-Crate 1.0 require."""
    graph = json.loads((export(finished(), tmp_path / "out", told) / METADATA).read_text())["@graph"]
    entities = {one["@id"]: one for one in graph}
    assert len(entities) == len(graph)
    descriptor, root, run = entities[METADATA], entities["./"], entities["#run"]
    assert descriptor["about"] == {"@id": "./"} and {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert all(root[key] for key in ("name", "description", "datePublished", "license", "hasPart"))
    profiles = {one["@id"] for one in root["conformsTo"]}
    assert (
        profiles >= {f"https://w3id.org/ro/wfrun/{name}/0.5" for name in ("process", "workflow")} and profiles <= entities.keys()
    )
    workflow = entities[root["mainEntity"]["@id"]]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(workflow["@type"])
    assert entities[workflow["programmingLanguage"]["@id"]]["@type"] == "ComputerLanguage"
    assert (run["@type"], run["instrument"]) == ("CreateAction", root["mainEntity"])
    assert run["object"] == {"@id": "config.yaml"} and {"@id": "tables/summary.csv"} in run["result"]
    assert root["mentions"] == {"@id": "#run"}
    assert dangling(graph) == set()


def dangling(value):
    """The identifiers that are referred to in a graph and described nowhere, but for terms of vocabularies."""

    def referred(one):
        if isinstance(one, dict):
            if set(one) == {"@id"}:
                yield one["@id"]
            for inner in one.values():
                yield from referred(inner)
        elif isinstance(one, list):
            for inner in one:
                yield from referred(inner)

    known = {one["@id"] for one in value}
    return {
        name
        for name in referred(value)
        if name not in known and not name.startswith(("http://schema.org", "https://w3id.org/ro/crate"))
    }


def test_export_tells_all_numbers_and_artefacts(finished, told, tmp_path):
    study = finished()
    folder = export(study, tmp_path / "out", told)
    table = pd.read_parquet(folder / "results.parquet") if can_write_parquet() else pd.read_csv(folder / "results.csv.gz")
    assert len(table) == len(tidy(read_side(str(study)).tables))
    told_of = read_record(folder / SUMMARY)
    assert {one["name"]: one["sha256"] for one in told_of["artefacts"]} == {one.name: one.sha256 for one in inventory(study)}
    assert told_of["checks"] == {"pass": 1} and told_of["answer"]
    assert told_of["study"]["models"] == ["ce", "supcon"]


def test_export_refuses_a_folder_that_holds_something_and_leaves_nothing_half_done(finished, told, tmp_path):
    study = finished()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(ClxaiError, match="out is there already"):
        export(study, tmp_path / "out", told)
    (study / "tables" / "checks.csv").write_text("cut off")
    with pytest.raises(ClxaiError, match=r"checks\.csv: not a readable CSV table"):
        export(study, tmp_path / "other", told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "out"]


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({}, 0, "verdict: equal"),
        ({"weights": b"others"}, 0, "differ: ce/seed0/analyses/evaluation/margin.nc"),
        ({"trust_claims": claims("higher")}, 4, "verdict: differ"),
    ],
)
def test_compare_of_a_study_with_the_export_of_another(finished, told, tmp_path, monkeypatch, capsys, changes, code, says):
    own = {"trust_claims": claims("none")}
    there = export(finished("there", **own), tmp_path / "out", told)
    here = finished("here", **{**own, **changes})
    monkeypatch.chdir(here.parents[3])
    assert main(["compare", "invented", str(there), "--csv", str(tmp_path / "all.csv")]) == code
    assert says in capsys.readouterr().out
    assert "state" in pd.read_csv(tmp_path / "all.csv")


def test_compare_of_the_committed_runs(capsys):
    """Two kinds of CPU: all numbers are on both sides, nearly all intervals meet, some conclusions are others."""
    folder = f"{CHECKOUT}/docs/results/default"
    assert main(["compare", f"{folder}@AVX2", f"{folder}@AVX512"]) == 4
    assert "0 are on one side alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("docs/results/default", "holds the runs AVX2, AVX512: name one, as in"),
        ("docs/results/default@AVX1", r"unknown run of .*Known: AVX2, AVX512"),
        ("docs", "is no finished study"),
    ],
)
def test_what_is_no_side_is_refused(place, says):
    with pytest.raises(ClxaiError, match=says):
        read_side(f"{CHECKOUT}/{place}")


def test_config_of_an_export_is_that_of_the_study(tmp_path):
    from clxai.planning.filling import merged
    from clxai.planning.params import state_verdict

    default = CHECKOUT / "config" / "config.yaml"
    config = merged([default], CHECKOUT / "workflow" / "schemas" / "config.schema.yaml")
    design = {**state_verdict(config, None), "dataset": "digits", "seeds": [0, 1, 2]}
    assert config_of(design, [default]) == config
    (tmp_path / "fewer.yaml").write_text("study: {name: default, seeds: [7]}")
    assert config_of({**design, "seeds": [7]}, [tmp_path / "fewer.yaml"])["study"]["seeds"] == [7]  # over the checkout's default
    with pytest.raises(ClxaiError, match=r"fewer\.yaml is not the config of study 'default': .*name its files by --config"):
        config_of(design, [tmp_path / "fewer.yaml"])


def test_versions_and_licence_are_those_of_the_project():
    assert {"clxai", "numpy", "snakemake", "torch"} <= versions().keys()
    assert license_of(CHECKOUT) == "MIT"
