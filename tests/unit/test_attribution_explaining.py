import copy
import hashlib
import random
import re

import numpy as np
import pytest
import torch
from clxai.attribution.base import METHODS as REGISTERED
from clxai.attribution.base import Explanation
from clxai.attribution.checking import check_finite
from clxai.attribution.explaining import explain
from clxai.attribution.given import read_maps
from clxai.errors import ClxaiError
from clxai.fills.base import fill_images, fill_of
from clxai.heads.base import log_odds
from clxai.mask_bank.probing import fill_bank
from clxai.networks.models import lay_out
from clxai.planning.choices import options_of, reads_masks
from clxai.registry import Entry, fill_keywords
from clxai.runtime.artefacts import read_arrays, write_arrays
from clxai.runtime.memory import AT_ONCE, Most
from project import grid, installed_methods, marked

METHODS = {  # but those of files and of trained explainers
    name: entry
    for name, entry in installed_methods().items()
    if entry.semantics["borrows"] != "file" and not entry.semantics["learns"]
}
REMOVAL = {"units": grid(8), "fill": {"name": "zero", "fill": "zero", "options": {}}}
QUICK = {
    **{name: {"units": "grid", "fill": "zero"} for name in METHODS if reads_masks(name)},
    "best_order": REMOVAL,
    "worst_order": REMOVAL,
    "integrated_gradients": {"steps": 8, "most_steps": 8},
    "smoothgrad": {"samples": 4},
    "smoothgrad_sq": {"samples": 4},
    "gradient_shap": {"samples": 32, "references": 4},
    "shap_gradient": {"samples": 8, "references": 4},
    "shap_partition": {"max_evals": 20},
    "occlusion": {"window": 8, "stride": 8},
    "ablation_cam": {"layer": "layer1"},
    "borrowed": {"model": "ce", "seed": 1},  # as planning resolves them
    "degraded": {"share": 0.5},
    "wrong_class": {"of": "input_x_gradient"},
}


def explain_any(run, name, options, seed):
    """Explain by a method, with maps to borrow if it borrows any, and a mask bank if it reads one."""
    if reads_masks(name):
        return explain(run, name, {"units": "grid", "fill": "zero", **options}, seed, bank=bank_of(run, seed))
    lent = options_of("methods", name).get("of") if METHODS[name].semantics["borrows"] == "maps" else None
    return explain(run, name, options, seed, borrowed=None if lent is None else explain(run, lent, QUICK[lent], 0))


BANKS = {}  # by seed: all runs here look at the same images


def bank_of(run, seed):
    if seed not in BANKS:
        settings = {**REMOVAL, "masks": 64, "held_out": 0.25, "seed": seed, "batch_size": 64}
        BANKS[seed] = fill_bank(run, {**settings, "fill": {**REMOVAL["fill"], "seed": 0}})
    return BANKS[seed]


@pytest.fixture(scope="module")
def few(tiny_run):
    return marked(tiny_run.at(tiny_run.index[:5].numpy()))


@pytest.fixture(scope="module")
def explained(few):
    """Every declared method on the same images, computed once."""
    return {name: explain_any(few, name, QUICK.get(name, {}), 0) for name in METHODS}


@pytest.fixture
def global_generators(monkeypatch):
    """The states of torch's and NumPy's; Python's, on which the type checker of these tests draws, is closed to all others."""

    def refuse(*given, **named):
        raise AssertionError("a method draws from Python's global generator, or seeds it")

    for word in random.__all__:
        if getattr(getattr(random, word), "__self__", None) is random._inst:
            monkeypatch.setattr(random, word, refuse)
    return lambda: [repr(np.asarray(part).tolist()) for part in (torch.get_rng_state(), *_numpy_state())]


def _numpy_state():
    return np.random.get_state()  # noqa: NPY002 - the generator that libraries share


