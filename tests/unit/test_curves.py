from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.flipping.curves import _Ranking, centroid_spread, check_clean, flip_curves, observer_of, plan_of
from clxai.flipping.engine import flip
from clxai.networks.embeddings import class_means, embed_dataset
from clxai.networks.inference import Encoder
from clxai.networks.models import Network
from clxai.runtime.artefacts import read_arrays, write_arrays
from project import grid

SETTINGS = {
    "fills": ["mean", "blur"],
    "steps": 6,
    "units": grid(4),
    "seed": 2,
    "batch_size": 8,
    "precision": "float32",
    "trajectories": 3,
    "bank_k": 5,
}


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:5].numpy())


@pytest.fixture(scope="module")
def saliency(few):
    return explain(few, "saliency", {}, 0)


@pytest.fixture(scope="module")
def curves(few, saliency):
    return flip_curves(few, saliency, SETTINGS)


def test_file_has_the_documented_axes_and_survives_writing(curves, few, tmp_path):
    heads = list(few.heads)
    assert dict(curves.sizes) == {
        "explained_by": 4, "scored_by": 4, "fill": 2, "order": 2, "image": 5, "step": 7, "trajectory": 3, "feature": 32,
        "y": 16, "x": 16,
    }  # fmt: skip
    assert curves["log_odds"].dims == ("explained_by", "scored_by", "fill", "order", "image", "step")
    assert curves["drift_l2"].dims == ("explained_by", "fill", "order", "image", "step")
    assert curves["explained_by"].values.tolist() == curves["scored_by"].values.tolist() == heads
    assert curves["fill"].values.tolist() == ["mean", "blur"]
    assert curves["order"].values.tolist() == ["morf", "lerf"]
    write_arrays(curves, tmp_path / "curves.nc")
    assert read_arrays(tmp_path / "curves.nc").equals(curves)


def test_fraction_is_the_share_of_units_that_are_gone(curves):
    np.testing.assert_allclose(curves["fraction"], np.array([0, 3, 5, 8, 11, 13, 16]) / 16)


def test_curves_start_at_the_explained_log_odds_and_target(curves, saliency):
    for head in saliency["head"].values:
        start = curves.sel(scored_by=head).isel(step=0)
        np.testing.assert_array_equal(curves["target"].sel(scored_by=head), saliency["target"].sel(head=head))
        for piece in start["log_odds"].values.reshape(-1, 5):
            np.testing.assert_allclose(piece, saliency["log_odds"].sel(head=head), rtol=1e-3, atol=1e-3)
        for piece in start["prediction"].values.reshape(-1, 5):
            np.testing.assert_array_equal(piece, saliency["target"].sel(head=head))


def test_trajectories_are_the_embedding_paths_of_the_first_images(curves, few, saliency):
    plan = plan_of(few, few.images, {**SETTINGS, "batch_size": 512})
    rank = _Ranking.of(torch.from_numpy(saliency["attribution"].values), few.index, plan).rank
    assert curves["trajectory"].values.tolist() == few.index[:3].tolist()
    for (explained, fill, order, group), _, path in flip(few.encoder, observer_of(few, 5), few.images, few.index, rank, plan):
        assert group == slice(0, 5)
        found = curves["trajectory_embedding"].values[explained, fill, order]
        np.testing.assert_allclose(found, path[:3], rtol=1e-4, atol=1e-4)


def test_more_trajectories_than_images_keep_all(few, saliency):
    stored = flip_curves(few, saliency, {**SETTINGS, "fills": ["mean"], "trajectories": 9})
    assert stored.sizes["trajectory"] == 5
    drift = np.linalg.norm(stored["trajectory_embedding"] - stored["trajectory_embedding"].isel(step=0), axis=-1)
    np.testing.assert_allclose(stored["drift_l2"], drift, rtol=1e-3, atol=1e-4)


