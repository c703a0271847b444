"""What an emoji shows, in words: from the names of the Unicode list, which say "black" for "filled in"."""

from __future__ import annotations

import re
from typing import Any

from engine.demo.captions import proper_names

_LEFT_OUT = re.compile(
    r"(?i)middle finger|pistol|\bbomb\b|dagger|crossed swords|coffin|headstone|funeral|cigarette|no smoking|kaaba|"
    r"mosque|synagogue|hindu|church|shinto|prayer|dotted line|facing right|-thirty|raised hand with part|\bpile of poo|"
    r"bikini|drop of blood|syringe|anger symbol|speech balloon|speech bubble|thought balloon|^zzz|sleeping symbol|"
    r"hundred points|family|couple with heart|^kiss$|kiss:|couple kissing|bunny ear|"
    r"\b(input|copyright|registered|trade mark)\b|kadomatsu|ogre|goblin"
)
# Where the list has a neutral person beside a man and a woman, the neutral one is enough.
_NEUTRAL_ONLY = ("person-activity", "person-sport", "person-gesture", "person-fantasy", "person-resting")
_STYLE_WORDS = re.compile(r"^(?:(?:heavy|black|white|medium) )+", re.I)
_SMALL = {"WITH", "AND", "OF", "IN", "ON", "THE", "AT"}

_BETTER = {
    "1F4A9": None,
    "1F52B": None,
    "2764-FE0F": "red heart",
    "1F9E1": "orange heart",
    "1F5A4": "black heart",
    "1F90D": "white heart",
    "1F90E": "brown heart",
    "2B50": "yellow star",
    "1F31F": "glowing star",
    "1F320": "shooting star",
    "1F4A8": "puff of wind",
    "1F4A6": "splashing drops of water",
    "1F4AB": "dizzy star",
    "1F4A5": "collision burst",
    "1F573-FE0F": "black hole in the ground",
    "1F3B0": "slot machine",
    "1F371": "bento box",
    "1F363": "pieces of sushi",
    "1F3EA": "convenience store",
    "1F3EB": "school building",
    "1F408-200D-2B1B": "black cat",
    "1F426-200D-2B1B": "black bird",
    "1F9AF": "white cane",
    "1F468": "man",
    "1F469": "woman",
    "1F5FF": "stone head of Easter Island",
    "1F5FE": "map of Japan",
    "1F3D3": "table tennis racket and ball",
    "1F642-200D-2194-FE0F": "face shaking its head",
    "1F642-200D-2195-FE0F": "face nodding",
}


def spoken_name(row: dict[str, Any]) -> str | None:
    """What the emoji of ``row`` (an entry of emoji-data) shows, in lower case; None if it does not belong here.

    ``BLACK SUN WITH RAYS`` is black in 1993's fonts only: such style words go, except where they are the colour.
    """
    code = row["unified"]
    if code in _BETTER:
        return _BETTER[code]
    name = (row["name"] or row["short_name"].replace("_", " ").replace("-", " ")).replace("\u2019", "'")
    gendered = "2640" in code or "2642" in code or re.match(r"1F46[89]-", code)
    if _LEFT_OUT.search(name) or (gendered and row["subcategory"] in _NEUTRAL_ONLY):
        return None
    if row["subcategory"] == "person-role" and code.startswith("1F9D1-"):
        return None  # the man and the woman of each trade stay
    if int(code.split("-")[0], 16) < 0x2C00 or (name.isupper() and int(code.split("-")[0], 16) < 0x1F900):
        name = _STYLE_WORDS.sub("", name)
    name = name.lower()
    name = re.sub(r"^(clock) face (.+) (o'?clock)$", r"clock at \2 o'clock", name).replace("oclock", "o'clock")
    name = re.sub(r"\s+(symbol|sign|emoji)$", "", name)
    if row["subcategory"].startswith("face") and "face" not in name and row["subcategory"] != "face-costume":
        name = f"{name} face"
    if row["subcategory"] == "person-role":
        name = re.sub(r"^man (?!in |with |at |feeding )", "male ", name)
        name = re.sub(r"^woman (?!in |with |at |feeding )", "female ", name)
    return proper_names(name)


def picture_name(name: str) -> str:
    """The name without gender, age and size: what variants of one emoji share."""
    words = re.sub(r"\b(man|woman|men|women|male|female|person|people|boy|girl|in|the|a|large|small)\b", " ", name)
    return " ".join(words.split()) or name