def hooks_of(module):
    """The hooks of a module and its parts, but for the one by which a backbone lays its inputs out."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = [
        (name, kind, hook) for name, part in module.named_modules() for kind in kinds for hook in getattr(part, kind).values()
    ]
    return [(name, kind) for name, kind, hook in found if hook is not lay_out]


@pytest.mark.parametrize("name", METHODS)
def test_method_gives_one_finite_map_per_head_and_image(explained, few, name):
    maps = explained[name]["attribution"]
    assert maps.dims == ("head", "image", "y", "x")
    assert maps.shape == (4, 5, 16, 16)
    assert maps["head"].values.tolist() == list(few.heads)
    assert maps["image"].values.tolist() == few.index.tolist()
    assert np.isfinite(maps).all()
    assert (maps.max(("y", "x")) > maps.min(("y", "x"))).mean() > 0.5


@pytest.mark.parametrize("name", METHODS)
def test_method_is_repeatable_and_leaves_the_network_the_heads_and_global_generators_alone(
    explained, few, name, global_generators
):
    parts = {"encoder": few.encoder, **few.heads}
    before = {part: copy.deepcopy(module.state_dict()) for part, module in parts.items()}
    modes = [module.training for module in parts.values()]
    states = global_generators()
    again = explain_any(few, name, QUICK.get(name, {}), 0)
    assert global_generators() == states
    np.testing.assert_array_equal(again["attribution"], explained[name]["attribution"])
    assert [module.training for module in parts.values()] == modes
    for part, module in parts.items():
        assert hooks_of(module) == []
        for key, value in module.state_dict().items():
            assert torch.equal(value, before[part][key]), f"{part}.{key} changed"


@pytest.mark.parametrize("name", METHODS)
def test_only_keyed_methods_depend_on_the_seed(explained, few, name):
    other = explain_any(few, name, QUICK.get(name, {}), 1)["attribution"].values
    same = np.array_equal(other, explained[name]["attribution"].values)
    assert same == (METHODS[name].semantics["seeding"] == "none")


@pytest.mark.parametrize("name", METHODS)
def test_only_methods_declared_per_head_depend_on_the_head(explained, name):
    maps = explained[name]["attribution"].values
    same = all(np.array_equal(maps[0], other) for other in maps[1:])
    assert same == (not METHODS[name].semantics["per_head"])


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if not entry.semantics["signed"]])
def test_unsigned_method_has_no_negative_values(explained, name):
    assert float(explained[name]["attribution"].min()) >= 0


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.semantics["signed"]])
def test_signed_method_has_both_signs(explained, name):
    assert float(explained[name]["attribution"].min()) < 0 < float(explained[name]["attribution"].max())


@pytest.mark.parametrize("name", METHODS)
def test_maps_do_not_depend_on_the_batch(explained, few, name, monkeypatch):
    monkeypatch.setitem(AT_ONCE, "explained", Most(2, 16))
    found, expected = explain_any(few, name, QUICK.get(name, {}), 0)["attribution"].values, explained[name]["attribution"].values
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.fixture
def small_memory(few, monkeypatch):
    """Make the network run out of memory above a number of rows; returns the numbers of rows that it was given."""
    seen, whole = [], few.encoder.backbone.forward

    def limit(most):
        def forward(inputs):
            seen.append(len(inputs))
            if len(inputs) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ...")
            return whole(inputs)

        monkeypatch.setattr(few.encoder.backbone, "forward", forward)
        return seen

    yield limit
    assert hooks_of(few.encoder) == []


NETWORK_METHODS = [  # those of other packages make batches of their own
    name
    for name, entry in METHODS.items()
    if "control" not in entry.semantics["families"] and not reads_masks(name) and entry.semantics["package"] is None
]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("name", [name for name in NETWORK_METHODS if name != "occlusion"])
def test_maps_are_the_same_when_memory_runs_out(explained, few, name, most, small_memory, capsys):
    options = {**QUICK, "integrated_gradients": {"steps": 8, "most_steps": 8}}
    seen = small_memory(most)
    found, expected = (
        explain_any(few, name, options.get(name, {}), 0)["attribution"].values,
        explained[name]["attribution"].values,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert max(seen) > most
    assert f"{name}: out of memory, going on with 2 at a time\n" in capsys.readouterr().out


def test_integrated_gradients_refine_alike_when_memory_runs_out(few, small_memory):
    """The median over the whole batch decides on the number of steps."""
    options = {"steps": 2, "most_steps": 16, "tolerance": 0.01}
    expected = explain(few, "integrated_gradients", options, 0)["n_steps"].values
    small_memory(1)
    np.testing.assert_array_equal(explain(few, "integrated_gradients", options, 0)["n_steps"].values, expected)
    assert len(set(expected.flat)) > 1


def test_occlusion_needs_memory_for_its_windows_of_one_image(explained, few, small_memory, capsys):
    small_memory(16)
    found, expected = (
        explain(few, "occlusion", QUICK["occlusion"], 0)["attribution"].values,
        explained["occlusion"]["attribution"],
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected.values).max())


@pytest.mark.parametrize("name", NETWORK_METHODS)
def test_image_that_does_not_fit_into_memory_is_refused_naming_the_keys(few, name, small_memory):
    small_memory(0)
    with pytest.raises(ClxaiError, match=rf"{name}: one item at a time does not fit .*: lower datasets\.<name>\.size or models"):
        explain_any(few, name, QUICK.get(name, {}), 0)


@pytest.mark.parametrize("name", METHODS)
def test_file_holds_the_declared_extras_and_semantics(explained, name, tmp_path):
    semantics = METHODS[name].semantics
    write_arrays(explained[name], tmp_path / "map.nc")
    stored = read_arrays(tmp_path / "map.nc")
    fixed = {"attribution", "target", "log_odds", "tie_fraction", "zero_fraction", "forward_equivalents"}
    truth = {"relevance_mass", "relevance_rank", "evidence_share"}  # the images of this run are marked
    shown = {"baseline_preview"} if stored.attrs["baseline"] != "none" else set()
    assert set(stored.data_vars) == fixed | truth | shown | set(semantics["extras"])
    assert stored.attrs["method"] == name
    assert stored.attrs["seed"] == 0
    for word in ("payload", "aligned_to", "scope", "scope_defined_by", "reduction", "signed", "seeding", "per_head", "complete"):
        assert stored.attrs[word] == semantics[word]
    assert stored.attrs["families"].split(", ") == list(semantics["families"])
    for option, default in semantics["options"].items():
        default = "layer4" if default == "last" else default  # what was meant by it
        given = QUICK.get(name, {}).get(option, default)
        given = given["name"] if isinstance(given, dict) else given  # of what the study names
        assert stored.attrs[f"option_{option}"] == given


def test_target_and_log_odds_are_the_heads_own_on_the_clean_image(explained, few):
    for name, head in few.heads.items():
        scores, prediction = head.decide(few.embeddings)
        stored = explained["saliency"].sel(head=name)
        assert stored["target"].values.tolist() == prediction.tolist()
        np.testing.assert_allclose(stored["log_odds"], log_odds(scores, prediction), rtol=1e-6)


def sha256_of(images):
    return hashlib.sha256(np.ascontiguousarray(images).tobytes() + f"float32 {list(images.shape)}".encode()).hexdigest()


@pytest.mark.parametrize("mode", ["mean", "noise"])
def test_baseline_is_recorded_with_mode_shape_and_digest(few, mode):
    stored = explain(few, "occlusion", {"window": 8, "stride": 8, "baseline": mode}, 7).attrs
    filled = fill_images(fill_of(mode), few.images, few.encoder.mean, few.index, 7)
    normalised = ((filled - few.encoder.mean) / few.encoder.std).numpy()
    assert stored["baseline"] == mode
    assert stored["baseline_shape"] == [5, 1, 16, 16]
    assert stored["baseline_sha256"] == sha256_of(normalised)


@pytest.mark.parametrize("name", [name for name in METHODS if reads_masks(name)])
def test_method_that_reads_a_mask_bank_has_its_baseline(explained, few, name):
    black = (torch.zeros_like(few.images) - few.encoder.mean) / few.encoder.std
    assert explained[name].attrs["baseline"] == "zero"
    assert explained[name].attrs["baseline_sha256"] == sha256_of(black.numpy())


def test_method_without_baseline_records_none(explained):
    assert explained["saliency"].attrs["baseline"] == "none"
    assert "baseline_sha256" not in explained["saliency"].attrs


def test_tie_and_zero_fractions_count_the_values_of_each_map(explained):
    stored = explained["grad_cam"]
    for head in range(4):
        for image in range(5):
            values = stored["attribution"].values[head, image].ravel()
            _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
            assert float(stored["tie_fraction"][head, image]) == pytest.approx((counts[inverse] > 1).mean())
            assert float(stored["zero_fraction"][head, image]) == pytest.approx((values == 0).mean())


def test_method_without_a_single_finite_map_is_refused():
    maps = np.ones((3, 4, 4))
    maps[0, 0, 0], maps[1, 1, 1] = np.nan, np.inf
    check_finite(maps, "saliency", "knn")
    maps[2, 3, 3] = np.nan
    with pytest.raises(ClxaiError, match="method 'saliency', head 'knn': none of 3 maps is finite"):
        check_finite(maps, "saliency", "knn")


def test_head_independent_method_is_computed_once(few, monkeypatch):
    calls = []
    entry = REGISTERED["random"]

    def counted(problem, options):
        calls.append(len(problem.images))
        return entry.definition(problem, options)

    monkeypatch.setitem(REGISTERED._entries, "random", type(entry)(entry.name, counted, entry.semantics))
    explain(few, "random", {}, 0)
    assert calls == [5]


@pytest.fixture
def averaged(monkeypatch):
    """A method that averages the maps of two others, each over its own largest value; returns the names it needs."""
    needs = ("saliency", "grad_cam")

    def mean_map(problem, options):
        maps = [problem.maps[name] / problem.maps[name].amax(dim=(1, 2), keepdim=True) for name in needs]
        assert [len(own) for own in maps] == [len(problem.images)] * 2
        return Explanation(torch.stack(maps).mean(dim=0)[:, None])

    semantics = fill_keywords({"families": ("perturbation",), "reduction": "none", "needs": needs}, REGISTERED.keywords, "test")
    monkeypatch.setitem(REGISTERED._entries, "averaged", Entry("averaged", mean_map, semantics))
    return needs


def test_method_is_given_the_maps_that_it_needs_of_its_own_head_and_images(averaged, explained, few, monkeypatch):
    monkeypatch.setitem(AT_ONCE, "explained", Most(2, 16))
    maps = {name: explained[name] for name in reversed(averaged)}
    found = explain(few, "averaged", {}, 0, {**maps, "random": explained["random"]})
    scaled = [maps[name]["attribution"] / maps[name]["attribution"].max(("y", "x")) for name in averaged]
    np.testing.assert_allclose(found["attribution"], (scaled[0] + scaled[1]) / 2, rtol=1e-5, atol=1e-6)
    assert found.attrs["needs"] == "saliency, grad_cam"


def test_maps_are_read_by_the_names_of_their_files(averaged, explained, few, tmp_path):
    for name in averaged:
        write_arrays(explained[name], tmp_path / f"{name}.nc")
    maps = read_maps([tmp_path / f"{name}.nc" for name in averaged])
    found, expected = (explain(few, "averaged", {}, 0, given) for given in (maps, {name: explained[name] for name in averaged}))
    np.testing.assert_array_equal(found["attribution"], expected["attribution"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps: maps.pop("grad_cam"), "method 'averaged' needs the maps of 'grad_cam'. Got saliency"),
        (
            lambda maps: maps.update(saliency=maps["saliency"].isel(image=[1, 0, 2, 3, 4])),
            "maps of 'saliency' are of other images",
        ),
        (
            lambda maps: maps.update(grad_cam=maps["grad_cam"].isel(head=[0, 1])),
            "maps of 'grad_cam' are of other images or heads",
        ),
    ],
    ids=["missing", "images", "heads"],
)
def test_maps_that_do_not_belong_are_refused(averaged, explained, few, change, message):
    maps = {name: explained[name] for name in averaged}
    change(maps)
    with pytest.raises(ClxaiError, match=re.escape(message)):
        explain(few, "averaged", {}, 0, maps)
