"""Words of the demo corpus: articles, titles, keywords, emoji names, labels."""

from __future__ import annotations

from typing import Any

import pytest

from engine.demo.captions import article, clean_text, keywords, phrase_from_title, sentence, with_article
from engine.demo.emoji import picture_name, spoken_name
from engine.demo.labels import LABELS, longest_match
from engine.demo.openclipart import read_drawing, series, without_author
from engine.demo.openclipart_labels import OPENCLIPART, openclipart_label
from engine.demo.source_labels import EMOJI, TUXPAINT


@pytest.mark.parametrize(
    ("phrase", "spoken"),
    [
        ("acoustic guitar", "an acoustic guitar"),
        ("lion", "a lion"),
        ("grapes", "grapes"),
        ("bus", "a bus"),
        ("slice of bread", "a slice of bread"),
        ("bread", "bread"),
        ("hourglass", "an hourglass"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("four-leaf clover", "a four-leaf clover"),
        ("four coins", "four coins"),
        ("glass pouring water", "a glass pouring water"),
        ("grey rhinoceros", "a grey rhinoceros"),
        ("people drinking", "people drinking"),
        ("the Sun", "the Sun"),
        ("", ""),
    ],
)
def test_with_article(phrase: str, spoken: str) -> None:
    assert with_article(phrase) == spoken


def test_article_follows_the_sound() -> None:
    assert [article(word) for word in ("X-ray", "US coin", "euro", "egg", "MRI")] == ["an", "a", "a", "an", "an"]


@pytest.mark.parametrize(
    ("title", "phrase"),
    [
        ("lion_01", "lion"),
        ("horse#1", "horse"),
        ("flower2", "flower"),
        ("Perogies (B and W)", "perogies"),
        ("LCD Monitor", "LCD monitor"),
        ("Gelato all&amp;#39;italiana", "gelato all'italiana"),
        ("CayennePepper", "cayenne pepper"),
        ("45 rpm record", "45 rpm record"),
        ("01", ""),
        ("clipart", ""),
    ],
)
def test_phrase_from_title(title: str, phrase: str) -> None:
    assert phrase_from_title(title) == phrase


def test_text_and_sentences() -> None:
    assert clean_text("A \u201cGranny\u201d\u00a0apple &amp;amp; <b>more</b>") == 'A "Granny" apple & more'
    assert sentence("a red apple") == "A red apple."
    assert sentence("Look!") == "Look!"
    assert sentence("  ") == ""
    assert keywords("A drawing of a Red apple", "apple-pie 12 SVG") == ("red", "apple", "pie")


def emoji(code: str, name: str, subcategory: str) -> dict[str, Any]:
    return {"unified": code, "name": name, "short_name": name.lower(), "subcategory": subcategory}


def test_emoji_names() -> None:
    assert spoken_name(emoji("2600-FE0F", "BLACK SUN WITH RAYS", "sky & weather")) == "sun with rays"
    assert spoken_name(emoji("1F408-200D-2B1B", "BLACK CAT", "animal-mammal")) == "black cat"
    assert spoken_name(emoji("1F624", "GRINNING", "face-smiling")) == "grinning face"
    assert spoken_name(emoji("1F468-200D-1F33E", "MAN FARMER", "person-role")) == "male farmer"
    assert spoken_name(emoji("1F9D1-200D-1F33E", "FARMER", "person-role")) is None
    assert spoken_name(emoji("1F3C3-200D-2640-FE0F", "WOMAN RUNNING", "person-activity")) is None
    assert spoken_name(emoji("1F5E1-FE0F", "DAGGER KNIFE", "tool")) is None
    assert picture_name("male farmer") == picture_name("female farmer") == "farmer"


def test_every_mapped_label_exists() -> None:
    mapped = {*TUXPAINT.values(), *EMOJI.values(), *OPENCLIPART.values()} - {None}
    assert mapped <= set(LABELS)


def test_labels_take_the_longest_folder() -> None:
    assert longest_match("animals/mammals/cats", TUXPAINT) == "animal/mammal"
    assert longest_match("animals/mammals/aquatic", TUXPAINT) == "animal/sea"
    assert longest_match("nowhere", TUXPAINT) is None
    assert openclipart_label("animals", "grey_penguin") == "animal/bird"
    assert openclipart_label("tools/weapons", "axe") is None
    assert openclipart_label("food/fruit", "apple with a train") == "food/fruit"


def test_drawings_tell_their_title_even_when_badly_formed(tmp_path: Any) -> None:
    path = tmp_path / "lion.svg"
    path.write_bytes(
        b"<svg><metadata><rdf:RDF><dc:title>Lion &amp; cub</dc:title><dc:subject><rdf:li>animal</rdf:li>"
        b"<rdf:li>hash(0x8a3cd28)</rdf:li></dc:subject><dc:creator><cc:Agent><dc:title>Ann Other</dc:title></cc:Agent>"
        b"</dc:creator></wrong></metadata></svg>"
    )
    drawing = read_drawing(path)
    assert (drawing.title, drawing.author, drawing.subjects) == ("Lion & cub", "Ann Other", ("animal",))
    assert read_drawing(tmp_path / "missing.svg").title == ""


def test_file_names_lose_their_author() -> None:
    assert without_author("lion_nicu_bucule_01", "Nicu Buculei") == "lion"
    assert without_author("red_lion_02", "Someone Else") == "red lion"
    assert series("sailing_capsize2", "x") == series("sailing_capsize3", "x") == "sailing capsize"
