import pytest
import xarray
from clxai.design import design, joined, read_runs
from clxai.errors import ClxaiError
from clxai.runtime.artefacts import write_arrays
from snakemake.io import expand

SETTINGS = {"models": ["supcon", "ce"], "seeds": [2, 0], "methods": ["random", "lrp", "saliency"], "units": ["grid", "bands"]}


def test_combinations_are_in_the_order_in_which_snakemake_expands_files():
    pattern = "{model}/seed{seed}/{method}.nc"
    files = expand(pattern, model=SETTINGS["models"], seed=SETTINGS["seeds"], method=SETTINGS["methods"])
    assert [pattern.format(**cell) for cell in design(SETTINGS, "model", "seed", "method")] == files


def test_only_the_named_factors_are_combined():
    assert design(SETTINGS, "model", "seed") == [
        {"model": "supcon", "seed": 2}, {"model": "supcon", "seed": 0}, {"model": "ce", "seed": 2}, {"model": "ce", "seed": 0}
    ]  # fmt: skip


def test_methods_that_a_model_lacks_are_not_combined_with_it():
    cells = design({**SETTINGS, "absent": {"ce": ["lrp", "random"]}}, "model", "method")
    assert [(cell["model"], cell["method"]) for cell in cells] == [
        ("supcon", "random"), ("supcon", "lrp"), ("supcon", "saliency"), ("ce", "saliency")
    ]  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    """Files where the workflow puts them, each with a number of its own."""
    cells = design(SETTINGS, "model", "seed")
    found = [str(tmp_path / f"seed7/{cell['model']}/seed{cell['seed']}/embeddings.nc") for cell in cells]
    for number, path in enumerate(found):
        write_arrays(xarray.Dataset({"value": ("x", [number]), "large": ("x", [0])}), path)
    return found


def test_runs_are_read_beside_their_cell(paths):
    cells = design(SETTINGS, "model", "seed")
    found = [(cell, int(dataset["value"][0])) for cell, dataset in read_runs(cells, paths)]
    assert found == list(zip(cells, range(4), strict=True))


def test_variables_can_be_left_out(paths):
    for _, dataset in read_runs(design(SETTINGS, "model", "seed"), paths, leave_out=("large",)):
        assert list(dataset.data_vars) == ["value"]


@pytest.mark.parametrize("n_files", [3, 5])
def test_number_of_files_must_be_that_of_the_cells(paths, n_files):
    with pytest.raises(ClxaiError, match=f"{n_files} files for 4 runs"):
        joined(design(SETTINGS, "model", "seed"), (paths + paths)[:n_files])


@pytest.mark.parametrize("names", [("seed", "model"), ("model",), ("method", "model"), ("method", "units")])
def test_files_in_another_order_than_the_cells_are_refused(names):
    pattern = "results/digits/{model}/seed{seed}/curves/{units}/{method}.nc"
    cells = design(SETTINGS, "model", "seed", "units", "method")
    files = [pattern.format(**cell) for cell in cells]
    assert [path for _, path in joined(cells, files)] == files
    shuffled = sorted(files, key=lambda file: [cells[files.index(file)][name] for name in names][::-1])
    with pytest.raises(ClxaiError, match=r"expected the file of \w+ \w+, found that of \w+: the rule does not list its files"):
        joined(cells, shuffled)


def test_sample_is_the_folder_below_the_stage():
    cell, place = {"model": "ce", "seed": 1, "sample": "evaluation", "method": "lrp"}, "results/digits/ce/seed1"
    for path in (f"{place}/attributions/evaluation/lrp.nc", f"{place}/curves/evaluation/grid/lrp.nc"):
        assert joined([cell], [path]) == [(cell, path)]
    for path in (f"{place}/curves/other/grid/lrp.nc", f"{place}/attributions/lrp.nc"):
        with pytest.raises(ClxaiError, match=r"expected the file of sample evaluation, found that of (other|None)"):
            joined([cell], [path])


@pytest.mark.parametrize("path", ["elsewhere/lrp.nc", "seed2/lrp.nc", "supcon/seed/lrp.nc"])
def test_file_whose_place_names_no_run_is_refused(path):
    with pytest.raises(ClxaiError, match="expected the file of model supcon"):
        joined([{"model": "supcon", "seed": 2, "method": "lrp"}], [path])
