"""Fidelity and top-n classification on a tiny real CLIP, against full forward passes computed one by one in float64."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.activations import ActivationStore, extract
from engine.backbones import load_backbone
from engine.corpus import open_corpus
from engine.errors import InputError
from engine.inspection.heads import linear_probe
from engine.inspection.rest import rest_of_model
from engine.metrics.classification import ClassificationSums, fidelity, measure_spliced, recovered, references
from engine.metrics.topn import ClassAtoms, rank_atoms
from engine.sae import SparsemaxConfig, TopKConfig, build_sae

D = 16


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, labelled_pictures: Path, tiny_clip: str) -> SimpleNamespace:
    """A tiny CLIP, the activations of its middle block over labelled pictures, and a probe on its embeddings."""
    corpus = open_corpus(labelled_pictures)
    backbone = load_backbone(tiny_clip, -2, device="cpu")
    folder = tmp_path_factory.mktemp("store") / "store"
    extract(backbone, corpus, folder)
    store = ActivationStore.open(folder)
    labels = store.items["label"].to_numpy()
    train = store.rows("train")
    head = linear_probe(np.asarray(store.embeddings[train]), labels[train])
    rest, how = rest_of_model(backbone, store, lambda: corpus)
    assert "on the stored activations" in how
    return SimpleNamespace(corpus=corpus, backbone=backbone, store=store, head=head, rest=rest, train=train)


def trained(world: SimpleNamespace):
    """An SAE that reconstructs roughly."""
    sae = build_sae(SparsemaxConfig(d_model=D, n_atoms=32, scale=3.0, normalise="standardise", init="spread")).eval()
    tokens = torch.cat([world.store.item(int(row)) for row in world.train])
    sae.initialise(tokens, torch.Generator().manual_seed(0))
    return sae


def known(world: SimpleNamespace, rows: np.ndarray) -> np.ndarray:
    """The rows whose label is a class."""
    return rows[world.head.index(world.store.items["label"].to_numpy()[rows]) >= 0]


def by_hand(world: SimpleNamespace, rows: np.ndarray, replace) -> dict[str, float]:
    """Accuracy, top-5 and cross-entropy from a hook on the whole model, one picture at a time."""
    right, top5, losses = 0, 0, []
    truth = world.head.index(world.store.items["label"].to_numpy()[rows])
    for row, label in zip(rows, truth, strict=True):

        def hook(_module: nn.Module, _inputs: object, _output: Tensor, row: int = row) -> Tensor:
            return replace(int(row))[None]

        picture = world.corpus.load(int(world.store.items["corpus_index"][row]))
        handle = world.backbone.listened.register_forward_hook(hook)
        with torch.no_grad():
            embedding = world.backbone.model(world.backbone.preprocess([picture])).image_embeds
        handle.remove()
        unit = nn.functional.normalize(embedding, dim=-1).double()
        logits = (unit @ world.head.weight.double().T + world.head.bias.double())[0]
        order = logits.argsort(descending=True).tolist()
        right += order[0] == label
        top5 += label in order[:5]
        losses.append(-torch.log_softmax(logits, 0)[label].item())
    return {"accuracy": right / len(rows), "top5": top5 / len(rows), "cross_entropy": float(np.mean(losses))}


def test_fidelity_equals_full_passes_by_hand(world: SimpleNamespace) -> None:
    store, rows, sae = world.store, world.store.rows("test"), trained(world)
    figures = fidelity(
        references(store, rows, world.head, world.rest),
        measure_spliced(sae, store, rows, world.head, world.rest)["spliced"],
    )
    assert len(rows) > len(known(world, rows))  # a rare label is left out
    rows = known(world, rows)
    mean = torch.cat([store.item(int(row)) for row in rows]).double().mean(0).float()

    def reconstructed(row: int) -> Tensor:
        x = store.item(row)
        with torch.no_grad():
            return sae.decode(sae.encode(x), sae.norm(x))

    puts = {
        "original": store.item,
        "spliced": reconstructed,
        "zero": lambda row: torch.zeros_like(store.item(row)),
        "mean": lambda row: mean.expand_as(store.item(row)),
    }
    for name, put in puts.items():
        wanted = by_hand(world, rows, put)
        assert figures[name] == {key: pytest.approx(value, rel=1e-4) for key, value in wanted.items()}, name
    assert figures["original"]["accuracy"] > figures["zero"]["accuracy"]  # the probe sees what the pictures show
    for name, ablation in (("recovered", "zero"), ("recovered_from_mean", "mean")):
        entry = (
            figures["original"]["cross_entropy"],
            figures["spliced"]["cross_entropy"],
            figures[ablation]["cross_entropy"],
        )
        assert figures[name]["cross_entropy"] == pytest.approx((entry[1] - entry[2]) / (entry[0] - entry[2]))


def test_a_perfect_sae_recovers_all_and_an_empty_one_nothing(world: SimpleNamespace) -> None:
    store, rows = world.store, world.store.rows("test")
    reference = references(store, rows, world.head, world.rest)
    sae = build_sae(TopKConfig(d_model=D, n_atoms=D, k=D)).eval()
    for scale, share in ((1.0, 1.0), (0.0, 0.0)):
        with torch.no_grad():
            sae.atoms.copy_(scale * torch.eye(D))
            sae.w_encoder.copy_(torch.eye(D))
        figures = fidelity(reference, measure_spliced(sae, store, rows, world.head, world.rest)["spliced"])
        for key in ("accuracy", "cross_entropy"):
            assert figures["recovered"][key] == pytest.approx(share, abs=1e-4)
        assert figures["recovered"]["top5"] is None  # three classes: every answer is among the five


def test_top_n_equals_full_passes_by_hand(world: SimpleNamespace) -> None:
    store, rows, sae = world.store, world.store.rows("test"), trained(world)
    labels = store.items["label"].to_numpy()
    classes = world.head.index(labels[world.train])
    ranking = rank_atoms(sae, store, world.train, classes, len(world.head.classes), 0.0, (1, 3))
    answers = measure_spliced(sae, store, rows, world.head, world.rest, ranking, (1, 3, None))
    assert list(answers) == ["spliced", "on-1", "off-1", "on-3", "off-3", "on-all", "off-all"]
    assert answers["on-all"] == answers["spliced"]

    def kept(level: int, on: bool):
        def put(row: int) -> Tensor:
            x = store.item(row)
            with torch.no_grad():
                codes = sae.encode(x)
                val = codes.val.clone()
                top = ranking.of(int(world.head.index([labels[row]])[0]))[:level]
                val[torch.isin(codes.col, torch.tensor(top)) != on] = 0
                return sae.decode(type(codes)(codes.crow, codes.col, val, codes.n_atoms), sae.norm(x))

        return put

    for level, side in ((1, "on"), (3, "on"), (3, "off")):
        wanted = by_hand(world, known(world, rows), kept(level, side == "on"))
        assert answers[f"{side}-{level}"] == {key: pytest.approx(value, rel=1e-4) for key, value in wanted.items()}

    # When every atom has a rank, the largest n is the plain splice, computed through the ranks.
    everything = ClassAtoms(torch.ones(len(world.head.classes), 32, dtype=torch.int32), 32)
    again = measure_spliced(sae, store, rows, world.head, world.rest, everything, (32,))
    assert again["on-32"] == answers["spliced"] and again["off-32"] == answers["off-all"]


def test_layers_that_do_not_determine_the_rest_go_through_the_pictures(world: SimpleNamespace, tmp_path: Path) -> None:
    backbone = load_backbone(world.backbone.spec.name, 1, "mlp", "patches", device="cpu")
    extract(backbone, world.corpus, tmp_path / "mlp")
    store = ActivationStore.open(tmp_path / "mlp")
    rest, how = rest_of_model(backbone, store, lambda: world.corpus)
    assert "whole tower on the pictures" in how
    rows = store.rows("test")[:3]
    x = torch.stack([store.item(int(row)) for row in rows])
    torch.testing.assert_close(rest(rows, x), torch.from_numpy(np.asarray(store.embeddings[rows])), atol=1e-5, rtol=0)
    assert not torch.allclose(
        rest(rows, torch.zeros_like(x)), torch.from_numpy(np.asarray(store.embeddings[rows])), atol=1e-3
    )
    with pytest.raises(InputError, match="site residual"):
        rest_of_model(backbone, world.store, lambda: world.corpus)


def test_answers_without_items_and_shares_without_a_difference() -> None:
    assert ClassificationSums().to_dict() == {"accuracy": None, "top5": None, "cross_entropy": None}
    assert recovered(0.5, 0.4, 0.5) is None and recovered(None, 1.0, 0.0) is None
    assert recovered(0.9, 0.5, 0.1) == pytest.approx(0.5) == recovered(1.0, 2.0, 3.0)
