"""One reader for each kind of source: from an unpacked package to candidates."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

from engine.demo import openclipart
from engine.demo.archives import read_rcc
from engine.demo.candidates import Box, Candidate
from engine.demo.captions import clean_text, keywords, sentence, with_article
from engine.demo.copyright import read_copyright, terms_of
from engine.demo.drawings import rasterise
from engine.demo.emoji import picture_name, spoken_name
from engine.demo.labels import longest_match
from engine.demo.paintings import assemble
from engine.demo.source_labels import EMOJI, TUXPAINT
from engine.errors import InputError
from engine.files import atomic_path

TABLES = Path(__file__).parent / "tables"


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of ``tables/NAME.csv``."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- photographs: named one by one in a table


def photographs(folders: dict[str, Path]) -> list[Candidate]:
    """Every row of ``tables/photographs.csv``: pictures that were looked at one by one, with captions to match."""
    candidates = []
    uses = Counter((row["package"], row["path"]) for row in read_table("photographs"))
    for row in read_table("photographs"):
        package, path = row["package"], row["path"]
        name, original = _locate(folders[package], path)
        if not original.is_file():
            raise InputError(f"{package} holds no {path}. Correct that row of tables/photographs.csv.")
        licence, credit = row["licence"], row["credit"]
        if not licence:
            terms = terms_of(_source_path(package, path), _stanzas(folders[package], package))
            licence, credit = terms.licence, terms.credit
        crop = _box(row["crop"])
        again = f"#{row['crop'].replace(' ', ',')}" if uses[package, path] > 1 else ""
        candidates.append(
            Candidate(
                id=f"{package}/{name}{again}",
                path=original,
                caption=row["caption"],
                label=row["label"],
                keywords=keywords(row["keywords"], row["caption"]),
                source=package,
                licence=spdx(licence),
                credit=credit,
                group=f"{package}/{name}",
                photo=row["kind"] == "photo",
                crop=crop,
            )
        )
    return candidates


def _box(text: str) -> Box | None:
    if not text:
        return None
    left, top, right, bottom = (float(number) for number in text.split())
    return left, top, right, bottom


def _locate(folder: Path, path: str) -> tuple[str, Path]:
    """Short name and place of ``path``; ``X.rcc/inner/path`` is a file inside a Qt resource, unpacked once."""
    if ".rcc/" not in path:
        name = path.removeprefix("usr/share/").replace("/contents/images", "")
        return str(PurePosixPath(name).with_suffix("")), folder / path
    archive, inner = path.split(".rcc/", 1)
    unpacked = folder / "rcc" / archive
    if not unpacked.is_dir():
        with atomic_path(unpacked) as temporary:
            for name, content in read_rcc(folder / f"usr/share/gcompris-qt/rcc/{archive}.rcc"):
                target = temporary / PurePosixPath(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    short = str(
        PurePosixPath(inner.removeprefix("gcompris/src/activities/").replace("/resource/", "/")).with_suffix("")
    )
    if inner.endswith(".svg"):
        return short, rasterise(unpacked / inner, folder / "rasterised" / f"{short}.png") or unpacked / inner
    if not inner.endswith(".qml"):
        return short, unpacked / inner
    whole = folder / "assembled" / f"{PurePosixPath(inner).stem}.png"
    return short, whole if whole.is_file() else assemble(unpacked / inner, whole)


def _source_path(package: str, path: str) -> str:
    """The path that the copyright file of ``package`` uses for ``path``."""
    if ".rcc/" in path:
        return path.split(".rcc/gcompris/", 1)[1]
    inside = path.split("backgrounds/", 1)[-1]
    if package.startswith("lomiri"):
        return f"{package.rsplit('-', 1)[1]}/{inside}"
    return inside.removeprefix("mate/")


@cache
def _stanzas(folder: Path, package: str):  # type: ignore[no-untyped-def]
    return read_copyright(folder / f"usr/share/doc/{package}/copyright")


def spdx(licence: str) -> str:
    """Debian's short licence names as SPDX spells them."""
    table = {
        "GPL-2": "GPL-2.0-only",
        "GPL-2+": "GPL-2.0-or-later",
        "GPL-3": "GPL-3.0-only",
        "GPL-3+": "GPL-3.0-or-later",
        "GFDL": "GFDL-1.2-or-later",
        "GFDL-NIV-1.2": "GFDL-1.2-no-invariants-only",
        "LGPL-3.0": "LGPL-3.0-only",
        "public-domain": "public domain",
    }
    return table.get(licence, licence)


# ---------------------------------------------------------------- Tux Paint stamps

_STAMPS = "usr/share/tuxpaint/stamps"
_STAMPS_LEFT_OUT = re.compile(
    r"_mirror$|^symbols/(alphabets|math|chess|shapes|money/00_symbols)|^military|^seasonal/halloween/grave|/tux|"
    r"usps_mailbox|^vehicles/emergency/sedan_police|bikini|^people/body_parts/(wig|hair|manga|head_|eye_)|blankroadsign"
)


