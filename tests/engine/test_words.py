"""Words of every script: whole, with their marks; and English ones as a plain pattern of letters cuts them."""

from __future__ import annotations

import re
import unicodedata

import pytest

from engine.atlas.build.naming.words import STOP_WORDS, collect_terms
from engine.corpus import open_corpus
from engine.paths import DEMO_CORPUS
from engine.words import find_name_words, find_words, goes_on, has_word, is_long_enough


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("लाल बिल्ली, नीली गाड़ी।", ["लाल", "बिल्ली", "नीली", "गाड़ी"]),
        ("แมวสีแดง กับ น้ำ", ["แมวสีแดง", "กับ", "น้ำ"]),
        ("قِطَّةٌ حَمْراءُ، سيارة", ["قِطَّةٌ", "حَمْراءُ", "سيارة"]),
        ("می\u200cخواهم برو\u200c.", ["می\u200cخواهم", "برو"]),
        ("红色的猫，狗", ["红色的猫", "狗"]),
        ("赤い猫。カレー", ["赤い猫", "カレー"]),
        ("빨간 고양이", ["빨간", "고양이"]),
        ("Η γάτα — кошка", ["Η", "γάτα", "кошка"]),
        ("cafe\u0301 d’été 2024 ❤️", ["café", "d’été"]),
        ("தமிழ் පූ\u200dර්ව", ["தமிழ்", "පූ\u200dර්ව"]),
    ],
)
def test_words_of_every_script_stay_whole(text: str, words: list[str]) -> None:
    wanted = [unicodedata.normalize("NFC", word) for word in words]
    assert find_words(text) == wanted
    assert find_words(unicodedata.normalize("NFD", text)) == wanted


def test_a_single_letter_counts_where_the_script_has_no_case() -> None:
    assert all(is_long_enough(word) for word in ("狗", "न", "मा", "い", "ab", "né"))
    assert not any(is_long_enough(word) for word in ("a", "é", "x\u0301", "я", "ª", "ℹ", "½", "ー", ""))


def test_labels_keep_their_digits() -> None:
    assert find_name_words("class_1 a x-ray's बिल्ली 狗 3d") == ["class_1", "x-ray's", "बिल्ली", "狗"]


def test_a_word_goes_on_over_its_marks() -> None:
    assert all(map(goes_on, "बिल्ली")) and all(map(goes_on, "a1é\u0301\u200c")) and not any(map(goes_on, " -_.।"))
    assert has_word("ि") and has_word("7") and not has_word("-_. …❤️")


def test_atoms_of_hindi_and_chinese_captions_have_terms() -> None:
    captions = ["लाल बिल्ली", "लाल बिल्ली बैठी", "红猫 坐", "红猫 坐"]
    assert {"लाल", "बिल्ली", "लाल बिल्ली", "红猫", "坐"} <= set(collect_terms(captions, [[]] * 4, [""] * 4).names)


def test_english_words_are_what_a_plain_pattern_of_letters_finds() -> None:
    plain = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
    name = re.compile(r"[^\W\d_][\w'-]+")
    items = open_corpus(DEMO_CORPUS).items
    texts = [*items["caption"], *items["label"], *(word for words in items["keywords"] for word in words)]
    assert len(texts) > 1000
    for text in texts:
        old = [word for word in plain.findall(text) if len(word) >= 2]
        assert [word for word in find_words(text) if is_long_enough(word)] == old
        assert find_name_words(text) == name.findall(text)
    assert all(is_long_enough(word) or len(word) == 1 for word in STOP_WORDS)
