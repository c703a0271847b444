"""In CI the embedded weights must be there, or every test that needs them would be skipped without a word."""

from __future__ import annotations

import os

import pytest

from engine.backbones import embedded
from engine.backbones.registry import REGISTRY


@pytest.mark.skipif(os.environ.get("CI", "").lower() not in ("1", "true", "yes"), reason="matters in CI only")
def test_ci_has_every_embedded_model() -> None:
    missing = [name for name in REGISTRY if not embedded.is_ready(name)]
    assert not missing, f"run: atomscope demo weights --all (missing: {', '.join(missing)})"
