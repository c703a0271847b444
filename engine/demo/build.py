"""``atomscope demo build corpus``: from pinned packages to the corpus that ships."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engine.demo import readers, selection
from engine.demo.candidates import Candidate
from engine.demo.labels import LABELS
from engine.demo.pictures import Rendered, render
from engine.demo.shards import write_corpus
from engine.demo.sources import SOURCES, fetch
from engine.errors import AtomscopeError
from engine.progress import Progress, track

ITEMS = 4000


def gather(progress: Progress) -> list[Candidate]:
    """Every candidate of every source, edits applied, the best sources first (a duplicate yields to them)."""
    folders = {source.package: fetch(source, progress) for source in SOURCES}
    found = [
        *readers.photographs(folders),
        *readers.tuxpaint(folders["tuxpaint-stamps-default"]),
        *readers.emoji(folders["@lobehub/fluent-emoji-3d"], folders["emoji-datasource-google"]),
        *readers.clipart(folders["openclipart-png"], folders["openclipart-svg"]),
    ]
    candidates = readers.apply_edits(found)
    if strange := sorted({c.label for c in candidates} - LABELS.keys()):
        raise AtomscopeError(
            f"These labels are not in engine/demo/labels.py: {', '.join(strange)}. Add or correct them."
        )
    twice = [name for name, count in Counter(c.id for c in candidates).items() if count > 1]
    if twice:
        raise AtomscopeError(f"{twice[0]} is there twice. Give each row of tables/photographs.csv its own crop.")
    return candidates


def render_all(candidates: Sequence[Candidate], progress: Progress) -> list[Rendered]:
    """Render every candidate, on all cores."""
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        results = pool.map(render, candidates, chunksize=32)
        return list(track(results, progress, "render", len(candidates), "pictures"))


def build_corpus(out: Path, progress: Progress, items: int = ITEMS) -> dict[str, Any]:
    """Build the demo corpus in ``out`` and return its ``corpus.json``. Same inputs, same bytes."""
    candidates = gather(progress)
    rendered = render_all(candidates, progress)

    sound = [i for i, picture in enumerate(rendered) if not picture.fault]
    hashes = np.stack([rendered[i].phash for i in sound])
    thumbs = np.stack([rendered[i].thumb for i in sound])
    template = [candidates[i].id.startswith("emoji/") for i in sound]
    alike = set(selection.similar_pairs(hashes, thumbs, selection.SAME_EMOJI))
    same = selection.similar_pairs(hashes, thumbs, selection.SAME)
    same = [pair for pair in same if pair in alike or not (template[pair[0]] and template[pair[1]])]
    unique = [sound[i] for i in selection.drop_duplicates(len(sound), same)]

    clipart = [candidates[i] for i in unique if candidates[i].source == "openclipart-png"]
    rest = [candidates[i] for i in unique if candidates[i].source != "openclipart-png"]
    wanted = {c.id for c in rest} | {c.id for c in selection.fill(clipart, max(0, items - len(rest)))}
    chosen = [i for i in unique if candidates[i].id in wanted]

    final = [candidates[i] for i in chosen]
    akin = selection.similar_pairs(
        np.stack([rendered[i].phash for i in chosen]), np.stack([rendered[i].thumb for i in chosen]), selection.AKIN
    )
    groups = selection.join_groups([c.group for c in final], akin)
    splits = selection.assign_splits(final, groups)
    document = write_corpus(out, final, [rendered[i].webp for i in chosen], splits, [s.to_dict() for s in SOURCES])
    progress.start("corpus", len(final))
    progress.advance(len(final))
    progress.finish(
        f"{len(candidates):,} candidates, {len(candidates) - len(sound)} tiny or blank, "
        f"{len(sound) - len(unique)} near-duplicates, {len(clipart) + len(rest) - len(final)} over the limit"
    )
    return document
