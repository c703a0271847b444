"""One run on many processes, started by torchrun: who takes which part. What they exchange, torch exchanges."""

from engine.distributed.group import ALONE, Group, end_process, joined

__all__ = ["ALONE", "Group", "end_process", "joined"]
