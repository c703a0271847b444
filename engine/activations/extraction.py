"""``extract``: every picture or text of a corpus through a backbone, into a store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from engine.activations.batch_size import fit_batch_size
from engine.activations.joining import drop_parts, extract_part, has_parts, join_parts
from engine.activations.layout import DTYPES, JOURNAL, MANIFEST, read_manifest
from engine.activations.pipeline import process
from engine.activations.store import ActivationStore
from engine.activations.writer import StoreWriter, begun_batch_size, check_same_job
from engine.backbones import Backbone, LanguageBackbone
from engine.corpus import Corpus
from engine.distributed import ALONE, Group
from engine.errors import AtomscopeError, InputError
from engine.files import explain_os_errors
from engine.progress import Progress, SilentProgress


def extract(
    backbone: Backbone | LanguageBackbone,
    corpus: Corpus,
    out: str | Path,
    dtype: str = "float32",
    batch_size: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    group: Group = ALONE,
) -> ActivationStore:
    """Store one layer's activations of every picture of ``corpus``, or of all its texts.

    Texts are packed into chunks of one length first (``engine/backbones/language/packing.py``): an item of the store is a
    chunk, and its token ids are stored beside the activations.

    Pictures that cannot be read are recorded in the manifest with the reason and left out. A run that was killed is
    continued by the same call, and ends with the same store to the byte; a finished store is opened and returned.

    Parameters
    ----------
    backbone : Backbone
        The model, with its layer chosen.
    corpus : Corpus
        The pictures, or the texts of a language model.
    out : path
        Folder of the store.
    dtype : "float32" or "float16"
        How activations are stored; float16 halves the size and refuses values beyond 65,504.
    batch_size : int, optional
        Pictures or chunks a forward pass; by default what fits into memory.
    limit : int, optional
        Take this many pictures or chunks, spread evenly over the corpus.
    progress : Progress, optional
        Told about every batch and every skipped picture.
    group : Group
        Where it has several processes, each extracts a part and the first one joins them: ``engine.activations.joining``.

    Raises
    ------
    InputError
        If there is nothing to read, the options are wrong, or ``out`` holds something else.
    AtomscopeError
        If the disk is full, the folder cannot be written, or an activation is not finite in ``dtype``.
    """
    path, progress = Path(out), group.progress(progress or SilentProgress())
    if dtype not in DTYPES:
        raise InputError(f"Unknown dtype {dtype!r}; choose one of: {', '.join(DTYPES)}.")
    if batch_size is not None and batch_size < 1:
        raise InputError("--batch-size must be at least 1.")
    corpus = backbone.prepare(corpus)
    wanted = _choose(corpus, limit, backbone.noun)
    if group.first:
        _check_folder(path)
    group.wait()
    job: dict[str, Any] = {
        "dtype": dtype,
        "positions": backbone.spec.n_positions,
        "backbone": backbone.spec.to_dict(),
        "corpus": {"name": corpus.name, "hash": corpus.hash, "items": len(corpus)},
        "limit": limit,
        "packages": {name: version(name) for name in ("torch", "transformers", "pillow")},
    }
    if (path / MANIFEST).is_file():
        done = read_manifest(path)
        job["batch_size"] = batch_size or done["extraction"]["batch_size"]
        check_same_job(path, {**done["extraction"], **done}, job)
        return ActivationStore.open(path)
    # A continued run keeps the batches it began with: in other company a picture's numbers differ in the last bit.
    begun = next((begun_batch_size(part) for part in has_parts(path)), None) or begun_batch_size(path)
    job["batch_size"] = batch_size or group.gathered_objects(begun or fit_batch_size(backbone))[0]
    batches = [wanted[start : start + job["batch_size"]] for start in range(0, len(wanted), job["batch_size"])]

    def fill(left: Sequence[list[int]], writer: StoreWriter) -> None:
        _check_room(writer.path, sum(map(len, left)), job)
        done = sum(map(len, batches[: writer.batches_done]))
        progress.start("Extracting activations", done + sum(map(len, left)), backbone.noun)
        progress.advance(done)
        told = len(corpus.warnings)
        for batch in process(backbone, corpus, left):
            while told < len(corpus.warnings):  # what only a loaded picture shows
                progress.warn(corpus.warnings[told])
                told += 1
            for _, reason in batch.skipped:
                progress.warn(f"{reason} Skipped.")
            with np.errstate(over="ignore"):  # the next line reports it
                activations = batch.activations.astype(DTYPES[dtype], copy=False)
            _check_finite(activations, batch.indices, dtype, corpus)
            writer.append(batch.indices, activations, batch.embeddings, batch.skipped)
            progress.advance(len(batch.indices) + len(batch.skipped))

    if group.size > 1:
        extract_part(path, job, batches, group, fill)
    if not group.first:
        group.wait()
        return ActivationStore.open(path)
    with StoreWriter(path, job) as writer:
        if group.size > 1:
            join_parts(writer, group)
        else:
            fill(batches[writer.batches_done :], writer)
        if not writer.stored:
            raise InputError(
                f"None of the {len(wanted)} {backbone.noun} of {corpus.name} can be read: {writer.skipped[0][1]}"
            )
        if not corpus.is_unchanged():
            raise AtomscopeError(
                f"{corpus.name} was changed while it was being read. Delete {path} and run the same command again."
            )
        tokens = backbone.stored_tokens(corpus, writer.stored) if isinstance(backbone, LanguageBackbone) else None
        writer.finish(corpus, tokens)
    drop_parts(path)
    group.wait()
    progress.finish(f"{len(writer.skipped)} skipped" if writer.skipped else "")
    return ActivationStore.open(path)


def _choose(corpus: Corpus, limit: int | None, noun: str) -> list[int]:
    """Corpus rows to extract: every picture (chunk), or ``limit`` of them spread evenly, so that no folder is left out."""
    kind = "image" if noun == "images" else "text"
    images = np.flatnonzero((corpus.items["kind"] == kind).to_numpy())
    if len(images) == 0:
        raise InputError(f"{corpus.name} has no {noun}.")
    if limit is not None:
        if limit < 1:
            raise InputError("--limit must be at least 1.")
        if limit < len(images):
            images = images[np.arange(limit) * len(images) // limit]
    return [int(index) for index in images]


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; -o wants a folder.")
    with explain_os_errors(path):
        known = (path / MANIFEST).is_file() or (path / JOURNAL).is_file() or bool(has_parts(path))
        if path.is_dir() and any(path.iterdir()) and not known:
            raise InputError(f"{path} holds other files. Choose a new or an empty folder with -o.")


def _check_room(path: Path, images: int, job: dict[str, Any]) -> None:
    """Say at the start, not after an hour, that the disk is too small."""
    per_image = job["positions"] * job["backbone"]["d_model"] * DTYPES[job["dtype"]].itemsize
    needed, free = images * (per_image + 4 * job["backbone"]["embedding_dim"]), shutil.disk_usage(path).free
    if needed > free:
        cure = "--dtype float16 (half the size), " if job["dtype"] == "float32" else ""
        raise AtomscopeError(
            f"{path} needs {needed / 1e9:,.1f} GB and its disk has {free / 1e9:,.1f} GB free. Free some space, or use "
            f"{cure}--tokens, --limit or another disk."
        )


def _check_finite(activations: np.ndarray, indices: list[int], dtype: str, corpus: Corpus) -> None:
    finite = np.isfinite(activations).all(axis=(1, 2))
    if finite.all():
        return
    item = corpus.items["id"].iat[indices[int(np.flatnonzero(~finite)[0])]]
    cure = (
        "It may be beyond 65,504, the largest float16: use --dtype float32."
        if dtype == "float16"
        else "The model overflows."
    )
    raise AtomscopeError(f"An activation of {item} is not a finite {dtype}. {cure}")
