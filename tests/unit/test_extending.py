"""The examples of docs/extending.md do what they say."""

import numpy as np
import pytest
import torch
from clxai.registry import PLACES, members_of
from project import examples


@pytest.fixture
def example():
    """Run one complete file of docs/extending.md and return the member that it adds; the family is restored afterwards."""
    added = []

    def run(family):
        folder = PLACES[family].folder
        (text,) = [text for path, text in examples().items() if path.rpartition("/")[0].endswith(f"clxai/{folder}")]
        members = members_of(family)
        before = set(members._entries)
        exec(compile(text, family, "exec"), {})
        (name,) = set(members._entries) - before
        added.append((members, name))
        return members[name]

    yield run
    for members, name in added:
        del members._entries[name]


def test_source(example, config, tmp_path):
    """It passes all checks of the preparation."""
    from clxai.data.preparing import prepare

    entry = example("sources")
    prepare({**config["datasets"]["digits"], "source": entry.name, "size": None}, tmp_path / "images.npy", tmp_path / "labels.nc")
    assert np.load(tmp_path / "images.npy").shape == (400, 1, 16, 16)


def test_loss(example):
    """Gamma 0 is cross-entropy, gamma 2 is less."""
    entry = example("losses")
    torch.manual_seed(0)
    outputs, labels = torch.randn(8, 3), torch.randint(0, 3, (8,))
    plain = torch.nn.functional.cross_entropy(outputs, labels)
    assert torch.allclose(entry.definition(outputs, labels, gamma=0.0), plain)
    assert entry.definition(outputs, labels, **entry.options({})) < plain


def test_network(example):
    """Trained as it is or used for inference, with batch norms folded where it has any, it gives the same embeddings."""
    from clxai.networks.architecture import Architecture
    from clxai.networks.inference import Encoder
    from clxai.networks.models import Network

    entry = example("networks")
    shape, statistics = (8, 12), {"mean": (0.5,), "std": (0.2,)}
    network = Network(Architecture(entry.name, entry.options({}), shape, **statistics, n_classes=3, top="classifier")).eval()
    images = torch.rand(4, 1, *shape)
    assert network(images).shape == (4, 16)
    torch.testing.assert_close(Encoder(network)(images), network(images))


def test_head(example, tiny_run, tmp_path):
    """It fits, is stored, read again, and classifies most of its training images."""
    from clxai.heads.base import load_head, save_head

    entry = example("heads")
    bank, labels = tiny_run.training_bank()
    head = entry.definition.fit(bank, labels, tiny_run.data.n_classes, entry.options({}))
    save_head(head, entry.name, tmp_path / "head.safetensors")
    again = load_head(tmp_path / "head.safetensors", torch.device("cpu"))
    assert torch.equal(again(bank), head(bank))
    assert (again.predict(bank) == labels).float().mean() > 0.5


def test_method(example, tiny_run):
    """It explains every head with maps of the image's size."""
    from clxai.attribution.explaining import explain

    entry = example("methods")
    maps = explain(tiny_run, entry.name, {}, 0)["attribution"]
    assert maps.shape == (len(tiny_run.heads), len(tiny_run.index), *tiny_run.images.shape[-2:])
    assert np.isfinite(maps).all() and (maps >= 0).all() and (maps.max(("image", "y", "x")) > 0).all()


def test_analysis(example, tiny_run):
    """Training images are more typical of their class than of the others; the numbers are those of NumPy."""
    from clxai.analyses.analysing import analyse

    entry = example("analyses")
    found = analyse(tiny_run, entry.name, {}, 0)["cosine"]
    (bank, labels), own = tiny_run.training_bank(), tiny_run.embeddings[0].double().numpy()
    mean = bank[labels == tiny_run.heads["knn"].predict(tiny_run.embeddings)[0]].double().mean(dim=0).numpy()
    expected = own @ mean / np.linalg.norm(own) / np.linalg.norm(mean)
    assert found.sel(head="knn")[0].item() == pytest.approx(expected, abs=1e-5)


def test_metric(example):
    """Half of the probability is lost at a quarter removed; of a curve that stays up, never."""
    entry = example("metrics")

    class Curves:
        fraction = np.array([0, 0.25, 0.5, 1])

        def __call__(self, quantity, order="morf"):
            return np.array([[0.8, 0.4, 0.3, 0.1], [0.8, 0.7, 0.6, 0.5]])

    np.testing.assert_array_equal(entry.definition(Curves()), [0.25, 1])


def test_trust_measure(example):
    """Of two methods one is above the random map."""
    from clxai.measures.trust.base import Method, alone

    methods = [Method("random", "random", "control"), Method("lrp", "lrp", "propagation"), Method("cam", "cam", "cam")]
    panel = alone({"srg_matched": np.array([[[0.1, 0.2, 0.0]]])}, methods)
    assert example("trust").definition(panel)["srg"].tolist() == [[0.5]]


def test_fill(example, tiny_run):
    """Neighbouring pixels are of the two greys, whatever the image."""
    from clxai.fills.base import Canvas

    entry = example("fills")
    images = tiny_run.images
    canvas = Canvas(images, tiny_run.encoder.mean, tiny_run.index, seed=0)
    found = entry.definition(canvas, **entry.options({}))
    assert found.shape == images.shape
    assert found.unique().tolist() == [0.25, 0.75]
    assert (found.diff(dim=-1).abs() == 0.5).all()


def test_units(example):
    """Four units of the same size, for sides that are even."""
    labels = example("units").definition(torch.zeros(3, 1, 4, 6))
    assert labels.shape == (4, 6)
    assert labels.unique(return_counts=True)[1].tolist() == [6, 6, 6, 6]


def test_figure(example):
    """One bar a method, as long as its share."""
    import pandas as pd
    from clxai.figures.base import Study

    maps = pd.DataFrame({"method": ["lrp", "random", "lrp"], "unit_ties": [0.5, 0.0, 0.3]})
    study = Study("any", ["ce"], ["knn"], ["random", "lrp"], "mean", "grid", 0.05, tables={"maps": maps})
    (axis,) = example("figures").definition(study).axes
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([0, 40])
