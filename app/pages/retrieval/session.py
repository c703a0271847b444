"""What one browser session holds of the Retrieval page: its search, its uploads, what its controls say. Bounded.

Streamlit's session state is read and written here alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.opened import corpora
from app.pages.retrieval import worker
from app.pages.retrieval.outcome import Outcome
from app.pages.retrieval.request import FIRST_STEP, Request
from app.pages.retrieval.uploads import Upload
from app.work import Job, Queue, queue
from engine.errors import AtomscopeError
from engine.inspection.shared_atoms import COMPARED, EncodedCandidate

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.retrieval.search.events import Event

UPLOADS = 4
"""Uploaded pictures a session keeps, so that Back finds the one before."""


@dataclass
class SearchRun:
    """One search of a session.

    Attributes
    ----------
    request : Request
    entry : CorpusEntry or None
        The corpus as it was when the search was asked for: the rows of its events are rows of this one.
    answer : int or None
        Corpus row the query is known to ask for.
    job : Job
        Its events so far.
    encoded : dict
        Atlas key -> the job that encodes its pictures, for the concepts step.
    """

    request: Request
    entry: corpora.CorpusEntry | None
    answer: int | None
    job: Job[Event]
    encoded: dict[str, Job[EncodedCandidate]] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether the worker has something to do for it."""
        return self.job.active or any(job.active for job in self.encoded.values())

    def stop(self) -> None:
        """Cancel whatever of it waits or runs."""
        self.job.cancel()
        for job in self.encoded.values():
            job.cancel()


@dataclass
class RetrievalSession:
    """Lives in Streamlit's session state; nothing of it is shared with other sessions.

    Attributes
    ----------
    run : SearchRun or None
        The search that is shown.
    draft, filled : Request
        What the controls said last; what they were last set to.
    fills, uploaded, chosen : int
        How often controls were set, files came, pictures were chosen: parts of widget keys, see :meth:`fill`.
    step, picked
        The step that is shown, and the corpus row of the candidate it is about.
    fault : str
        Why the last search could not be made.
    address : dict or None
        The part of the address that was followed or written last.
    unwritten : bool
        Whether the address does not yet say what is shown.
    offered : int
        Seed of the pictures that are offered.
    polled, slowness
        When the results were drawn last, and how many times slower than wished they are drawn.
    """

    run: SearchRun | None = None
    draft: Request = Request()
    filled: Request = Request()
    fills: int = 0
    step: str = FIRST_STEP
    fault: str = ""
    uploads: OrderedDict[str, Upload] = field(default_factory=OrderedDict)
    address: dict[str, str] | None = None
    unwritten: bool = False
    picked: int | None = None
    offered: int = 0
    uploaded: int = 0
    chosen: int = 0
    polled: float | None = None
    slowness: float = 1
    queue: Queue = queue

    # The controls.

    def key(self, name: str) -> str:
        """Name of a control as it is now, see :meth:`fill`."""
        return f"retrieval_{name}_{self.fills}"

    def said(self, name: str, default: Any) -> Any:
        """What a control says; ``default`` while the browser has not shown it."""
        value = st.session_state.get(self.key(name))
        return default if value is None else value

    def shows(self, name: str) -> bool:
        """Whether a control is there: hidden ones are forgotten."""
        return self.key(name) in st.session_state

    def fill(self, request: Request) -> None:
        """Set every control to what a request says.

        The controls get new names, and with them new beginnings: a value that is written into the session's state does not
        reach a widget the browser has not mounted yet, such as those of a closed popover.
        """
        self.draft = self.filled = request
        self.fills += 1

    @property
    def upload_key(self) -> str:
        """Name of the control that takes a file, a new one after every file: the widget lets go of its bytes."""
        return f"retrieval_upload_{self.uploaded}"

    def uploaded_file(self) -> Any:
        """The file that has just come, None if there is none."""
        return st.session_state.get(self.upload_key)

    def keep(self, upload: Upload) -> None:
        """Hold an upload; the oldest goes when there are more than ``UPLOADS``."""
        self.uploads[upload.digest] = upload
        self.uploads.move_to_end(upload.digest)
        while len(self.uploads) > UPLOADS:
            self.uploads.popitem(last=False)

    def encode(self, atlas: Atlas, outcome: Outcome) -> Job[EncodedCandidate] | None:
        """The job that encodes query picture and first candidates with an atlas; handed in when first asked for."""
        run = self.run
        if run is None or run.entry is None or outcome.done is None:
            return None
        job = run.encoded.get(atlas.key)
        if job is None:
            upload = self.uploads.get(run.request.upload)
            work = partial(
                worker.encode,
                atlas=atlas,
                entry=run.entry,
                request=run.request,
                upload=upload.image if upload is not None else None,
                items=[row.entry.item for row in outcome.final[:COMPARED]],
            )
            job = run.encoded[atlas.key] = Job(work)
            try:
                self.queue.put(job)
            except AtomscopeError as error:
                job.state, job.error = "failed", str(error)
        return job


def current() -> RetrievalSession:
    """The session of the browser that is served now."""
    session: RetrievalSession = st.session_state.setdefault("retrieval", RetrievalSession())
    return session
