"""The format of an atlas in code: its tables, how they are read and how they are written. ``FORMAT.md`` is normative."""
