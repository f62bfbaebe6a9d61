"""Images that are not square, from an npz file to the last figure."""

import numpy as np
import pytest
import xarray
import yaml

HEIGHT, WIDTH = 32, 48
STUDY = {
    "study": {
        **{"datasets": ["wide"], "models": ["ce"], "seeds": [0], "heads": ["softmax", "knn"]},
        "methods": ["random", "saliency", "integrated_gradients", "grad_cam", "lrp", "occlusion"],
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
    "flipping": {"fills": ["mean", "blur", "noise"], "steps": 6, "trajectories": 2},
    "statistics": {"bootstrap_draws": 100},
    "checks": {
        **{"accuracy": None, "alpha": 0.000001, "degenerate_share": 1.0},
        "warn": ["ig_completeness", "lrp_conservation", "degenerate_share"],
    },
}


def bars(n_images):
    """Images [image, y, x, channel] of noise with a bright bar, across (class 0) or down (class 1), and their classes."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 90, (n_images, HEIGHT, WIDTH, 3), dtype=np.uint8), np.arange(n_images) % 2
    images[labels == 0, 12:20] += 150
    images[labels == 1, :, 20:28] += 150
    return images, labels


@pytest.fixture
def oblong(fresh):
    """The project with a finished study of images of 32 x 48 px."""
    images, labels = bars(160)
    np.savez(fresh.folder / "wide.npz", train_images=images, train_labels=labels)
    (fresh.folder / "wide.yaml").write_text(yaml.safe_dump(STUDY))
    process = fresh.snakemake("--cores", "2", config="wide.yaml")
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    return fresh


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
