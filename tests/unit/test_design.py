import pytest
import xarray
from clxai.artefacts import write_arrays
from clxai.design import design, read_runs
from snakemake.io import expand

SETTINGS = {"models": ["supcon", "ce"], "seeds": [2, 0], "methods": ["random", "lrp", "saliency"]}


def test_combinations_are_in_the_order_in_which_snakemake_expands_files():
    pattern = "{model}/seed{seed}/{method}.nc"
    files = expand(pattern, model=SETTINGS["models"], seed=SETTINGS["seeds"], method=SETTINGS["methods"])
    assert [pattern.format(**cell) for cell in design(SETTINGS, "model", "seed", "method")] == files


def test_only_the_named_factors_are_combined():
    assert design(SETTINGS, "model", "seed") == [
        {"model": "supcon", "seed": 2}, {"model": "supcon", "seed": 0}, {"model": "ce", "seed": 2}, {"model": "ce", "seed": 0}
    ]  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    for number in range(4):
        write_arrays(xarray.Dataset({"value": ("x", [number]), "large": ("x", [0])}), tmp_path / f"{number}.nc")
    return [str(tmp_path / f"{number}.nc") for number in range(4)]


def test_runs_are_read_beside_their_cell(paths):
    cells = design(SETTINGS, "model", "seed")
    found = [(cell, int(dataset["value"][0])) for cell, dataset in read_runs(cells, paths)]
    assert found == list(zip(cells, range(4), strict=True))


def test_variables_can_be_left_out(paths):
    for _, dataset in read_runs(design(SETTINGS, "model", "seed"), paths, leave_out=("large",)):
        assert list(dataset.data_vars) == ["value"]


def test_number_of_files_must_be_that_of_the_cells(paths):
    with pytest.raises(ValueError, match="shorter"):
        list(read_runs(design(SETTINGS, "model", "seed"), paths[:3]))
