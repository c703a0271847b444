"""The queue: one at a time, bounded, and every way a job can end."""

from __future__ import annotations

import threading
import time

import pytest

from app import work
from app.work import Job, Queue
from engine.errors import AtomscopeError, InputError


def until(condition, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_jobs_run_one_after_another_and_keep_apart() -> None:
    running: list[int] = []
    most: list[int] = []

    def run(number: int, job: Job[int]) -> None:
        running.append(number)
        most.append(len(running))
        time.sleep(0.02)
        job.emit(number)
        running.remove(number)

    queue = Queue()
    jobs = [Job[int](lambda job, n=n: run(n, job)) for n in range(4)]
    for job in jobs:
        queue.put(job)
    until(lambda: not any(job.active for job in jobs))
    assert [job.events for job in jobs] == [[0], [1], [2], [3]] and max(most) == 1
    assert all(job.state == "done" and job.ended is not None for job in jobs)


def test_a_full_queue_refuses_with_a_sentence_and_says_how_many_are_ahead() -> None:
    gate = threading.Event()
    queue = Queue(waiting=2)
    first = Job[int](lambda job: gate.wait(5) and None)
    queue.put(first)
    until(lambda: first.state == "running")
    waiting = [Job[int](lambda job: None) for _ in range(2)]
    for job in waiting:
        queue.put(job)
    assert [queue.ahead(job) for job in (first, *waiting)] == [0, 1, 2]
    with pytest.raises(AtomscopeError, match="2 searches wait already"):
        queue.put(Job[int](lambda job: None))
    waiting[0].cancel()  # who gives up makes room
    queue.put(last := Job[int](lambda job: None))
    gate.set()
    until(lambda: not last.active)
    assert waiting[0].state == "cancelled" and waiting[1].state == "done"


def test_cancelling_keeps_what_was_yielded() -> None:
    def run(job: Job[int]) -> None:
        for number in range(1000):
            if job.cancelled():
                return
            job.emit(number)
            time.sleep(0.005)

    job = Job[int](run)
    queue = Queue()
    queue.put(job)
    until(lambda: len(job.events) > 2)
    job.cancel()
    until(lambda: not job.active)
    assert job.state == "cancelled" and 2 < len(job.events) < 1000 and len(job.times) == len(job.events)


def test_nobody_looks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "ABANDONED", 0.05)
    job = Job[int](lambda job: until(job.cancelled))
    queue = Queue()
    queue.put(job)
    until(lambda: not job.active)
    assert job.state in ("done", "cancelled")


def test_failures_are_sentences_and_the_queue_goes_on() -> None:
    def bad(job: Job[int]) -> None:
        raise InputError("This is no picture.")

    def broken(job: Job[int]) -> None:
        raise RuntimeError("secret path /root/x")

    queue = Queue()
    jobs = [Job[int](bad), Job[int](broken), Job[int](lambda job: job.emit(1))]
    for job in jobs:
        queue.put(job)
    until(lambda: not any(job.active for job in jobs))
    assert jobs[0].error == "This is no picture." and jobs[0].state == "failed"
    assert "the server's log says why" in jobs[1].error and "secret" not in jobs[1].error
    assert jobs[2].events == [1]


def test_events_are_bounded() -> None:
    job = Job[int](lambda job: [job.emit(n) for n in range(100)] and None, most=10)
    job.run()
    assert len(job.events) == 10
