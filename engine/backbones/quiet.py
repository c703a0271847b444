"""Silence the progress bars and the advice of ``transformers``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Turn off progress bars and advice of ``transformers``: Atomscope reports its own progress."""
    bars, level = (transformers.utils.logging.is_progress_bar_enabled(), transformers.utils.logging.get_verbosity())
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