def test_head_independent_method_is_repeated_as_if_flipped_for_every_head(few):
    random = explain(few, "random", {}, 1)
    once = flip_curves(few, random, SETTINGS)
    each = flip_curves(few, random.assign_attrs(per_head=1), SETTINGS)
    for name in once.data_vars:
        np.testing.assert_allclose(once[name], each[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for other in range(1, 4):
        np.testing.assert_array_equal(once["probability"][other], once["probability"][0])


def test_centroid_distance_is_to_the_class_that_the_explaining_head_predicts(curves, few):
    bank, labels = few.training_bank()
    for number, head in enumerate(few.heads.values()):
        target = head.predict(few.embeddings)
        for image in range(3):
            centroid = bank[labels == target[image]].mean(dim=0)
            path = torch.from_numpy(curves["trajectory_embedding"].values[number, 1, 1, image])
            found = curves["centroid_distance"].values[number, 1, 1, image]
            np.testing.assert_allclose(found, (path - centroid).norm(dim=1), rtol=1e-3)


def test_ties_and_degenerate_maps_are_counted_per_head_and_image(few, saliency):
    changed = saliency.copy(deep=True)
    changed["attribution"][1, 0] = 0.0
    changed["attribution"][2, 3, 0, 0] = np.nan
    changed["attribution"][3, 4] = np.kron([[1.0, 0.0, 0.0, 2.0]] * 4, np.ones((4, 4)))
    changed["attribution"][3, 4, :4, :4] = 5.0
    stored = flip_curves(few, changed, {**SETTINGS, "fills": ["mean"]})
    expected = np.zeros((4, 5))
    expected[1, 0] = expected[2, 3] = 1
    np.testing.assert_array_equal(stored["degenerate"], expected)
    assert float(stored["tie_fraction"][1, 0]) == 1.0
    assert float(stored["tie_fraction"][3, 4]) == pytest.approx(15 / 16)
    assert np.isfinite(stored["log_odds"]).all()


def test_embeddings_of_another_model_are_refused(few, saliency):
    torch.manual_seed(1)
    stranger = Encoder(Network(few.encoder.architecture))
    strange = embed_dataset(stranger, few.data, torch.device("cpu"), "stranger")["embedding"].values
    with pytest.raises(ClxaiError, match=r"embeddings differ from embeddings\.nc by .*allowed 0\.001.*do not belong together"):
        flip_curves(replace(few, all_embeddings=torch.from_numpy(strange)), saliency, SETTINGS)


@pytest.mark.parametrize(("difference", "refused"), [(5e-4, False), (2e-3, True)])
def test_clean_embeddings_may_differ_by_rounding_only(difference, refused):
    stored = torch.eye(3)
    met = stored.clone()
    met[1, 1] += difference
    if refused:
        with pytest.raises(ClxaiError, match=r"differ from embeddings\.nc by 0\.002"):
            check_clean(met, stored, 1e-3)
    else:
        check_clean(met, stored, 1e-3)


def test_attributions_of_other_heads_are_refused(few, saliency):
    some = replace(few, heads={name: few.heads[name] for name in ("linear", "knn")})
    with pytest.raises(ClxaiError, match=r"explain heads \['softmax', .*the study has \['linear', 'knn'\]"):
        flip_curves(some, saliency, SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bank_k": 500}, r"flipping\.bank_k must be at most the 200 training images\. Got 500"),
        ({"units": grid(5, 4)}, r"units\.grid\.height must tile 16 px: one of \[1, 2, 4, 8\]\. Got 5"),
        ({"steps": 17}, r"flipping\.steps must be in 1\.\.16, the least number of units of an image by units\.grid\. Got 17"),
    ],
)
def test_settings_that_do_not_fit_the_run_are_refused(few, saliency, changes, message):
    with pytest.raises(ClxaiError, match=message):
        flip_curves(few, saliency, {**SETTINGS, **changes})


def test_class_means_are_means_of_the_members():
    embeddings = torch.tensor([[1.0, 0.0], [3.0, 2.0], [10.0, 10.0]])
    assert class_means(embeddings, torch.tensor([1, 1, 0]), 2).tolist() == [[10.0, 10.0], [2.0, 1.0]]


def test_centroid_spread_is_the_mean_distance_between_classes():
    assert centroid_spread(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])) == pytest.approx((5 + 8 + 5) / 3)
