"""The documents say what the code says: links, names, dependencies, the table of reruns, the code in the README."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from clxai.measures.metrics.base import METRICS
from clxai.planning import member_docs, module_docs
from clxai.planning.findings import LINE_WIDTH
from clxai.registry import LIBRARY, declared

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/results", "config", "profiles", "results")
DOCUMENTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
METHODS_TEXT = (ROOT / "docs" / "methods.md").read_text()
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}


def anchors(text):
    """The anchors that headings get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    """Every relative link names a file of the repository, and a heading in it where it has an anchor."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        file, _, anchor = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), f"{document.name}: {target} does not exist"
        assert not anchor or anchor in anchors(path.read_text()), f"{document.name}: {target}: no such heading"


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=lambda path: path.stem)
def test_prose_fits_a_screen(document):
    """Lines of at most 130 characters, but for tables and code."""
    text = re.sub("^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in text.splitlines() if len(line) > LINE_WIDTH and not line.startswith(("|", "    "))] == []


@pytest.mark.parametrize("family", ["losses", "heads", "methods"])
def test_declared_names_have_a_formula(family):
    """docs/methods.md and the README name everything that can be chosen."""
    readme = (ROOT / "README.md").read_text()
    for name in declared(family):
        assert f"`{name}`" in METHODS_TEXT, f"docs/methods.md lacks `{name}` of {family}"
        assert f"`{name}`" in readme, f"README.md lacks `{name}` of {family}"


def test_metrics_have_a_formula():
    """docs/methods.md names every metric, and no table row starts with one that is gone."""
    section = METHODS_TEXT.split("## 5.")[1].split("## 6.")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == set(METRICS)


def test_directions_of_metrics_are_those_of_the_code():
    """The column `better` of docs/methods.md, where it gives a direction of its own, is that of METRICS."""
    words = {"lower": -1, "higher": 1, "-": 0}
    for line in METHODS_TEXT.split("## 5.")[1].split("## 6.")[0].splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if line.startswith("| `") and cells[-1].rstrip(" |") in words:
            for name in re.findall(r"`(\w+)`", cells[0]):
                assert METRICS[name].semantics["better"] == words[cells[-1].rstrip(" |")], name


def test_table_of_modules_is_the_generated_one():
    """docs/architecture.md: what each module is about, and the rules that an edit of it reruns."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert module_docs.with_table(page) == page, "run: python -m clxai.planning.module_docs"


@pytest.mark.parametrize(
    ("page", "table"), [(member_docs.README, member_docs.shown_table), (member_docs.METHODS, member_docs.kept_table)]
)
def test_tables_of_members_are_the_generated_ones(page, table):
    """README.md and docs/methods.md list what the library declares."""
    text = page.read_text()
    assert "<!-- members, generated: metrics -->" in text
    assert member_docs.with_tables(text, table) == text, "run: python -m clxai.planning.member_docs"


def test_rows_of_members_follow_the_code_and_keep_their_formulae():
    """A member without a row gets one, a row of none goes, what is declared is corrected, what is written by hand stays."""
    page = (
        "before\n<!-- members, generated: fills -->\n| fill | removed pixels become | needs |\n| --- | --- | --- |\n"
        "| `zero`, `gone` | by hand \\| so | mask |\n| `lost` | nothing | image |\n<!-- end of members -->\nafter\n"
    )
    text = member_docs.with_tables(page, member_docs.kept_table)
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == {f"`{name}`" for name in declared("fills")}
    assert rows["`zero`"] == "| `zero` | by hand \\| so | nothing |"
    assert rows["`mean`"] == "| `mean` | The mean colour of the training set | nothing |"
    assert text.startswith("before\n") and text.endswith("<!-- end of members -->\nafter\n")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("errors", "nothing: it changes no result"),
        ("runtime/artefacts", "all"),
        ("training/training", "train_model"),
        ("losses/supcon", "train_model, where it is used"),
        ("planning/config", "none"),
    ],
)
def test_table_of_modules_says_what_an_edit_reruns(module, words):
    assert module_docs.reruns_of(LIBRARY / f"{module}.py") == words


def requirements(lines):
    """Names and version ranges of requirement strings."""
    return dict(re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in lines)


def project():
    """The project table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_environment_is_the_run_time_dependencies():
    """envs/clxai.yaml lists Python, the dependencies of the library and those of studies, same ranges, conda's names."""
    found = requirements(yaml.safe_load((ROOT / "envs" / "clxai.yaml").read_text())["dependencies"])
    assert found.pop("python") == project()["requires-python"]
    named = requirements([*project()["dependencies"], *project()["optional-dependencies"]["workflow"]])
    expected = {CONDA_NAMES.get(name, name): versions for name, versions in named.items()}
    assert found == expected


def test_every_dependency_is_pinned():
    """constraints.txt pins what pyproject.toml names, extras included."""
    pins = [line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    extras = [line for lines in project()["optional-dependencies"].values() for line in lines]
    named = {re.sub(r"[-_.]+", "-", name).lower() for name in requirements([*project()["dependencies"], *extras])}
    assert named <= pinned, f"constraints.txt lacks {sorted(named - pinned)}"


def test_version_of_the_citation():
    """CITATION.cff and CHANGELOG.md know the version of the library."""
    from clxai import __version__

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_item_of_the_report_has_a_caption():
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = {f"table_{name}.rst" for name in re.findall(r'\btable\("(\w+)"\)', rules)}
    named |= set(re.findall(r"workflow/report/(\w+\.rst)", rules))
    assert named == {path.name for path in (ROOT / "workflow" / "report").glob("*.rst")} - {"workflow.rst"}


def test_readme_names_every_config():
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in sorted((ROOT / "config").glob("*.yaml")) if f"`{path.name}`" not in readme] == ["config.yaml"]
