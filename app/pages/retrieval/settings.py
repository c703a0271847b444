"""The settings of a search: corpus, pool, score mode, enhancement, tie rule and early stops."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import ui
from app.opened import corpora, models
from app.pages.retrieval.form import MARGINS, collect, preset_shares
from app.pages.retrieval.request import GATES, MOST, PRESETS, TOKENS, VIEWS
from app.pages.retrieval.session import RetrievalSession, current
from engine.retrieval.search.events import MODES

_MODES = {
    "": "The model's own default",
    "log-odds": "Log-odds of True against False",
    "posterior": "Log-odds with the coarse prior",
    "true-false": "P(True), cut to two decimals (paper)",
    "generated": "A score the model writes",
    "expected": "Expected rating, 0 to 9",
    "likelihood": "Likelihood of the caption",
    "listwise": "List-wise choice",
}
_SPLITS = {"": "Whole corpus", "train": "Training split", "validation": "Validation split", "test": "Test split"}


def settings(session: RetrievalSession, entry: corpora.CorpusEntry | None) -> None:
    """Draw them, as they were when the controls were last set."""
    known, begin = corpora.paths(), session.filled
    keys = list(known)
    st.selectbox(
        "Corpus",
        keys,
        keys.index(begin.corpus) if begin.corpus in keys else 0,
        key=session.key("corpus"),
        format_func=lambda key: "Demo corpus" if key == corpora.DEMO else known[key].name,
        help="More corpora: atomscope serve --corpus DIR",
        on_change=_other_corpus,
    )
    if entry is not None and entry.corpus is not None:
        there = [split for split in entry.corpus.splits if split]
        if there:
            default = entry.searched_split("")
            options = ["", *(["all"] if default else []), *(split for split in there if split != default)]
            st.selectbox(
                "Searched part",
                options,
                options.index(begin.split) if begin.split in options else 0,
                key=session.key("split"),
                format_func=lambda split: _split_label(entry, split),
                help="The demo model was trained on the training split; the test split is what it has never seen.",
            )
    help_ = "Candidates the coarse stage hands to the model."
    st.slider("Pool size", 1, MOST, begin.k, key=session.key("k"), help=help_)
    modes = ["", *MODES]
    st.selectbox(
        "Score mode",
        modes,
        modes.index(begin.mode),
        key=session.key("mode"),
        format_func=lambda mode: _MODES.get(mode, mode),
    )
    _choose(
        session,
        "Visual enhancement",
        "enhance",
        PRESETS,
        "Injects visual tokens again into a layer of the model that is unsure. Every candidate is then read twice, so that both "
        "readings can be shown.",
    )
    preset = session.said("enhance", begin.enhance)
    if preset != "off":
        _enhancement(session, preset)
    _choose(
        session,
        "What the model reads of a candidate",
        "view",
        VIEWS,
        "Automatic: what the query is not. Pictures for a text, captions for a picture.",
    )
    st.toggle("Ties go to the lowest entropy (paper rule)", begin.tie == "on", key=session.key("tie"))
    for name, label, text, step in (
        ("skip", "Skip reading when the coarse lead is decisive", "Cosine lead of the first over the second", 0.01),
        ("stop", "Stop reading when the best score leads", "Lead of the best fine score over the second", 0.5),
    ):
        margin = getattr(begin, name)
        if st.toggle(label, margin is not None, key=session.key(f"{name}_on")):
            st.number_input(text, 0.001, 999.0, margin or MARGINS[name], step, key=session.key(name))
    st.caption(f"Read by **{ui.plain(models.mllm_title())}**. Another model: `atomscope serve --mllm MODEL`")


def _choose(session: RetrievalSession, label: str, name: str, options: dict[str, str], words: str) -> None:
    """One of a few values of the request's field ``name``; ``options`` are the words for each."""
    st.segmented_control(
        label,
        list(options),
        default=getattr(session.filled, name),
        key=session.key(name),
        format_func=options.__getitem__,
        required=True,
        help=words,
    )


def _enhancement(session: RetrievalSession, preset: str) -> None:
    """What a preset leaves open; its numbers begin with the preset's own."""
    begin = session.filled
    words = {
        "alpha": "Share of the injected part in the layer's MLP output: 0.3 in the paper, 0.12 in the code.",
        "threshold": "Entropy of the logit lens above which it acts: 0.75 in both presets.",
    }
    with st.container(horizontal=True, gap="small"):
        for name, own in preset_shares(preset).items():
            given = getattr(begin, name) if begin.enhance == preset else None
            # The preset is part of the key: each keeps numbers of its own.
            key = session.key(f"{name}_{preset}")
            value = own if given is None else given
            st.number_input(name.capitalize(), 0.0, 1.0, value, 0.05, key=key, help=words[name])
    _choose(
        session,
        "Injected tokens",
        "tokens",
        TOKENS,
        "The picture's tokens (paper), or every token of the prompt (published code).",
    )
    _choose(
        session,
        "How often it acts",
        "gate",
        GATES,
        "In the first layer whose entropy exceeds the threshold, or in each of them.",
    )


def _split_label(entry: corpora.CorpusEntry, split: str) -> str:
    assert entry.corpus is not None  # the caller has looked
    real = entry.searched_split(split)
    count = entry.corpus.splits.get(real, len(entry.corpus)) if real else len(entry.corpus)
    return f"{_SPLITS.get(real, real)} ({count:,} items)"


def _other_corpus() -> None:
    """Another corpus has other items and splits: the picture and the part of the one before mean nothing in it."""
    session = current()
    session.fill(replace(collect(session), item="", upload="", split=""))
