"""``validate_atlas``: every sentence of ``FORMAT.md`` that a program can check, one line for each fault."""

from engine.atlas.validation.run import validate_atlas

__all__ = ["validate_atlas"]
