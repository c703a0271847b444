"""What one browser session holds of the Retrieval page: its search, its uploads, the address it has followed. Bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from app.opened import atlases, corpora, models
from app.pages.retrieval.request import FIRST_STEP, Request
from app.pages.retrieval.uploads import Upload
from app.pages.retrieval.view import View
from app.work import Job, Queue, queue
from engine.errors import AtomscopeError, InputError
from engine.inspection.shared_atoms import COMPARED, EncodedCandidate, atlas_item, encode_candidate

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.retrieval.search.events import Event

UPLOADS = 4
"""Uploaded pictures a session keeps, so that Back finds the one before."""


@dataclass
class Run:
    """One search of a session, its events, and what was looked at for the concepts step."""

    request: Request
    job: Job[Event]
    looks: dict[str, Job[EncodedCandidate]] = field(default_factory=dict)


@dataclass
class Session:
    """Lives in Streamlit's session state; nothing of it is shared with other sessions."""

    run: Run | None = None
    draft: Request = Request()
    filled: Request = Request()
    fills: int = 0
    step: str = FIRST_STEP
    fault: str = ""
    uploads: OrderedDict[str, Upload] = field(default_factory=OrderedDict)
    address: dict[str, str] | None = None
    picked: int | None = None
    offered: int = 0
    uploaded: int = 0
    chosen: int = 0
    polled: float | None = None
    slowness: float = 1
    queue: Queue = queue

    def keep(self, upload: Upload) -> None:
        """Hold an upload; the oldest goes when there are more than ``UPLOADS``."""
        self.uploads[upload.digest] = upload
        self.uploads.move_to_end(upload.digest)
        while len(self.uploads) > UPLOADS:
            self.uploads.popitem(last=False)

    def search(self, request: Request) -> bool:
        """Stop the search before and hand in this one; False, with a sentence in ``fault``, if it cannot be made."""
        self.fault = ""
        upload = self.uploads.get(request.upload)
        pictured = Image.new("RGB", (1, 1)) if request.item or upload is not None else None
        try:
            request.query(pictured, None)  # says what is wrong with it
            job: Job[Event] = Job(
                partial(models.search, request=request, upload=upload.image if upload is not None else None)
            )
            self.stop()
            self.queue.put(job)
        except AtomscopeError as error:
            self.fault = str(error)
            return False
        self.picked, self.slowness = None, 1
        self.run = Run(request, job)
        return True

    def stop(self) -> None:
        """Cancel whatever of this session waits or runs."""
        if self.run is not None:
            self.run.job.cancel()
            for job in self.run.looks.values():
                job.cancel()

    def look(self, atlas: Atlas, view: View) -> Job[EncodedCandidate] | None:
        """The job that looks at query picture and first candidates with an atlas; handed in when first asked for."""
        run = self.run
        if run is None or view.done is None:
            return None
        job = run.looks.get(atlas.key)
        if job is None:
            upload = self.uploads.get(run.request.upload)
            items = [row.entry.item for row in view.final[:COMPARED]]
            job = Job(partial(_look, key=atlas.key, request=run.request, upload=upload, items=items))
            run.looks[atlas.key] = job
            try:
                self.queue.put(job)
            except AtomscopeError as error:
                job.state, job.error = "failed", str(error)
        return job


def _look(job: Job[EncodedCandidate], key: str, request: Request, upload: Upload | None, items: list[int]) -> None:
    """In the worker: look at the pictures one by one."""
    atlas = atlases.find(key)
    entry = corpora.entry(request.corpus)
    if atlas is None or entry is None or entry.corpus is None:
        raise InputError("The atlas or the corpus is not open any more.")
    corpus = entry.corpus
    encoder = lambda: models.encoder(key).get(job)  # noqa: E731
    loads: list[tuple[Any, int | None, Callable[[], Image.Image]]] = []
    if upload is not None:
        loads.append(("query", None, lambda: upload.image))
    elif request.item and (row := models.item_row(entry, request.item)) is not None:
        loads.append(("query", atlas_item(atlas, corpus.hash, row), partial(corpus.load, row)))
    for item in items:
        if corpus.items["kind"].iat[item] == "image":
            loads.append((item, atlas_item(atlas, corpus.hash, item), partial(corpus.load, item)))
    for who, known, load in loads:
        if job.cancelled():
            return
        job.emit(encode_candidate(encoder, atlas, who, known, load))
