"""Exported projects have the structure that ViRelAy documents and its loader reads."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml
from clxai.errors import ClxaiError
from clxai.explorer.virelay import CLUSTERS, Explained, Shown, category, export, spectral

CLASSES = ("zero", "one", "two")


@pytest.fixture(scope="module")
def shown():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (14, 1, 6, 8), dtype=np.uint8), np.arange(14) % 2
    return Shown("digits", images, labels, CLASSES, rng.normal(size=(14, 2)))


@pytest.fixture(scope="module")
def explained():
    rng = np.random.default_rng(1)
    maps, targets = rng.normal(size=(14, 6, 8)).astype(np.float32), np.arange(14) % 2
    return Explained("ce", "grad_cam", "knn", maps, targets, rng.normal(size=(14, 3)))


@pytest.fixture(scope="module")
def project(shown, explained, tmp_path_factory):
    (path,) = export(shown, [explained], tmp_path_factory.mktemp("virelay"))
    return path


def record(project):
    return yaml.safe_load(project.read_text())["project"]


def test_project_names_its_files_from_where_it_lies(project):
    told = record(project)
    assert set(told) == {"name", "model", "label_map", "dataset", "attributions", "analyses"}
    files = [told["label_map"], told["dataset"]["path"], *told["attributions"]["sources"], *told["analyses"][0]["sources"]]
    assert all((project.parent / file).is_file() for file in files)
    assert told["dataset"]["type"] == "hdf5"
    assert (told["dataset"]["input_width"], told["dataset"]["input_height"]) == (8, 6)
    assert told["attributions"]["attribution_strategy"] == "predicted_label"


def test_dataset_holds_images_and_labels(project, shown):
    with h5py.File(project.parent / record(project)["dataset"]["path"]) as file:
        assert set(file) == {"data", "label"}
        assert file["data"].shape == (14, 3, 6, 8)
        assert np.array_equal(file["data"][:, 1], shown.images[:, 0])
        assert file["label"].dtype.kind == "u"
        assert file["label"][:].tolist() == shown.labels.tolist()


def test_label_map_names_the_classes(project):
    labels = json.loads((project.parent / record(project)["label_map"]).read_text())
    assert [label["index"] for label in labels] == [0, 1, 2]
    assert [label["name"] for label in labels] == list(CLASSES)
    assert [label["word_net_id"] for label in labels] == [category(label) for label in range(3)]


def test_attributions_sum_to_the_map_over_the_channels(project, explained):
    with h5py.File(project.parent / "attribution.h5") as file:
        assert set(file) == {"index", "attribution", "label", "prediction"}
        assert file["index"].dtype == np.uint32
        assert file["index"][:].tolist() == list(range(14))
        assert file["attribution"].dtype == np.float32
        assert np.allclose(file["attribution"][:].sum(axis=1), explained.maps, atol=1e-6)
        assert file["label"][:].tolist() == explained.targets.tolist()
        assert np.allclose(file["prediction"][:], explained.scores, atol=1e-6)


def test_analysis_has_categories_with_embeddings_and_clusters(project, shown, explained):
    """All images, and the classes with enough of them; the class that no image is taken for has none."""
    with h5py.File(project.parent / "analysis.h5") as file:
        assert set(file) == {"all", category(0), category(1)}
        for name, group in file.items():
            n_images = 14 if name == "all" else 7
            assert set(group) == {"index", "embedding", "cluster"}
            assert group["index"].dtype == np.uint32
            assert set(group["embedding"]) == {"spectral", "network"}
            assert group["embedding/spectral"].shape == (n_images, min(8, n_images))
            assert len(group["embedding/spectral"].attrs["eigenvalue"]) == group["embedding/spectral"].shape[1]
            assert set(group["cluster"]) == {"true-class", *(f"kmeans-{k:02d}" for k in CLUSTERS)}
            assert all(cluster.shape == (n_images,) and cluster.dtype.kind == "u" for cluster in group["cluster"].values())
        assert file[f"{category(1)}/index"][:].tolist() == np.flatnonzero(explained.targets == 1).tolist()
        assert np.allclose(file["all/embedding/network"][:], shown.plane, atol=1e-6)


def test_spectral_embedding_separates_what_is_not_connected():
    """Two far groups: two eigenvalues 0, and eigenvectors that are constant within each group up to the degree."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(12, 3)), 100 + rng.normal(size=(12, 3))])
    vectors, values = spectral(points)
    assert np.allclose(values[:2], 0, atol=1e-10)
    assert values[2] > 0.05
    signs = np.sign(vectors[:, :2]).round()
    assert len(np.unique(signs[:12], axis=0)) == 1
    assert len(np.unique(signs[12:], axis=0)) == 1


def test_equal_maps_give_equal_bytes(shown, explained, project, tmp_path):
    (again,) = export(shown, [explained], tmp_path)
    for name in ("attribution.h5", "analysis.h5", "project.yaml"):
        assert (again.parent / name).read_bytes() == (project.parent / name).read_bytes()


def test_too_few_images_are_refused(shown, tmp_path):
    few = replace(shown, images=shown.images[:5], labels=shown.labels[:5], plane=shown.plane[:5])
    with pytest.raises(ClxaiError, match=r"needs at least 6 images to cluster\. Got 5"):
        export(few, [], tmp_path)


def test_virelay_itself_reads_a_project(project, explained):
    """Where it is installed: the loader of the real program."""
    model = pytest.importorskip("virelay.model", reason="virelay is not installed")
    opened = model.Project(str(project))
    assert opened.get_sample(3).data.shape == (6, 8, 3)
    assert opened.get_attribution(3).labels[0].name == CLASSES[explained.targets[3]]
    (method,) = opened.get_analysis_methods()
    analysis = opened.get_analysis(method, category(1), "kmeans-02", "spectral")
    assert analysis.attribution_indices.tolist() == np.flatnonzero(explained.targets == 1).tolist()
    assert opened.get_attribution(3).render_heatmap("black-fire-red").shape[:2] == (6, 8)
    opened.close()
