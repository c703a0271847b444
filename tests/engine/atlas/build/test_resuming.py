"""A build that was stopped goes on where it stopped, uses nothing of another build, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from engine.activations import ActivationStore
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.build import token_pass
from engine.progress import SilentProgress
from engine.sae import SparseAutoencoder


def content(atlas: Path) -> dict[str, Any]:
    """What must not depend on when or how often a build was interrupted: every file's hash, and the header."""
    meta = json.loads((atlas / "atlas.json").read_text())
    del meta["created"]
    return meta


class Bomb(SilentProgress):
    """A progress that stops the build at its ``fuse``-th report."""

    def __init__(self, fuse: int) -> None:
        super().__init__()
        self.fuse = fuse

    def advance(self, count: int = 1, note: str = "") -> None:
        self.fuse -= 1
        if self.fuse == 0:
            raise KeyboardInterrupt


def test_a_stopped_build_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_pass, "BATCH_TOKENS", 28)
    new_sae(tmp_path / "sae")
    options = AtlasOptions(layout=False, sample_items=3, checkpoint_seconds=0.0)
    whole = content(build_atlas(tmp_path / "sae", store, tmp_path / "whole", options))
    reports = 0
    for fuse in range(1, 200):
        try:
            build_atlas(tmp_path / "sae", store, tmp_path / "parts", options, Bomb(fuse))
            break
        except KeyboardInterrupt:
            reports += 1
            assert not (tmp_path / "parts").exists()
    assert reports > 4
    assert content(tmp_path / "parts") == whole
    assert not [p for p in tmp_path.iterdir() if "building" in p.name or "lock" in p.name]


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_pass, "BATCH_TOKENS", 28)
    new_sae(tmp_path / "sae")
    options = AtlasOptions(layout=False, sample_items=3, checkpoint_seconds=0.0)
    whole = content(build_atlas(tmp_path / "sae", store, tmp_path / "whole", options))
    script = f"""
        import os, signal
        from pathlib import Path
        from engine.activations import ActivationStore
        from engine.atlas import AtlasOptions, build_atlas
        from engine.atlas.build import token_pass
        from engine.progress import SilentProgress
        class Fuse(SilentProgress):
            left = 7
            def advance(self, count=1, note=""):
                self.left -= 1
                if self.left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        token_pass.BATCH_TOKENS = 28
        root = Path({str(tmp_path)!r})
        options = AtlasOptions(layout=False, sample_items=3, checkpoint_seconds=0.0)
        build_atlas(root / "sae", ActivationStore.open(root / "store"), root / "parts", options, Fuse())
    """
    # The same bytes are promised on the same number of threads: a product's last bit depends on how it is cut.
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=os.environ | threads)
    assert done.returncode == -signal.SIGKILL
    state = json.loads((tmp_path / ".parts.building" / "state.json").read_text())
    assert 0 < state["items_done"] < store.n_items
    assert content(build_atlas(tmp_path / "sae", store, tmp_path / "parts", options)) == whole


def test_what_was_left_by_another_build_is_not_used(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder]
) -> None:
    new_sae(tmp_path / "sae", seed=1)
    options = AtlasOptions(layout=False, sample_items=3)
    with pytest.raises(KeyboardInterrupt):
        build_atlas(tmp_path / "sae", store, tmp_path / "atlas", options, Bomb(6))
    new_sae(tmp_path / "sae", seed=2)
    built = content(build_atlas(tmp_path / "sae", store, tmp_path / "atlas", options))
    assert built == content(build_atlas(tmp_path / "sae", store, tmp_path / "fresh", options))


def test_another_title_keeps_the_pass(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_sae(tmp_path / "sae")
    with pytest.raises(KeyboardInterrupt):  # after the sample, the pass and the neighbours
        build_atlas(tmp_path / "sae", store, tmp_path / "atlas", AtlasOptions(layout=False, sample_items=3), Bomb(6))
    monkeypatch.setattr(token_pass, "encode", None)  # a second pass would fail
    options = AtlasOptions(layout=False, sample_items=3, title="Another")
    assert Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "atlas", options)).title == "Another"


def test_batches_do_not_change_the_tables(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_sae(tmp_path / "sae")
    options = AtlasOptions(layout=False, sample_items=3)
    one = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "one", options))
    monkeypatch.setattr(token_pass, "BATCH_TOKENS", 7)
    many = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "many", options))
    # Matrix products of other shapes may round otherwise; the numbers agree, and so does every count.
    pd.testing.assert_frame_equal(one.atoms, many.atoms, rtol=1e-4, atol=1e-5)
    assert np.array_equal(one.support, many.support)
