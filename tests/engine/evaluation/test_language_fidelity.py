"""Cross-entropy with activations replaced: splicing x itself changes nothing, ablations are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.activations import ActivationStore
from engine.backbones import LanguageBackbone
from engine.errors import InputError
from engine.evaluation.language_fidelity import LanguageFidelity, cross_entropy
from engine.sae import SparsemaxConfig, build_sae
from tests.engine.atlas.conftest import write_store
from tests.text_atlases import text_store


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageBackbone, ActivationStore]:
    return text_store(tmp_path_factory.mktemp("texts"))


def test_cross_entropy_is_that_of_the_plain_model(given: tuple[LanguageBackbone, ActivationStore]) -> None:
    backbone, store = given
    assert store.token_ids is not None
    ids = np.asarray(store.token_ids[:3])
    found = cross_entropy(backbone, ids, batch=2)
    rows = backbone.with_lead(ids)
    with torch.no_grad():
        logs = backbone.model(rows).logits.double().log_softmax(dim=-1)
    for chunk in range(3):
        for place in range(1, ids.shape[1]):
            wanted = -logs[chunk, 2 + place - 1, ids[chunk, place]]
            assert float(found[chunk, place - 1]) == pytest.approx(float(wanted), abs=1e-4)


def test_splicing_the_activations_themselves_changes_nothing(given: tuple[LanguageBackbone, ActivationStore]) -> None:
    backbone, store = given
    assert store.token_ids is not None
    ids = np.asarray(store.token_ids[:4])
    assert torch.equal(cross_entropy(backbone, ids, lambda x: x), cross_entropy(backbone, ids))
    stored = torch.stack([store.item(item) for item in range(4)])
    assert torch.allclose(cross_entropy(backbone, ids, lambda x: stored), cross_entropy(backbone, ids), atol=1e-4)
    assert not torch.allclose(cross_entropy(backbone, ids, torch.zeros_like), cross_entropy(backbone, ids), atol=1e-4)
    assert torch.equal(cross_entropy(backbone, ids), cross_entropy(backbone, ids))  # the model itself is left alone


def test_the_figures_of_a_store(given: tuple[LanguageBackbone, ActivationStore]) -> None:
    _, store = given
    sae = build_sae(SparsemaxConfig(d_model=store.d_model, n_atoms=32), 0).eval()
    figures = LanguageFidelity.prepare(store, store.rows("test"), "cpu").measure(sae)["fidelity"]
    losses = {name: figures[name]["cross_entropy"] for name in ("original", "spliced", "zero", "mean")}
    assert all(np.isfinite(list(losses.values()))) and len(set(losses.values())) == 4
    share = (losses["spliced"] - losses["zero"]) / (losses["original"] - losses["zero"])
    assert figures["recovered"]["cross_entropy"] == pytest.approx(share)


def test_pictures_have_no_next_token(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store")
    with pytest.raises(InputError, match="holds no tokens of texts"):
        LanguageFidelity.prepare(store, store.rows("test"), "cpu")
