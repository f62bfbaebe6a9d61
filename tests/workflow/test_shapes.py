"""Images of other shapes than the digits', from an npz file to the last figure: not square, and at 64 px by other networks."""

import copy
import csv

import numpy as np
import pytest
import xarray
import yaml

pytestmark = pytest.mark.campaign
HEIGHT, WIDTH = 32, 48
FILLS = ["mean", "blur", "noise", "linear", "nun"]
STUDY = {
    "study": {
        **{"datasets": ["wide"], "models": ["ce"], "seeds": [0], "heads": ["softmax", "knn"]},
        "methods": ["random", "saliency", "integrated_gradients", "grad_cam", "lrp", "occlusion", "oracle"],
    },
    "samples": {"evaluation": {"images": 6}},
    "datasets": {"wide": {"source": "npz", "path": "wide.npz"}},
    "models": {
        "ce": {
            **{"loss": "cross_entropy", "epochs": 4, "batch_size": 20, "network_options": {"width": 4}},
            "augmentation": {"crop_padding": 2, "resized_crop": [0.7, 1.0], "flip": True},
        }
    },
    "methods": {"occlusion": {"window": 8, "stride": 8}, "integrated_gradients": {"steps": 32}},
    "units": {"grid": {"height": 8, "width": 4}},
    "flipping": {"fills": FILLS, "steps": 6, "trajectories": 2},
    "statistics": {"bootstrap_draws": 100},
    "checks": {
        **{"accuracy": None, "alpha": 0.000001, "degenerate_share": 1.0},
        "warn": ["completeness", "lrp_conservation", "degenerate_share", "leak", "oracle"],
    },
}


def bars(n_images, height, width, channels):
    """Images [image, y, x, channel] of noise with a bright bar, across (class 0) or down (class 1), their classes, the bars."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 90, (n_images, height, width, channels), dtype=np.uint8), np.arange(n_images) % 2
    evidence = np.zeros(images.shape[:3], np.uint8)
    evidence[labels == 0, height // 2 - 4 : height // 2 + 4] = 1
    evidence[labels == 1, :, width // 2 - 4 : width // 2 + 4] = 1
    images += 150 * evidence[..., None]
    return images, labels, evidence


@pytest.fixture
def oblong(fresh):
    """The project with a finished study of images of 32 x 48 px."""
    run(fresh, STUDY, *bars(160, HEIGHT, WIDTH, 3))
    return fresh


def run(project, study, images, labels, evidence):
    """Run a study of one data set, an npz file of its name."""
    (name,) = study["study"]["datasets"]
    np.savez(project.folder / f"{name}.npz", train_images=images, train_labels=labels, train_evidence=evidence)
    (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(study))
    process = project.snakemake("--cores", "2", config=f"{name}.yaml")
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]


def test_oblong_images_run_from_the_file_to_the_figures(oblong):
    home = oblong.folder / "results" / "wide"
    assert np.load(home / "data" / "images.npy", mmap_mode="r").shape == (160, 3, HEIGHT, WIDTH)
    run = home / "ce" / "seed0"
    for method in STUDY["study"]["methods"]:
        with xarray.open_dataset(run / "attributions" / "evaluation" / f"{method}.nc") as maps:
            assert dict(maps["attribution"].sizes) == {"head": 2, "image": 6, "y": HEIGHT, "x": WIDTH}
        with xarray.open_dataset(run / "curves" / "evaluation" / "grid" / f"{method}.nc") as curves:
            assert curves.sizes["step"] == 7
    study = oblong.folder / "results" / "studies" / "wide" / "wide"
    assert {"gallery_ce.svg", "srg.svg", "trajectories.svg"} <= {path.name for path in (study / "figures").iterdir()}
    with (study / "tables" / "checks.csv").open() as file:
        rows = [row["check"] for row in csv.DictReader(file)]
    assert all(any(f"random srg is 0, fill {fill} " in row for row in rows) for fill in FILLS)
    assert sum(row.startswith("oracle is ") for row in rows) == 2 * 6 * len(FILLS)
    with (study / "tables" / "summary.csv").open() as file:
        assert {row["fill"] for row in csv.DictReader(file)} == {*FILLS, "all"}
    with (study / "tables" / "maps.csv").open() as file:
        shares = {row["method"]: row for row in csv.DictReader(file)}
    assert {method: float(row["relevance_mass"]) == 1 for method, row in shares.items()} == {
        method: method == "oracle" for method in STUDY["study"]["methods"]
    }
    assert float(shares["random"]["evidence_share"]) == pytest.approx((8 / HEIGHT + 8 / WIDTH) / 2, abs=0.01)


def test_cnn_and_resnet50_run_at_64_px(fresh):
    study = copy.deepcopy(STUDY)
    recipe = {"loss": "cross_entropy", "epochs": 2, "batch_size": 20, "network_options": {"width": 4}}
    study["study"] |= {"datasets": ["square"], "models": ["cnn", "resnet50"], "heads": ["linear"], "methods": ["random", "lrp"]}
    study["study"]["figures"] = ["srg"]
    study["datasets"] = {"square": {"source": "npz", "path": "square.npz"}}
    study["models"] = {"cnn": {**recipe, "network": "cnn"}, "resnet50": {**recipe, "network": "resnet50", "loss": "supcon"}}
    study["units"]["grid"] = {"height": 16, "width": 16}
    study["flipping"]["fills"] = ["linear"]
    run(fresh, study, *bars(100, 64, 64, 1))
    for model, features in (("cnn", 32), ("resnet50", 128)):
        home = fresh.folder / "results" / "square" / model / "seed0"
        with xarray.open_dataset(home / "embeddings.nc") as embeddings:
            assert embeddings["embedding"].shape == (100, features)
        with xarray.open_dataset(home / "curves" / "evaluation" / "grid" / "lrp.nc") as curves:
            assert curves.sizes["step"] == 7
            assert np.isfinite(curves["log_odds"]).all()
