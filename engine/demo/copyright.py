"""Licence and author of a file, from a package's machine-readable Debian copyright file (DEP-5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class LicenceTerms:
    """Under which terms a file comes: licence, holders, and where the original was found ("" when unknown)."""

    licence: str
    credit: str


@dataclass(frozen=True)
class _Stanza:
    patterns: tuple[str, ...]
    terms: LicenceTerms


def read_copyright(path: Path) -> list[_Stanza]:
    """The ``Files:`` stanzas of a copyright file, in order."""
    stanzas = []
    for paragraph in re.split(r"\n[ \t]*\n", path.read_text("utf-8")):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if match := re.match(r"([A-Za-z][A-Za-z-]*):\s*(.*)", line):
                key = match[1].lower()
                fields[key] = match[2]
            elif key:
                fields[key] += "\n" + line.strip()
        if "files" in fields and "license" in fields:
            holders = [" ".join(line.split()) for line in fields.get("copyright", "").splitlines()]
            holder = "; ".join(line for line in holders if line and line.lower() not in ("none", "*no copyright*"))
            where = [line for line in fields.get("comment", "").splitlines() if line.startswith(("http", "File"))]
            credit = "; ".join(_without_mail(text) for text in (holder, *where[:1]) if text)
            licence = fields["license"].splitlines()[0].strip()
            stanzas.append(_Stanza(tuple(fields["files"].split()), LicenceTerms(licence, credit)))
    return stanzas


def terms_of(file: str, stanzas: list[_Stanza]) -> LicenceTerms:
    """Terms of ``file`` (a path inside the source tree): the last stanza that names it wins, as in DEP-5.

    A picture converted to WebP after the stanza was written is matched under its old endings too.
    """
    stem = str(PurePosixPath(file).with_suffix(""))
    names = (file, *(stem + ending for ending in (".jpg", ".jpeg", ".png", ".JPG")))
    for stanza in reversed(stanzas):
        if any(fnmatchcase(name, pattern) for pattern in stanza.patterns for name in names):
            return stanza.terms
    raise LookupError(f"no stanza of the copyright file names {file}")


def _without_mail(text: str) -> str:
    return re.sub(r"\s*<[^>]*@[^>]*>", "", text)
