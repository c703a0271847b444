"""Pictures or texts in, activations out: several batches at a time, handed on in order.

On a CPU every worker takes whole batches and computes on a single thread. That keeps all cores busy without waiting at
the end of every operation (several times faster where other programs compete for the cores), and a picture's numbers do
not depend on how many cores there are. On a GPU the workers read and preprocess while one of them has the device.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from engine.backbones import Backbone, LanguageBackbone
from engine.corpus import Corpus, UnreadableItem
from engine.errors import AtomscopeError

_GPU_READERS = 4


class Processed(NamedTuple):
    """One batch after the model.

    Attributes
    ----------
    indices : list of int
        Corpus rows of the pictures that could be read.
    activations : float32 [n, P, d]
    embeddings : float32 [n, e]
    skipped : list of (int, str)
        Corpus rows of those that could not, and why.
    """

    indices: list[int]
    activations: np.ndarray
    embeddings: np.ndarray
    skipped: list[tuple[int, str]]


def process(backbone: Backbone | LanguageBackbone, corpus: Corpus, batches: Sequence[list[int]]) -> Iterator[Processed]:
    """Run every batch of corpus rows through ``backbone``; results come in the order of ``batches``.

    Raises
    ------
    AtomscopeError
        If a GPU has no memory for a batch.
    """
    on_gpu = backbone.device.type == "cuda"
    workers = _GPU_READERS if on_gpu else torch.get_num_threads()
    device = threading.Lock() if on_gpu else threading.Semaphore(workers)
    with _one_thread_each(enabled=not on_gpu), ThreadPoolExecutor(workers, initializer=_start_worker) as pool:
        waiting: deque[Future[Processed]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(_process, backbone, corpus, batch, device))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _process(
    backbone: Backbone | LanguageBackbone,
    corpus: Corpus,
    batch: list[int],
    device: threading.Lock | threading.Semaphore,
) -> Processed:
    indices, inputs, skipped = [], [], []
    for index in batch:
        try:
            inputs.append(backbone.read(corpus, index))
            indices.append(index)
        except UnreadableItem as error:
            skipped.append((index, str(error)))
    if not inputs:
        spec = backbone.spec
        nothing = np.empty((0, spec.n_positions, spec.d_model), "<f4"), np.empty((0, spec.embedding_dim), "<f4")
        return Processed([], *nothing, skipped)
    try:
        with device:
            output = backbone.run(torch.cat(inputs))
            activations, embeddings = output.activations.cpu().numpy(), output.embeddings.cpu().numpy()
    except torch.OutOfMemoryError as error:
        raise AtomscopeError(
            f"The GPU has no memory for {len(batch)} {backbone.noun} at a time; delete the store and choose a smaller "
            "--batch-size."
        ) from error
    return Processed(indices, activations, embeddings, skipped)


def _start_worker() -> None:
    torch.set_num_threads(torch.get_num_threads())  # a new thread takes OpenMP's default until it is told


@contextmanager
def _one_thread_each(enabled: bool) -> Iterator[None]:
    """Threads started inside compute on one core each; the caller's own setting comes back afterwards."""
    before = torch.get_num_threads()
    if enabled:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
