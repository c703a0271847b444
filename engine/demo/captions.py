"""Captions in clean English from titles, file names and emoji names, and keywords from all of them."""

from __future__ import annotations

import html
import re
import unicodedata

# Words that take no article; a phrase whose last word is one of them gets none ("A drawing of bread.").
_UNCOUNTED = frozenset(
    """bread rice cheese water milk tea coffee beer wine juice sugar salt garlic corn spaghetti pasta lasagna sushi bacon
    ham butter honey jam ice snow rain fog smoke money furniture luggage clothing jewelry music ginger asparagus broccoli
    celery cabbage lettuce spinach parsley basil thyme lavender holly ivy bamboo grass wheat cotton lightning thunder paper
    popcorn soup falafel wood fabric thread yarn soap confetti people children men women feet teeth mice geese earth mars
    venus jupiter saturn uranus neptune pluto mercury africa asia europe australia america lemonade toast seaweed hay
    santa cauliflower scissors pants jeans shorts glasses sunglasses goggles pliers tongs binoculars headphones tweezers
    stairs meat pork beef sauce equipment hair hail fireworks wool""".split()
)
_SINGULAR_S = ("ss", "us", "is", "lens", "gas", "rhinoceros", "ceratops", "atlas")
# Where the head of a noun phrase ends: "glass pouring water" is a glass, not water.
_AFTER_HEAD = re.compile(
    r",|\b(?:of|with|in|on|at|for|from|and|under|over|by|behind|near|above|between|before|after|against|"
    r"holding|wearing|showing|lifting|crossing|covering|stretching|doing|counting|pouring|playing|riding|carrying)\b"
)
_AN_EXCEPTIONS = re.compile(r"^(uni(?!n)|use|us\b|usa|euro|one\b|ewe|uk\b|u-|ukulele|utensil|ufo)", re.I)
_A_EXCEPTIONS = re.compile(r"^(hour|honest|heir|mri|x-ray|lp\b|sd\b|mp3|sos\b|hdd\b|8|11|18)", re.I)
_DETERMINED = re.compile(
    r"^(a|an|the|some|two|three|four|five|six|seven|eight|nine|ten|twelve|several|many|his|her|my|our|its|one|no|"
    r"\d+)\s",
    re.I,
)
_STOP = frozenset(
    """a an the of and or with in on at to for from by is are was it its this that these those as be can you your he
    she his her their our my not no who which while being into over under up down out off near very one two some
    drawing line picture emoji 3d photo clip art clipart hash svg png submission image icon black white""".split()
)


def with_article(phrase: str) -> str:
    """``phrase`` as it stands after "a drawing of": with "a" or "an" where English wants one.

    >>> with_article("acoustic guitar"), with_article("grapes"), with_article("slice of bread")
    ('an acoustic guitar', 'grapes', 'a slice of bread')
    """
    if not phrase or _DETERMINED.match(phrase):
        return phrase
    last = (_AFTER_HEAD.split(phrase)[0].strip() or phrase).split()[-1].lower()
    plural = last.endswith("s") and not last.endswith(_SINGULAR_S)
    crowd = phrase.split()[0].lower() in ("people", "children", "men", "women")
    if last in _UNCOUNTED or plural or crowd:
        return phrase
    return f"{article(phrase)} {phrase}"


def article(phrase: str) -> str:
    """``a`` or ``an``, by the sound ``phrase`` begins with."""
    vowel = phrase[:1].lower() in "aeiou"
    if _A_EXCEPTIONS.match(phrase):
        vowel = True
    elif _AN_EXCEPTIONS.match(phrase):
        vowel = False
    return "an" if vowel else "a"


def clean_text(text: str) -> str:
    """Entities resolved (even doubly), accents composed, typographic quotes made plain, white space collapsed."""
    text = unicodedata.normalize("NFC", html.unescape(html.unescape(text)))
    plain: dict[str, str | int | None] = {"“": '"', "”": '"', "’": "'", "‘": "'", "—": " - ", "–": "-", "\u00a0": " "}
    text = re.sub(r"<[^>]+>", " ", text.translate(str.maketrans(plain)))
    return " ".join(text.split())


def phrase_from_title(title: str) -> str:
    """A noun phrase from a title such as ``lion_01``, ``Ice Cream Cone (3 Scoop)`` or ``flower2``; "" if none is left.

    >>> phrase_from_title("lion_01"), phrase_from_title("Acoustic Guitar"), phrase_from_title("45 rpm record")
    ('lion', 'acoustic guitar', '45 rpm record')
    """
    text = clean_text(title).replace("_", " ")
    text = re.sub(r"\((?:b\s*(?:and|&)\s*w|black|colou?r|\d+|alt\w*)\)", " ", text, flags=re.I)
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)  # LionHead -> Lion Head
    text = re.sub(r"(?<=[A-Za-z]{2})[#-]?\d+\b", " ", text)  # flower2 -> flower, horse#1 -> horse
    text = re.sub(r"[\s#-]+\d+\s*$", " ", " " + text)  # lion 01 -> lion
    text = re.sub(r"\b(?:svg|png|clip\s?art|icon|bw|b&w|final|copy|version|ver|v)\b\.?", " ", text, flags=re.I)
    text = re.sub(r"[\"!*#~|]+", " ", text)
    words = " ".join(text.split()).strip(" -.,:;/()").split()
    return " ".join(w if _keeps_case(w) else w.lower() for w in words)


def _keeps_case(word: str) -> bool:
    """Short words in capitals (TV, CD, DNA) and proper names keep their capitals."""
    return (word.isupper() and 1 < len(word) <= 3) or word in _PROPER


_PROPER = frozenset(
    """Santa Claus Christmas Easter Halloween Thanksgiving Valentine Hanukkah Eiffel Paris London Africa Asia Europe
    Australia America American European African Asian English French German Italian Italy Japan Japanese Chinese China
    Indian India Mexican Swiss Viking Egyptian Roman Greek Mars Venus Jupiter Saturn Uranus Neptune Tux
    Canada Canadian Australian Brazil Scottish Irish Dutch Venice Spanish Persian Siamese Dalmatian Labrador
    Victorian Gothic Celtic""".split()
)


def proper_names(text: str) -> str:
    """``text`` with a capital on every proper name: "japanese castle" -> "Japanese castle"."""
    return " ".join(word.capitalize() if word.capitalize() in _PROPER else word for word in text.split())


def sentence(text: str) -> str:
    """``text`` with a capital at the start and a full stop at the end."""
    text = text.strip().rstrip(" .,;:")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('!', '?')) else '.'}" if text else ""


def keywords(*texts: str) -> tuple[str, ...]:
    """Lower-case words of ``texts`` in order of appearance, without stop words, numbers and duplicates."""
    words = re.findall(r"[^\W\d_]{3,}", clean_text(" ".join(texts)).lower())
    return tuple(dict.fromkeys(word for word in words if word not in _STOP))
