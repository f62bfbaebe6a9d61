import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.heads.base import log_odds


def occlusion_by_loops(run, head, window, stride, fill):
    """One image and one window at a time: what the log-odds lose, averaged over the windows that cover a pixel."""
    size, maps = run.images.shape[-1], []
    frozen, target = head.freeze(run.embeddings), head.predict(run.embeddings)

    def score(image, row):
        points = head.points(run.encoder(image[None]))
        return float(log_odds(frozen(points, torch.tensor([row])), target[row : row + 1]))

    for row, image in enumerate(run.images):
        total, covered, top = np.zeros((size, size)), np.zeros((size, size)), 0
        starts = [0]
        while starts[-1] + window < size:
            starts.append(starts[-1] + stride)
        for top in starts:
            for left in starts:
                place = (slice(top, min(top + window, size)), slice(left, min(left + window, size)))
                changed = image.clone()
                changed[(slice(None), *place)] = fill
                total[place] += score(image, row) - score(changed, row)
                covered[place] += 1
        maps.append(total / covered)
    return np.stack(maps)


@pytest.mark.parametrize("name", ["softmax", "knn"])
@pytest.mark.parametrize(("window", "stride"), [(6, 3), (8, 8), (5, 4)])
def test_occlusion_equals_a_plain_loop(few, name, window, stride):
    found = explain(few, "occlusion", {"window": window, "stride": stride}, 0)["attribution"].sel(head=name)
    expected = occlusion_by_loops(few, few.heads[name], window, stride, few.data.mean[0])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_occlusion_covers_with_the_configured_baseline(few):
    found = explain(few, "occlusion", {"window": 8, "stride": 8, "baseline": "zero"}, 0)["attribution"].sel(head="linear")
    expected = occlusion_by_loops(few, few.heads["linear"], 8, 8, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_occlusion_by_the_whole_image_is_the_loss_of_all_evidence(few):
    found = explain(few, "occlusion", {"window": 16, "stride": 16}, 0)["attribution"].sel(head="mahalanobis").values
    assert np.ptp(found.reshape(len(found), -1), axis=1).max() == 0
    mean = torch.full_like(few.images, few.data.mean[0])
    head = few.heads["mahalanobis"]
    target = head.predict(few.embeddings)
    lost = log_odds(head(few.embeddings), target) - log_odds(head(few.encoder(mean)), target)
    np.testing.assert_allclose(found[:, 0, 0], lost, rtol=1e-3)


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (0, 0), (4, 0)])
def test_window_that_leaves_gaps_or_exceeds_the_image_is_refused(few, window, stride):
    with pytest.raises(ClxaiError, match=rf"1 <= stride <= window <= 16\. Got stride {stride}, window {window}"):
        explain(few, "occlusion", {"window": window, "stride": stride}, 0)


def test_window_above_the_image_is_refused(few):
    with pytest.raises(ClxaiError, match=r"occlusion\.window must be at most the image size, 16\. Got 17"):
        explain(few, "occlusion", {"window": 17, "stride": 1}, 0)
