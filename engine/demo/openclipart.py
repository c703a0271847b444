"""Open Clip Art: pictures from one package, titles, keywords and authors from the drawings of the same name."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.demo.candidates import Candidate
from engine.demo.captions import clean_text, keywords, phrase_from_title, sentence, with_article
from engine.demo.openclipart_labels import openclipart_label

_LEFT_OUT = re.compile(
    r"(?i)flag|logo|weapon|\bgun|pistol|rifle|sword|\bbomb|grenade|skull|nude|naked|sexy|bikini|\bbra\b|lingerie|"
    r"pantyhose|blood|\bdead|corpse|cross\b|crucif|jesus|christ\b|buddha|allah|swastika|soviet|hammer_and|bush|clinton|"
    r"obama|lenin|stalin|hitler|che_gue|cigar|smok|drug|cannabis|marijuana|mozilla|firefox|linux|tux|apple_logo|gnome|"
    r"\bkde|debian|ubuntu|windows|microsoft|google|inkscape|gimp|nintendo|gameboy|playstation|letter_|alphabet|"
    r"button|border|frame|pattern|banner|corner|ornament|template|background|arrow|kanji|text|copyright|barcode|"
    r"condom|penis|breast|butt\b|toilet_sign|porn|devil|satan|hangman|gallows|noose|hummer|certificate|icon_theme"
)
_BLACK_AND_WHITE = re.compile(r"(?i)_bw\b|_bw_|\bb and w\b|b&w|black_and_white|blackwhite|lineart|line_art|outline")
_GENERIC = re.compile(
    r"(?i)^(svg|clip\s?art by|etiquette|aiga|various|r\d+ |blueberry|no title|untitled|unnamed|drawing|image|test|"
    r"picture|open ?clip|cliparts?$|new |my |misc|symbols?$|icons?$|.{0,2}$)|^\d+$"
)


@dataclass(frozen=True)
class Drawing:
    """The metadata of a drawing."""

    title: str
    description: str
    subjects: tuple[str, ...]
    author: str


def read_drawing(path: Path) -> Drawing:
    """Metadata of an SVG file. Its RDF is often not well formed, so the few fields are searched for, not parsed."""
    if not path.is_file():
        return Drawing("", "", (), "")
    match = re.search(rb"<metadata.*?</metadata>", path.read_bytes(), re.DOTALL)
    text = match[0].decode("utf-8", "replace") if match else ""
    author = re.search(r"<dc:title[^>]*>(.*?)</dc:title>", _field(text, "dc:creator"), re.DOTALL)
    subjects = re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", text, re.DOTALL)
    return Drawing(
        clean_text(_field(text, "dc:title")),
        clean_text(_field(text, "dc:description")),
        tuple(word for word in map(clean_text, subjects) if word and "hash" not in word and "@" not in word),
        clean_text(author[1]) if author else "",
    )


def _field(text: str, name: str) -> str:
    match = re.search(rf"<{name}\b[^>]*>(.*?)</{name}>", text, re.DOTALL)
    return match[1] if match else ""


def read(pictures: Path, drawings: Path) -> list[Candidate]:
    """Every clip-art picture that can be said in words. Black-and-white copies and lettering stay out."""
    found: list[tuple[str, Path, Drawing]] = []
    shared: dict[str, set[str]] = defaultdict(set)
    for path in sorted(pictures.rglob("*.png")):
        name = str(path.relative_to(pictures).with_suffix(""))
        drawing = read_drawing(drawings / f"{name}.svg")
        found.append((name, path, drawing))
        shared[drawing.title.lower()].add(re.sub(r"[\d_]+", "", PurePosixPath(name).name)[:6])
    candidates = []
    for name, path, drawing in found:
        folder, stem = str(PurePosixPath(name).parent), PurePosixPath(name).name
        words = f"{stem} {drawing.title} {' '.join(drawing.subjects)}"
        label = openclipart_label(folder, words)
        if label is None or _LEFT_OUT.search(words) or _BLACK_AND_WHITE.search(f"{stem} {drawing.title}"):
            continue
        generic = _GENERIC.search(drawing.title) or len(shared[drawing.title.lower()]) > 3
        phrase = "" if generic else phrase_from_title(drawing.title)
        phrase = phrase or phrase_from_title(without_author(stem, drawing.author))
        candidates.append(
            Candidate(
                id=f"openclipart/{name}",
                path=path,
                caption=sentence(f"A drawing of {with_article(phrase)}") if len(phrase) > 2 else "",
                label=label,
                keywords=keywords(phrase, drawing.description, *drawing.subjects),
                source="openclipart-png",
                licence="public domain",
                credit=drawing.author,
                group=f"openclipart/{folder}/{series(stem, drawing.author)}",
            )
        )
    return candidates


def without_author(stem: str, author: str) -> str:
    """A file name without the author that the library appends, cut short (``lion_nicu_bucule_01`` -> ``lion``)."""
    name = re.sub(r"[^a-z]", "", author.lower())
    parts = stem.lower().split("_")
    while len(parts) > 1 and (not parts[-1] or parts[-1].isdigit() or parts[-1] in ("bw", "ganson")):
        parts.pop()
    for start in range(1, len(parts)):
        tail = re.sub(r"[^a-z]", "", "".join(parts[start:]))
        if len(tail) > 3 and name.startswith(tail):
            return " ".join(parts[:start])
    return " ".join(parts)


def series(stem: str, author: str) -> str:
    """What numbered variants of one drawing share (``sailing_capsize2`` and ``sailing_capsize3``)."""
    return re.sub(r"(?:[\s_-]*(?:alt|revisited)?\d+)+$", "", without_author(stem, author)).strip() or stem
