"""Atlases of texts: the token table says what the store says, names come from words, and the validator sees what is wrong."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.activations import ActivationStore
from engine.atlas import Atlas
from engine.atlas.build.naming.scores import RankedNames
from engine.atlas.build.naming.texts import prefer_one_word
from engine.atlas.format.meta import hash_files
from engine.atlas.format.texts import Snippets
from engine.atlas.format.writer import Exemplars
from engine.atlas.validation import validate_atlas
from tests.text_atlases import text_atlas


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_atlas(tmp_path_factory.mktemp("texts"))


def test_the_atlas_is_sound_and_holds_the_tokens_of_the_store(built: Path) -> None:
    assert validate_atlas(built) == []
    atlas, store = Atlas.open(built), ActivationStore.open(built.parent / "store")
    assert atlas.is_text and atlas.tokens is not None
    ids, starts = atlas.tokens
    assert store.token_ids is not None and store.token_starts is not None
    assert np.array_equal(ids, store.token_ids) and np.array_equal(starts, store.token_starts)
    assert atlas.meta["format"]["minor"] >= 1 and atlas.meta["thumbs"] == {"kind": "none"}
    assert atlas.meta["counts"]["tokens"] == atlas.n_items * atlas.n_positions == store.n_tokens
    # Every character of a chunk belongs to exactly one token.
    for item in range(atlas.n_items):
        words = atlas.snippets
        pieces = [words.captions[item][slice(*words.span(item, place))] for place in range(atlas.n_positions)]
        assert "".join(pieces) == words.captions[item]


def test_an_exemplar_fires_at_its_position(built: Path) -> None:
    atlas, store = Atlas.open(built), ActivationStore.open(built.parent / "store")
    sae = atlas.sae()
    live = atlas.atoms.index[atlas.atoms["firing_count"] > 0]
    assert len(live) > 10
    for atom in map(int, live[:10]):
        for row in atlas.exemplars(atom, "top").itertuples():
            codes = sae.encode(store.item(int(row.item))).dense().detach()[:, atom]
            assert float(codes.max()) == pytest.approx(row.value, rel=1e-4)
            assert float(codes[row.position]) == pytest.approx(row.value, rel=1e-4)


@pytest.mark.parametrize(
    ("column", "change", "sentence"),
    [
        ("starts", lambda rows: [row[::-1] for row in rows], "its tokens do not lie in order inside the caption"),
        ("starts", lambda rows: [[*row[:-1], 10_000] for row in rows], "its tokens do not lie in order"),
        ("starts", lambda rows: [row[:-1] for row in rows], "starts does not hold 16 values"),
        ("ids", lambda rows: [[-1, *row[1:]] for row in rows], "a token id is negative"),
    ],
)
def test_broken_tokens_are_told(built: Path, tmp_path: Path, column: str, change: object, sentence: str) -> None:
    import shutil

    copy = Path(shutil.copytree(built, tmp_path / "copy"))
    table = pq.read_table(copy / "tokens.parquet")
    rows = pa.array(change(table.column(column).to_pylist()), pa.list_(pa.int32()))  # type: ignore[operator]
    pq.write_table(table.set_column(table.column_names.index(column), column, rows), copy / "tokens.parquet")
    rehash(copy)
    assert any(sentence in fault for fault in validate_atlas(copy))


def test_an_atlas_of_texts_needs_its_tokens(built: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(built, tmp_path / "copy"))
    (copy / "tokens.parquet").unlink()
    rehash(copy)
    assert any("tokens.parquet: the format requires it" in fault for fault in validate_atlas(copy))


def rehash(folder: Path) -> None:
    """Make ``atlas.json`` agree with the files again."""
    meta = json.loads((folder / "atlas.json").read_text())
    (folder / "atlas.json").write_text(json.dumps(meta | {"files": hash_files(folder)}))


def snippets(*texts: str) -> Snippets:
    """One token a character; ``|`` is the separator."""
    longest = max(map(len, texts))
    starts = np.array([[min(i, len(text)) for i in range(longest)] for text in texts], np.int32)
    return Snippets(list(texts), starts, "|")


def test_words_and_windows_stay_inside_their_text() -> None:
    words = snippets("old end|the river, ran|next text")
    assert words.word(0, 13) == "river"
    assert words.word(0, 7) == "end of text"
    assert words.word(0, 17) == ","
    assert words.window(0, 13) == "the river, ran"


def test_an_atom_that_peaks_on_one_word_is_called_by_it() -> None:
    words = snippets("a river", "my river", "of river", "of river")
    zeros = np.zeros(4, np.float32)
    at = lambda atom, position: Exemplars(  # noqa: E731
        atom=np.full(4, atom, np.int32), kind=np.zeros(4, np.int8), rank=np.arange(4, dtype=np.int16),
        item=np.array([0, 1, 2, 3], np.int32), position=np.array(position, np.int16),
        value=np.array([1, 1, 1, 1], np.float32), quantile=zeros, heat_offsets=np.zeros(5, np.int64),
        heat_positions=np.zeros(0, np.uint16), heat_values=np.zeros(0, np.float32),
    )  # fmt: skip
    names = RankedNames(["shore", "x"], [["water"], []])
    prefer_one_word(names, at(0, [3, 4, 4, 4]), words)
    assert (names.label[0], names.candidates[0]) == ("river", ["shore"])
    prefer_one_word(names, at(1, [3, 4, 0, 1]), words)  # river, river, of, of: no word has more than half
    assert names.label[1] in ("river", "“of”")
    prefer_one_word(names, at(1, [3, 0, 0, 1]), words)
    assert names.label[1] == "“of”"


@pytest.mark.parametrize(
    ("text", "word"),
    [("लाल बिल्ली बैठी", "बिल्ली"), ("แมว น้ำ ไป", "น้ำ"), ("في قِطَّةٌ هنا", "قِطَّةٌ"), ("the sleepy cat", "sleepy")],
)
def test_every_token_of_a_word_says_the_whole_word(text: str, word: str) -> None:
    first = text.index(word)
    starts = np.array([[0, *range(first, first + len(word) + 1)]], np.int32)
    snippets = Snippets([text], starts, "")
    assert {snippets.word(0, position) for position in range(1, len(word) + 1)} == {unicodedata.normalize("NFC", word)}
