"""Stage 3, the one pass over the activation store: every token is read and encoded once, for all atoms together.

The state is written to the work folder every minute, so that a pass that was killed goes on from there. Batches are cut at
fixed items: the encoder then sees the same matrices in the resumed pass, and the artefact is the same bit by bit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build import checkpoint
from engine.atlas.build.accumulators import Accumulators, ItemBatch
from engine.atlas.build.encoding import encode
from engine.atlas.build.token_sample import TokenSample, TokenSampler
from engine.atlas.build.token_tables import TokenTables

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder

BATCH_TOKENS = 8192
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class PassResult:
    """What one pass over all tokens found.

    Attributes
    ----------
    accumulators : Accumulators
        Sums and lists of every atom.
    token_sample : TokenSample
        Supports of the tokens chosen by hash, for co-activation.
    support : uint16 [n_items, P], mapped
        Support size of every token; larger ones are noted as 65,535.
    tau : float32 [n_items, P], mapped, or None
        Threshold of every token, in score units; None when the SAE has none.
    live : int64 [n]
        Atoms that fired at least once, ascending.
    """

    accumulators: Accumulators
    token_sample: TokenSample
    support: Any
    tau: Any
    live: NDArray[np.int64]


def run_token_pass(
    sae: SparseAutoencoder,
    store: ActivationStore,
    accumulators: Accumulators,
    label_ids: NDArray[np.int32],
    coactivation_tokens: int,
    work: Path,
    device: torch.device,
    progress: Progress,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> PassResult:
    """Run the pass, or the rest of it.

    Parameters
    ----------
    accumulators : Accumulators
        Fresh ones; they are filled.
    label_ids : int32 [n_items]
        Label of every item, -1 for none.
    coactivation_tokens : int
        Expected size of the token sample.
    work : Path
        Folder for the checkpoints and the tables of all tokens.
    """
    sampler = TokenSampler(coactivation_tokens, store.n_tokens)
    start = checkpoint.restore(work, accumulators, sampler)
    tables = TokenTables(work, store.n_items, store.n_positions, resumed=start > 0)
    items_at_once = max(BATCH_TOKENS // store.n_positions, 1)
    progress.start("one pass over the tokens", store.n_tokens, "tokens")
    if start:
        progress.advance(start * store.n_positions, "resumed")
    saved = time.monotonic()
    for first in range(start, store.n_items, items_at_once):
        end = min(first + items_at_once, store.n_items)
        x = torch.cat([torch.as_tensor(store.item(item)) for item in range(first, end)])
        codes = encode(sae, x.to(device))
        accumulators.add(
            ItemBatch(
                codes.crow,
                codes.col,
                codes.val,
                first,
                store.n_positions,
                label_ids[first:end],
                store.embeddings[first:end],
            )
        )
        tables.write(first, end, codes)
        sampler.add(first * store.n_positions, codes)
        progress.advance((end - first) * store.n_positions, f"L0 {codes.sizes.mean():.1f}")
        if end == store.n_items or time.monotonic() - saved >= checkpoint_seconds:
            tables.flush()
            checkpoint.save(work, accumulators, sampler, end)
            saved = time.monotonic()
    progress.finish()
    live = np.flatnonzero(accumulators.counts.firing)
    return PassResult(accumulators, sampler.sample(), tables.support, tables.tau, live)
