"""What one browser session holds of the Compare page: the jobs it has asked for, so that a rerun does not ask again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from app.work import Job, Queue, queue
from engine.errors import AtomscopeError

KEPT = 6
"""Jobs whose results a session keeps: stepping back to a picture shows it at once."""


@dataclass
class CompareSession:
    """Lives in Streamlit's session state; nothing of it is shared with other sessions."""

    jobs: OrderedDict[Hashable, Job[Any]] = field(default_factory=OrderedDict)
    queue: Queue = queue

    def ask(self, key: Hashable, work: Callable[[Job[Any]], None]) -> Job[Any]:
        """The job under ``key``; handed in when it is asked for the first time, or again after it was stopped unseen."""
        job = self.jobs.get(key)
        if job is None or job.state == "cancelled":
            job = self.jobs[key] = Job(work)
            try:
                self.queue.put(job)
            except AtomscopeError as error:
                job.state, job.error = "failed", str(error)
        self.jobs.move_to_end(key)
        while len(self.jobs) > KEPT:
            _, oldest = self.jobs.popitem(last=False)
            oldest.cancel()
        return job

    @property
    def active(self) -> bool:
        """Whether any of them waits or runs."""
        return any(job.active for job in self.jobs.values())
