"""Compare: up to four SAEs of one layer side by side, by their figures, by their atoms, and on the same picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import atlas_ui, parse, state, ui
from app.opened import models
from app.pages.compare import view, worker
from app.pages.compare.saes import MOST, ComparedSAE, compared_saes
from app.pages.compare.session import CompareSession
from app.work import Job
from engine.corpus import decode_image

if TYPE_CHECKING:
    from PIL import Image

    from engine.atlas import Atlas
    from engine.inspection.encoding import Encoder
    from engine.sae import SparseAutoencoder

OFFERED = 14
POLL = 0.6
"""Seconds between two looks at what the worker does."""


def page() -> None:
    """The page."""
    ui.install_style(Path(__file__).parent)
    atlas = state.atlas()
    known = compared_saes(atlas)
    atlas_ui.page_title(
        "Compare",
        "Sparse autoencoders trained on the same activations, side by side: what they cost, what they lose, which atoms they "
        "share, and what each makes of the same picture.",
    )
    ui.onboarding(
        "compare",
        "How to compare",
        (
            "Reconstruction is only comparable at the same sparsity: read FVU together with L0. An SAE that uses twice the atoms "
            "should reconstruct better.",
            "TopK spends the same number of atoms on every patch; sparsemax decides for each. Its mean is a good K to try.",
        ),
    )
    if len(known) < 2:
        ui.empty(
            "There is nothing to compare with",
            "This atlas holds one SAE, and no other open atlas reads the same layer of the same model.",
            "atomscope atlas --sae RUN --baseline topk=OTHER_RUN --acts STORE -o ATLAS",
        )
        return
    chosen = _chosen(known)
    ui.live(view.trade_off(known, chosen), key="compare_trade_off")
    ui.live(view.figures(chosen), key="compare_figures")
    if curves := view.topn(chosen):
        ui.live(curves, key="compare_topn")
    item = _item(atlas)
    session: CompareSession = st.session_state.setdefault("compare", CompareSession())
    _ask(session, atlas, chosen, item)
    st.fragment(_live, run_every=POLL if session.active else None)(chosen, item)


def _chosen(known: list[ComparedSAE]) -> list[ComparedSAE]:
    """The SAEs the address names, the first of which the others are compared with."""
    keys = [sae.key for sae in known]
    wanted = [key for key in st.query_params.get("saes", "").split(",") if key]
    unknown = [key for key in wanted if key not in keys]
    if unknown:
        state.notice(f"There is no SAE {unknown[0][:40]!r} here; there are {', '.join(keys)}.")
        state.put(saes=None)
    kept = list(dict.fromkeys(key for key in wanted if key in keys))[:MOST] or keys[:MOST]
    st.session_state["compare_saes"] = kept
    st.multiselect(
        "SAEs",
        keys,
        key="compare_saes",
        max_selections=MOST,
        on_change=_choose,
        help="The first one is the one whose atoms are looked for in the others. More: train them on the same store, and put "
        "them beside the atlas with `atomscope atlas --baseline NAME=RUN`.",
    )
    return [sae for key in kept for sae in known if sae.key == key]


def _choose() -> None:
    state.put(saes=",".join(st.session_state["compare_saes"]) or None)


def _item(atlas: Atlas) -> int | None:
    """The picture that is looked at; None for an atlas of texts."""
    if atlas.is_text or not atlas.grid[0]:
        return None
    pictures = np.flatnonzero((atlas.items["kind"] == "image").to_numpy())
    first = int(pictures[0]) if len(pictures) else None
    if len(atlas.sampled_items):
        first = int(atlas.sampled_items[len(atlas.sampled_items) // 2])
    return state.integer("item", 0, atlas.n_items - 1, first, "picture")


def _ask(session: CompareSession, atlas: Atlas, chosen: list[ComparedSAE], item: int | None) -> None:
    """Hand in what the page will show, once."""
    keys = tuple(sae.key for sae in chosen)
    if len(chosen) > 1:
        session.ask(("match", atlas.key, keys), partial(worker.match_atoms, chosen=chosen, load=_load))
    if item is not None and not _missing(atlas):
        session.ask(("look", atlas.key, keys, item), partial(_look, atlas=atlas, chosen=chosen, item=item))


def _look(job: Job[worker.ThroughSAE], atlas: Atlas, chosen: list[ComparedSAE], item: int) -> None:
    def encoder() -> Encoder:
        return models.encoder(atlas).get(job)

    def picture() -> Image.Image:
        return decode_image(atlas.thumbnail(item))

    worker.encode_picture(job, chosen, _load, encoder, picture)


def _load(sae: ComparedSAE) -> SparseAutoencoder:
    return models.sae(sae.folder)


def _missing(atlas: Atlas) -> list[str]:
    """Embedded models that looking at a picture needs and the cache lacks."""
    name = str(atlas.meta["backbone"].get("name", ""))
    return [name] if name in models.missing_weights("coarse") else []


def _live(chosen: list[ComparedSAE], item: int | None) -> None:
    """What the worker finds: how the atoms match, and one picture through every SAE."""
    session: CompareSession = st.session_state["compare"]
    atlas, keys = state.atlas(), tuple(sae.key for sae in chosen)
    was_active = session.active
    matching = session.jobs.get(("match", atlas.key, keys))
    if matching is not None:
        _doing(matching, "Atoms cannot be matched")
        if matching.events:
            ui.live(view.matches(atlas, chosen, matching.events), key="compare_matches", on_event=_on_event)
    if item is None:
        st.caption("Side by side on one input: for pictures only. The figures above hold for texts as well.")
        return
    rows = _offered(atlas)
    ui.live(view.pictures(atlas, rows, item), key="compare_pictures", on_event=_on_event)
    if lacking := _missing(atlas):
        ui.empty("The weights are not here", f"Looking at a picture needs {', '.join(lacking)}.", models.WEIGHTS)
        return
    looked = session.jobs.get(("look", atlas.key, keys, item))
    if looked is None:
        return
    _doing(looked, "The picture cannot be looked at")
    ui.live(view.side_by_side(atlas, chosen, item, looked.events), key="compare_sights", on_event=_on_event)
    if was_active and not session.active:
        st.rerun()  # the whole page, once: polling ends there


def _doing(job: Job[object], failed: str) -> None:
    if job.state == "failed":
        ui.empty(failed, job.error, models.WEIGHTS if models.WEIGHTS in job.error else "")
    elif job.active:
        ahead = "Waiting for other work" if job.state == "waiting" else job.stage or "Looking"
        st.markdown(f":material/hourglass_empty: {ui.plain(ahead)}")


def _offered(atlas: Atlas) -> list[int]:
    """Pictures to look at: a sample that "Others" shuffles."""
    turn = int(st.session_state.get("compare_turn", 0))
    pictures = np.flatnonzero((atlas.items["kind"] == "image").to_numpy())
    return [int(row) for row in np.random.default_rng(turn).permutation(pictures)[:OFFERED]]


def _on_event(event: ui.MarkupEvent) -> None:
    if event.on == "item" and (item := parse.whole(event.value)) is not None:
        state.put(item=item)
    elif event.on == "shuffle":
        st.session_state["compare_turn"] = int(st.session_state.get("compare_turn", 0)) + 1
