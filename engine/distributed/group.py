"""The processes of one run. Without torchrun there is one, and everything here is the identity.

    torchrun --nproc-per-node 2 --no-python atomscope train --acts STORE -o RUN
    torchrun --nproc-per-node 2 -m engine.cli.main extract --images DIR -o STORE

torchrun says by environment variables who is who; torch.distributed carries the sums, by gloo on CPUs and NCCL on GPUs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from engine.errors import AtomscopeError, InputError, first_line
from engine.progress import Progress, SilentProgress

T = TypeVar("T")

_WAIT = timedelta(minutes=30)
_GONE = (
    "Another process of this run has ended, so this one stops too. What was written so far is kept: run the same command "
    "again to go on."
)


@dataclass(frozen=True)
class Group:
    """The processes of this run.

    Attributes
    ----------
    rank : int
        This process, from 0. The first one logs and writes.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process logs and writes."""
        return self.rank == 0

    def progress(self, progress: Progress) -> Progress:
        """``progress`` for the first process, a silent one for the others."""
        return progress if self.first else SilentProgress()

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """This process's run of consecutive ``items``; lengths differ by one at most."""
        return items[self.rank * len(items) // self.size : (self.rank + 1) * len(items) // self.size]

    def tokens(self, x: Tensor) -> Tensor:
        """This process's share of the tokens ``x`` [N, d]; all of them where there are fewer than processes."""
        if self.size == 1 or len(x) < self.size:
            return x
        return x[self.rank * len(x) // self.size : (self.rank + 1) * len(x) // self.size]

    def device(self, name: str) -> str:
        """``name``, with a GPU of its own for every process where it leaves the choice."""
        if self.size > 1 and (name == "cuda" or (name == "auto" and torch.cuda.is_available())):
            return f"cuda:{int(os.environ.get('LOCAL_RANK', self.rank)) % torch.cuda.device_count()}"
        return name

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of every process's ``tensor``, the same on all of them; the argument is left alone."""
        if self.size == 1:
            return tensor
        result = tensor.detach().clone()
        dist.all_reduce(result)
        return result

    def gathered_objects(self, value: T) -> list[T]:
        """Every process's ``value`` (plain data), in the order of ranks."""
        if self.size == 1:
            return [value]
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, value)
        return parts

    def agreed(self, yes: bool) -> bool:
        """The first process's value, on all processes."""
        return bool(self.sum(torch.tensor(float(yes and self.first), device=_place()))) if self.size > 1 else yes

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            self.sum(torch.zeros((), device=_place()))


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group of this run, left again at the end; of one process where torchrun did not start this.

    Raises
    ------
    InputError
        If torchrun's variables are there in part only.
    AtomscopeError
        If another process ends before the work is done.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if not size.isdecimal() or (size != "1" and not os.environ.get("RANK", "").isdecimal()):
        raise InputError("WORLD_SIZE and RANK do not describe a run of several processes: start it with torchrun.")
    if int(size) <= 1:
        yield Group()
        return
    group = Group(int(os.environ["RANK"]), int(size))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_WAIT)
        yield group
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo/" in str(error)):  # gloo has no error class of its own
            raise
        raise AtomscopeError(f"{_GONE} ({first_line(error)[:120]})") from error
    finally:
        signal.signal(signal.SIGTERM, before)
        if dist.is_initialized():
            dist.destroy_process_group()


def end_process(status: int) -> NoReturn:
    """End this process of a run of several with an exit status, without taking the interpreter down piece by piece.

    gloo's threads still let go of tensors when Python is already finalising. A thread that then asks for the interpreter's lock
    is ended inside C++ code, and the process aborts though its work is done (seen in one of eight runs with a split dictionary,
    torch 2.13), which torchrun takes for a failure of the whole run.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _ended(number: int, frame: object) -> NoReturn:
    """torchrun ends the other processes with SIGTERM when one is gone."""
    raise AtomscopeError(_GONE)


def _place() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
