"""The state of a search that waits, loads or reads: how far it is, the button that stops it, and when to look again."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from app import ui
from app.opened import models
from app.pages.retrieval.outcome import Outcome, waiting
from app.pages.retrieval.session import RetrievalSession, SearchRun
from app.work import Job

POLL, SLOW_POLL = 0.5, 1.5
"""Seconds between two looks at a search that reads, and at one that waits or loads (a look costs the loading its time)."""

SLOWEST = 6.0
"""A machine that cannot keep up is looked at half as often, again and again, down to once in this many seconds."""


def pace(session: RetrievalSession) -> float | None:
    """Seconds until the next look at what the worker does for this session, None when it does nothing."""
    run = session.run
    if run is None or not run.active:
        return None
    reading = run.job.state == "running" and not run.job.stage
    return min((POLL if reading else SLOW_POLL) * session.slowness, SLOWEST)


def slowed(session: RetrievalSession, polling: float | None, wanted: float | None) -> float | None:
    """The pace from now on: ``wanted``, or half of it when this look came much later than ``polling`` said."""
    now, before = time.monotonic(), session.polled
    session.polled = now
    if polling is None or before is None or now - before <= 2.5 * polling:
        return wanted
    session.slowness = min(2 * session.slowness, 16)
    return None if wanted is None else min(2 * wanted, SLOWEST)


def status(session: RetrievalSession, run: SearchRun, outcome: Outcome) -> None:
    """Draw what goes on, how far it is, and the button that stops it; or how it ended."""
    job = run.job
    if job.active:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="retrieval_status"):
            st.markdown(_doing(session, job, outcome), width="content")
            st.button("Cancel", key="retrieval_cancel", icon=":material/stop_circle:", on_click=job.cancel)
    if job.state == "failed":
        failed("This search could not be made", job)
    elif job.state == "cancelled" and outcome.pool is None:
        st.caption("Cancelled before the pool was ready.")
    for sentence in job.warnings:
        st.warning(ui.plain(sentence), icon=":material/info:")


def failed(title: str, job: Job[Any]) -> None:
    """Why a job failed, and the command that helps where one does."""
    ui.empty(title, job.error, models.WEIGHTS if models.WEIGHTS in job.error else "")


def stage(job: Job[Any]) -> str:
    """What a job loads, and how far it is."""
    count = f": {job.count:,} of {job.total:,} {job.unit}" if job.total else ""
    return ui.plain(f"{job.stage}{count}")


def _doing(session: RetrievalSession, job: Job[Any], outcome: Outcome) -> str:
    if job.state == "waiting":
        ahead = session.queue.ahead(job)
        others = f"{ahead} other {'search is' if ahead == 1 else 'searches are'} before it" if ahead else "starting"
        return f":material/hourglass_empty: Waiting: {others}."
    now = time.monotonic() - (job.began or job.asked)
    if outcome.pool is None or job.stage:
        return f":material/downloading: {stage(job) if job.stage else 'Searching the gallery'}, {now:.0f} s so far"
    left = waiting(outcome, job.times, job.events, now)
    eta = f", about {left.seconds:.0f} s left" if left.seconds is not None and left.seconds >= 1 else ""
    return f":material/visibility: Reading candidate {min(left.done + 1, left.total)} of {left.total}{eta}"