def tuxpaint(folder: Path) -> list[Candidate]:
    """Stamps with a caption. Alphabets, digits, mirrored copies, weapons and gravestones stay out."""
    credits = read_table("tuxpaint_credits")
    candidates = []
    files = sorted((folder / _STAMPS).rglob("*.png"))
    files += [path for path in sorted((folder / _STAMPS).rglob("*.svg")) if not path.with_suffix(".png").is_file()]
    for path in files:
        stamp = str(path.relative_to(folder / _STAMPS).with_suffix(""))
        text = path.with_suffix(".txt")
        parent = str(PurePosixPath(stamp).parent)
        label = longest_match(parent, TUXPAINT)
        if _STAMPS_LEFT_OUT.search(stamp) or label is None or not text.is_file():
            continue
        title = clean_text(text.read_text("utf-8").splitlines()[0])
        known = next((row for row in credits if fnmatchcase(stamp, row["stamp"])), {})  # the first row that fits
        if known.get("licence") == "unclear":
            continue
        picture = path if path.suffix == ".png" else rasterise(path, folder / "rasterised" / f"{stamp}.png")
        if picture is None:
            continue
        if path.suffix == ".svg" or "/cartoon" in stamp:
            title = f"A drawing of {title[:1].lower()}{title[1:]}"
        stem = re.sub(r"[\d_-]+$", "", PurePosixPath(stamp).name.lower())
        candidates.append(
            Candidate(
                id=f"tuxpaint/{stamp}",
                path=picture,
                caption=sentence(title),
                label=label,
                keywords=keywords(title, parent.replace("/", " "), PurePosixPath(stamp).name.replace("_", " ")),
                source="tuxpaint-stamps-default",
                licence=known.get("licence") or "GPL-2.0-only",
                credit=known.get("credit") or "Bill Kendrick and the contributors of Tux Paint stamps",
                group=f"tuxpaint/{parent}/{stem}",
            )
        )
    return candidates


# ---------------------------------------------------------------- emoji


def emoji(pictures: Path, names: Path) -> list[Candidate]:
    """Three-dimensional emoji: no flags, symbols, families, skin tones, clock faces or weapons."""
    rows = json.loads((names / "package/emoji.json").read_text("utf-8"))
    candidates = []
    for row in rows:
        label = EMOJI.get(row["subcategory"])
        name = spoken_name(row)
        path = pictures / "package/assets" / f"{row['unified'].lower()}.webp"
        if label is None or name is None or row["category"] in ("Flags", "Symbols", "Component") or not path.is_file():
            continue
        if re.search(r"(?i)\b(train|tram|railway|locomotive|metro|monorail|station|shinkansen)", name):
            label = "vehicle/rail" if row["subcategory"].startswith("transport") else label
        if re.search(r"(?i)rocket|satellite|telescope|planet|comet|milky way|shooting star", name):
            label = "sky/space"
        if row["subcategory"] == "transport-ground" and re.search(r"(?i)traffic light|stop sign|construction", name):
            label = "sign/road"
        candidates.append(
            Candidate(
                id=f"emoji/{row['unified'].lower()}",
                path=path,
                caption=sentence(f"A 3D emoji of {with_article(name)}"),
                label=label,
                keywords=keywords(name, *(text.replace("_", " ").replace("-", " ") for text in row["short_names"])),
                source="@lobehub/fluent-emoji-3d",
                licence="MIT",
                credit="Microsoft, Fluent Emoji",
                group=f"emoji/{picture_name(name)}",
            )
        )
    return candidates


# ---------------------------------------------------------------- Open Clip Art


def clipart(pictures: Path, drawings: Path) -> list[Candidate]:
    """Clip art with a title that says something, or with a caption in ``tables/edits.csv``."""
    return openclipart.read(pictures / "usr/share/openclipart/png", drawings / "usr/share/openclipart/svg")


def apply_edits(candidates: list[Candidate]) -> list[Candidate]:
    """``tables/edits.csv`` applied: pictures dropped, captions and labels corrected after looking at them.

    Clip art ships only if it has a row there: its titles alone are not to be trusted.
    """
    edits = {row["id"]: row for row in read_table("edits")}
    kept = []
    for candidate in candidates:
        row = edits.get(candidate.id)
        if (row and row["label"] == "drop") or (row is None and candidate.id.startswith("openclipart/")):
            continue
        if row:
            caption = row["caption"] or candidate.caption
            candidate = replace(
                candidate,
                caption=caption,
                label=row["label"] or candidate.label,
                keywords=keywords(caption, " ".join(candidate.keywords)) if row["caption"] else candidate.keywords,
            )
        if candidate.caption:
            kept.append(candidate)
    return kept


__all__ = ["TABLES", "apply_edits", "clipart", "emoji", "photographs", "read_table", "spdx", "tuxpaint"]
