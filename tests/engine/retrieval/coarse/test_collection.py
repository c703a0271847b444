"""Collections: what is embedded, kept, resumed, left out, and how the parts of a candidate are chosen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.backbones.vectors import mix_vectors
from engine.corpus import open_corpus
from engine.errors import AtomscopeError, InputError
from engine.progress import SilentProgress
from engine.retrieval.coarse import vectors as vectors_module
from engine.retrieval.coarse.collection import open_collection
from engine.retrieval.coarse.pool import embed_query, make_pool, wanted_parts
from engine.retrieval.search.query import Query, SearchOptions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_pictures_and_captions_are_embedded_once(image_folder: Path, colour_embedder, cache: Path) -> None:
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    assert collection.parts["image"].shape == (6, 5) and isinstance(collection.parts["image"], np.memmap)
    np.testing.assert_allclose(np.linalg.norm(collection.parts["image"], axis=1), 1, atol=1e-6)
    assert collection.has("image").all() and collection.has("text").sum() == 5 == collection.has("both").sum()
    assert colour_embedder.seen == 6
    again = open_collection(open_corpus(image_folder), colour_embedder)
    assert colour_embedder.seen == 6
    np.testing.assert_array_equal(again.parts["image"], collection.parts["image"])
    colour_embedder.identity = colour_embedder.identity | {"revision": "2"}
    assert open_collection(open_corpus(image_folder), colour_embedder).folder != collection.folder
    assert colour_embedder.seen == 12


def test_a_stopped_run_goes_on(image_folder: Path, colour_embedder, monkeypatch, cache: Path) -> None:
    monkeypatch.setattr(vectors_module, "BLOCK", 2)
    embed = colour_embedder.embed_images

    def stop(images: list[Image.Image]) -> np.ndarray:
        if colour_embedder.seen >= 4:
            raise KeyboardInterrupt
        return embed(images)

    colour_embedder.embed_images = stop
    with pytest.raises(KeyboardInterrupt):
        open_collection(open_corpus(image_folder), colour_embedder)
    assert len(list(cache.rglob("image.parts/*.npy"))) == 2
    colour_embedder.embed_images = embed
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    assert colour_embedder.seen == 6 and not list(cache.rglob("*.parts"))
    corpus = open_corpus(image_folder)
    np.testing.assert_array_equal(collection.parts["image"], embed([corpus.load(i) for i in range(6)]))


def test_unreadable_pictures_are_left_out(image_folder: Path, colour_embedder) -> None:
    (image_folder / "round" / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture at all")
    progress = SilentProgress()
    collection = open_collection(open_corpus(image_folder), colour_embedder, progress)
    assert collection.has("image").tolist() == [True, False, True, True, True, True]
    assert any("round/1.jpg" in warning and "Skipped" in warning for warning in progress.warnings)
    assert any("1 item of pictures could not be read" in warning for warning in collection.warnings)
    pool = make_pool(collection, Query(text="a green round thing"), SearchOptions(top_k=99))
    assert pool.entries[0].id == "square/1.jpg" and pool.gallery == len(pool.entries) == 5


def test_nothing_readable_is_one_sentence(tmp_path: Path, colour_embedder) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture at all")
    with pytest.raises(InputError, match="Nothing in broken can be embedded: a.jpg"):
        open_collection(open_corpus(folder), colour_embedder)


def test_one_part_for_the_whole_gallery(image_folder: Path, colour_embedder) -> None:
    """A picture asks for captions, but one of six has none: all are compared as pictures then."""
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    rows = collection.rows()
    picture = Query(image=collection.image(0))
    assert collection.embedded_part(wanted_parts(picture, "auto"), rows) == "image"
    assert collection.embedded_part(wanted_parts(picture, "auto"), rows[:5]) == "text"
    assert collection.embedded_part(wanted_parts(Query(text="x"), "auto"), rows) == "image"
    assert collection.embedded_part(wanted_parts(Query(text="x"), "text"), rows[:5]) == "text"
    both = Query(text="x", image=collection.image(0))
    assert collection.embedded_part(wanted_parts(both, "auto"), rows[:5]) == "both"
    assert collection.embedded_part(wanted_parts(both, "auto"), rows) == "image"


def test_mixed_queries_and_candidates_by_the_formula(image_folder: Path, colour_embedder) -> None:
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    picture = collection.image(2)
    query = Query(text="a red square", image=picture)
    image, text = colour_embedder.embed_images([picture])[0], colour_embedder.embed_texts(["a red square"])[0]
    mixed = 0.8 * image + 0.2 * text
    np.testing.assert_allclose(
        embed_query(colour_embedder, query, 0.8), mixed / np.linalg.norm(mixed), rtol=1e-6, atol=1e-7
    )
    target = 0.7 * collection.parts["image"][3] + 0.3 * collection.parts["text"][3]
    np.testing.assert_allclose(collection.vectors("both")[3], target / np.linalg.norm(target), rtol=1e-6, atol=1e-7)
    assert not collection.vectors("both")[5].any()  # no caption, no mixture
    np.testing.assert_allclose(mix_vectors(image[None], text[None], 1.0)[0], image, atol=1e-7)


def test_splits_and_the_rank_of_a_known_answer(image_folder: Path, colour_embedder) -> None:
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    pool = make_pool(collection, Query(text="blue square", answer=2), SearchOptions(top_k=2, split="test"))
    assert [entry.item for entry in pool.entries] == [2] and (pool.gallery, pool.answer_rank) == (1, 1)
    pool = make_pool(collection, Query(text="blue square", answer=2), SearchOptions(top_k=2))
    assert [entry.item for entry in pool.entries] == [5, 2] and pool.answer_rank == 2
    assert pool.scores == sorted(pool.scores, reverse=True) and len(pool.scores) == 6
    with pytest.raises(InputError, match="no split 'holdout'; its splits: train, test"):
        collection.rows("holdout")


def test_texts_are_candidates_too(tmp_path: Path, colour_embedder) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("a red square\na blue circle\na green thing that is round\n")
    collection = open_collection(open_corpus(path), colour_embedder)
    assert set(collection.parts) == {"text"} and not collection.has_image(0)
    assert make_pool(collection, Query(text="round and green"), SearchOptions()).entries[0].item == 2
    picture = Image.new("RGB", (48, 40), "red")
    assert make_pool(collection, Query(image=picture), SearchOptions(top_k=1)).entries[0].item == 0


def test_a_corpus_of_one(image_folder: Path, colour_embedder) -> None:
    shutil.rmtree(image_folder / "square")
    for name in ("0", "1"):
        (image_folder / "round" / f"{name}.jpg").unlink()
    collection = open_collection(open_corpus(image_folder), colour_embedder)
    pool = make_pool(collection, Query(text="red"), SearchOptions(top_k=5))
    assert [entry.rank for entry in pool.entries] == [1] and pool.gallery == 1


def test_texts_edited_in_place_are_embedded_anew(tmp_path: Path, colour_embedder) -> None:
    path = tmp_path / "texts.jsonl"

    def write(words: str) -> None:
        said = [words if row == 300 else "a green thing that lies on the table of the old town" for row in range(600)]
        path.write_text("".join(json.dumps({"id": f"r{row}", "text": text}) + "\n" for row, text in enumerate(said)))

    def first() -> str:
        collection = open_collection(open_corpus(path), colour_embedder)
        return make_pool(collection, Query(text="a red square"), SearchOptions(top_k=1)).entries[0].id

    write("a blue thing that lies on the table of the old town.")
    size, before = path.stat().st_size, first()
    write("a red square that lies on the table of the old town.")
    assert path.stat().st_size == size and before != "r300" and first() == "r300"


def test_vectors_of_two_contents_are_not_kept(image_folder: Path, colour_embedder, cache: Path) -> None:
    corpus, embed = open_corpus(image_folder), colour_embedder.embed_images

    def edit(images: list[Image.Image]) -> np.ndarray:
        Image.new("RGB", (48, 40), "blue").save(image_folder / "round" / "0.jpg")
        return np.asarray(embed(images))

    colour_embedder.embed_images = edit
    with pytest.raises(AtomscopeError, match="was changed while it was being read"):
        open_collection(corpus, colour_embedder)
    assert not [*cache.rglob("*.npy")]
