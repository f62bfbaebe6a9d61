"""Scores of all heads against one forward pass, and the soft k-nearest-neighbour head against scikit-learn's search."""

from collections.abc import Iterator

import torch
from clxai.heads.base import HEADS
from clxai.networks.inference import prepared_for_flipping
from clxai.networks.neighbours import search
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

BATCH = 128
_RTOL = 1e-4  # cosines nearer than this are ties: either item may come first


@torch.no_grad()
def scores_against_forward(setting: Setting, problem: problems.Problem) -> Comparison:
    """Score a batch of embeddings by all four heads, beside the forward pass that made it."""
    setting.use_threads(problem.threads)
    encoder = problems.encoder_of(problem, setting.device)
    encoder = prepared_for_flipping(encoder, "float32")
    heads = problems.heads_of(encoder, problem)
    images = problems.images_of(problem, BATCH, setting.device)
    embeddings = encoder(images)
    repeats = 20

    def ours() -> None:
        for _ in range(repeats):
            for head in heads.values():
                head.decide(embeddings)

    def peer() -> None:
        encoder.backbone(images)

    seconds = by_turns({"ours": ours, "peer": peer}, setting, warm_up=3)
    return Comparison(
        name=f"scores of all heads, {problem.name}",
        against="one forward pass of the same batch",
        ours=[second / repeats for second in seconds["ours"]],
        peer=seconds["peer"],
        at_most=0.03,
        note=f"{BATCH} images, {len(heads)} heads, bank of {problem.n_bank}, k = {heads['knn'].options['k']}",
    )


@torch.no_grad()
def neighbours_against_scikit_learn(setting: Setting) -> Comparison:
    """Soft votes of 512 queries in a bank of 50,000 x 512, beside the search alone of scikit-learn."""
    setting.use_threads(setting.threads)
    torch.manual_seed(problems.SEED)
    bank, queries = torch.rand(50_000, 512), torch.rand(512, 512)
    labels = torch.randint(problems.N_CLASSES, (len(bank),))
    head = HEADS["knn"].definition.fit(bank, labels, problems.N_CLASSES, {"k": 200, "temperature": 0.07}).to(setting.device)
    on_device = queries.to(setting.device)
    model = NearestNeighbors(n_neighbors=200, metric="cosine", algorithm="brute").fit(bank.numpy())
    distance, _ = model.kneighbors(queries.numpy())
    similarity, _ = search(functional.normalize(on_device, dim=1), head.bank, 200)
    difference = (similarity.sort(dim=1, descending=True).values.cpu() - torch.tensor(1 - distance)).abs().max()
    if difference > _RTOL:
        raise AssertionError(f"the cosines of the neighbours differ from scikit-learn's by {float(difference):.2g}")
    seconds = by_turns({"ours": lambda: head.decide(on_device), "peer": lambda: model.kneighbors(queries.numpy())}, setting)
    return Comparison(
        name="soft kNN scores, bank 50,000 x 512",
        against="scikit-learn, brute-force cosine search",
        **seconds,
        at_least=1.0,
        note=f"512 queries, k = 200; cosines of the neighbours equal to {float(difference):.1g}",
    )


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of the heads."""
    for problem in (problems.SMALL, problems.FULL):
        yield scores_against_forward(setting, problem)
    yield neighbours_against_scikit_learn(setting)
