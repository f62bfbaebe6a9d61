"""The library's layers: nothing imports upwards, no circle, and importing it changes nothing in the process."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from statistics import median

import pytest
from clxai.registry import LIBRARY, module_of

FILES = sorted(LIBRARY.rglob("*.py"))
# What may be imported, from the ground up: a module imports from its own line and from those above. Planning reads modules of
# any layer that need no torch, and is imported by the command alone, which stands on everything and on which nothing stands.
LAYERS = (
    ("errors", "names", "keys", "vocabularies"),
    ("randomness", "registry", "packages", "ranks"),
    ("options",),
    ("runtime",),
    ("data",),
    ("networks",),
    ("losses",),
    ("fills", "units"),
    ("training",),
    ("heads",),
    ("runs",),
    ("mask_bank",),
    ("amortising",),
    ("attribution",),
    ("analyses", "stability"),
    ("flipping",),
    ("design",),
    ("measures",),
    ("verdict",),
    ("figures", "exchange"),
    ("explorer",),
    ("fitted",),
    ("study",),
    ("api",),
)
ROOF = {"planning", "commands"}
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def room_of(module):
    return module.split(".")[1] if "." in module else ""


def imports_of(file):
    """Every module of the library that a file imports, at its top or inside functions, and what it takes from them."""
    modules = {module_of(other) for other in FILES}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "clxai")
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if node.module.split(".")[0] == "clxai":
                    yield whole if whole in modules else node.module


IMPORTS = {module_of(file): sorted(set(imports_of(file))) for file in FILES if file.name != "__init__.py"}


@pytest.mark.parametrize("module", IMPORTS)
def test_nothing_imports_upwards(module):
    own = room_of(module)
    if own in ROOF:
        return
    upwards = {other for other in IMPORTS[module] if room_of(other) != own and HEIGHT[room_of(other)] >= HEIGHT[own]}
    assert upwards == set()


def test_every_room_has_its_layer():
    rooms = {room_of(module) for module in IMPORTS}
    assert rooms - ROOF <= set(HEIGHT)


def test_no_module_imports_itself_through_others():
    TopologicalSorter(IMPORTS).prepare()


@pytest.mark.parametrize(("room", "by"), [("planning", {"planning", "commands"}), ("commands", {"commands"})])
def test_nothing_imports_what_stands_on_everything(room, by):
    importing = {module for module, others in IMPORTS.items() if room in map(room_of, others)}
    assert {room_of(module) for module in importing} <= by


def test_members_are_reached_through_their_family():
    """A module that imported a member would make it everybody's code."""
    from clxai.registry import PLACES, files_of

    members = {module_of(file) for family in PLACES for file in files_of(family).values()}
    assert not [(module, other) for module, others in IMPORTS.items() for other in others if other in members]


@pytest.mark.parametrize("file", [file for file in FILES if file.name == "__init__.py"], ids=lambda file: file.parent.name)
def test_packages_hold_a_docstring_and_nothing_else(file):
    """A re-export would tie siblings together in what reruns."""
    first, *others = ast.parse(file.read_text()).body
    assert isinstance(first.value.value, str)
    if file.parent != LIBRARY:
        assert others == []


def test_library_names_what_is_public_without_importing_it():
    """`__init__` is code of every job: an import of the library there would make all of it everybody's code."""
    (loader, *others) = ast.parse((LIBRARY / "__init__.py").read_text()).body[1:]
    assert ast.unparse(loader) == "from importlib import import_module"
    assert not [node for other in others for node in ast.walk(other) if isinstance(node, ast.Import | ast.ImportFrom)]


STATE = """
import gc, importlib, os, random, signal, sys, warnings
for name in {outside}:
    importlib.import_module(name)
import matplotlib, numpy, torch

def state():
    return {{
        "environment": dict(os.environ), "path": list(sys.path), "collection": gc.get_threshold(),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "warnings": list(warnings.filters), "figures": dict(matplotlib.rcParams),
        "threads": torch.get_num_threads(), "type": torch.get_default_dtype(), "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "cuda": torch.cuda.is_initialized(),
        "random": (random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()),
        "numpy errors": numpy.geterr(), "directory": os.getcwd(), "streams": (sys.stdout, sys.stderr),
    }}

os.register_at_fork = lambda **handlers: sys.exit("a handler of forks")
before = state()
for name in {library}:
    importlib.import_module(name)
print([key for key, value in state().items() if value != before[key]])
"""


def test_importing_the_library_changes_nothing_in_the_process():
    outside = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                outside |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                outside.add(node.module)
    outside = sorted(name for name in outside if name.split(".")[0] not in {"clxai", "snakemake"})
    program = STATE.format(outside=outside, library=[module_of(file) for file in FILES if file.name != "__init__.py"])
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize("script", sorted(LIBRARY.parent.glob("*.py")), ids=lambda script: script.stem)
def test_every_job_begins_before_its_other_imports(script):
    """What is edited while they go on is noticed, what they say is in the log."""
    lines = [ast.unparse(node) for node in ast.parse(script.read_text()).body]
    begun = lines.index("log_to(snakemake.log[0], snakemake.input.code)")
    before = [line for line in lines[:begun] if "import" in line.split() and "clxai" in line]
    assert before == ["from clxai.runtime.logs import log_to"]
    assert any(line.startswith("from clxai.") for line in lines[begun:])


def test_functions_are_short():
    """No function has more than 40 lines after its docstring, and half of them have six or fewer."""
    lengths = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lengths[f"{module_of(file)}.{node.name}, line {node.lineno}"] = (
                    node.end_lineno - body[0].lineno + 1 if body else 0
                )
    assert [name for name, length in lengths.items() if length > 40] == []
    assert median(lengths.values()) <= 6
