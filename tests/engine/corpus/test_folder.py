"""Image folders: what is found, what is left out, labels from folders, words from caption files."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.corpus import UnreadableItem, open_corpus
from engine.corpus.base import BLOCK, STRIDE, file_digest
from engine.corpus.items import COLUMNS
from engine.errors import InputError


def words(folder: Path, column: str, captions: Path | None = None) -> dict[str, object]:
    """Item id -> one of its columns."""
    items = open_corpus(folder, captions).items
    return dict(zip(items["id"], items[column], strict=True))


def test_a_folder_with_captions(image_folder: Path) -> None:
    corpus = open_corpus(image_folder)
    assert tuple(corpus.items.columns) == COLUMNS
    assert corpus.name == "pictures" and len(corpus) == 6
    assert list(corpus.items["id"]) == [f"{label}/{n}.jpg" for label in ("round", "square") for n in range(3)]
    assert list(corpus.items["label"]) == ["round"] * 3 + ["square"] * 3
    assert list(corpus.items["split"]) == ["train", "train", "test", "train", "train", ""]
    assert corpus.splits == {"train": 4, "test": 1, "": 1}
    assert corpus.items["caption"][1] == "a green, round thing" and corpus.items["caption"][5] == ""
    assert corpus.warnings == ["captions.csv: 1 of 6 images have no row in it."]
    image = corpus.load(3)
    assert image.mode == "RGB" and image.size == (48, 40)
    assert corpus.image_bytes(3) == (image_folder / "square" / "0.jpg").read_bytes()


def test_split_folders_and_deep_labels(image_folder: Path) -> None:
    picture = (image_folder / "round" / "0.jpg").read_bytes()
    for folder in ("train/cat", "val/dog/small", "Testing", "cat/train"):
        (image_folder / folder).mkdir(parents=True)
        (image_folder / folder / "x.JPEG").write_bytes(picture)
    splits, labels = words(image_folder, "split"), words(image_folder, "label")
    for name, split, label in (
        ("train/cat/x.JPEG", "train", "cat"),
        ("val/dog/small/x.JPEG", "validation", "dog/small"),
        ("Testing/x.JPEG", "test", ""),
        ("cat/train/x.JPEG", "", "cat/train"),
    ):
        assert (splits[name], labels[name]) == (split, label)


def test_what_is_left_out_is_said(image_folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    shutil.copy(image_folder / "round" / "0.jpg", outside)
    (image_folder / "link.jpg").symlink_to(outside)
    (image_folder / "loop").symlink_to(image_folder)
    (image_folder / "drawing.svg").write_text("<svg/>")
    (image_folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (image_folder / ".hidden.jpg").write_bytes(b"")
    (image_folder / "notes.txt").write_text("nothing")
    os.mkfifo(image_folder / "pipe.jpg")
    with open(os.fsencode(image_folder) + b"/latin-\xe9.jpg", "wb") as file:
        file.write(outside.read_bytes())
    (image_folder / "back\\slash.jpg").write_bytes(outside.read_bytes())
    corpus = open_corpus(image_folder)
    assert len(corpus) == 6
    links, names, kinds = (sentence for sentence in corpus.warnings if "captions.csv" not in sentence)
    assert links.startswith("2 symbolic links are left out")
    assert names.startswith("2 files are left out: backslashes, control characters or no UTF-8")
    assert "1 .svg" in kinds and "1 .heic" in kinds


def test_a_link_put_there_after_opening_is_not_followed(image_folder: Path, tmp_path: Path) -> None:
    corpus = open_corpus(image_folder)
    shutil.move(image_folder / "round", tmp_path / "elsewhere")
    (image_folder / "round").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnreadableItem, match="no longer a regular file"):
        corpus.load(0)
    assert corpus.load(3)


def test_a_folder_reached_by_a_link_is_opened(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(image_folder)
    assert len(open_corpus(tmp_path / "link")) == 6


def test_one_bad_file_costs_one_item(image_folder: Path) -> None:
    (image_folder / "round" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (image_folder / "round" / "words.png").write_text("no picture")
    (image_folder / "round" / "empty.gif").write_bytes(b"")
    corpus = open_corpus(image_folder)
    assert len(corpus) == 9
    bad = []
    for item in range(len(corpus)):
        try:
            corpus.load(item)
        except UnreadableItem as error:
            bad.append(corpus.items["id"][item])
            assert str(error).startswith(bad[-1])
    assert bad == ["round/bad.jpg", "round/empty.gif", "round/words.png"]


def test_files_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0badcafe", "PNG")
    (tmp_path / "README").write_text("no picture")
    assert list(open_corpus(tmp_path).items["id"]) == ["0badcafe"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no file. Name a folder with images"),
        ({"a/readme.md": b"x", "b.json": b"{}"}, "holds 2 files but no picture"),
        ({"a.svg": b"<svg/>", "b.heic": b"x", "README.txt": b"x"}, r"only \.svg, \.heic: convert them"),
        ({"a.jpg": b"words", "b/c.png": b""}, "None of the 2 files in .* with the name of a picture holds one"),
    ],
)
def test_a_hopeless_folder_is_refused_with_one_sentence(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=sentence) as refusal:
        open_corpus(tmp_path)
    assert "\n" not in str(refusal.value) and not isinstance(refusal.value, UnreadableItem)


def test_a_path_that_is_no_corpus(image_folder: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_corpus(image_folder / "nowhere")
    with pytest.raises(InputError, match="is a single file"):
        open_corpus(image_folder / "round" / "0.jpg")
    with pytest.raises(InputError, match="caption file .* does not exist"):
        open_corpus(image_folder, image_folder / "nowhere.csv")


def test_hostile_rows_lead_nowhere(image_folder: Path, tmp_path: Path) -> None:
    shutil.copy(image_folder / "round" / "0.jpg", tmp_path / "secret.jpg")
    rows = ["../secret.jpg", "/etc/passwd", "round/../../secret.jpg", "round", "", "~/x.jpg", "round/0.jpg\x00"]
    captions = tmp_path / "given.csv"
    captions.write_text(
        "file_name,caption\nround/0.jpg,found\n" + "".join(f'"{row}",stolen\n' for row in rows), "utf-8"
    )
    corpus = open_corpus(image_folder, captions)
    assert set(corpus.items["caption"]) == {"found", ""}
    assert corpus.warnings[0].startswith("given.csv: 7 rows name files that are not there, such as '../secret.jpg'")


def test_given_captions_that_match_nothing_are_refused(image_folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "given.csv"
    captions.write_text("file_name,caption\nother.jpg,hello\n")
    with pytest.raises(
        InputError, match=r"none of its 1 rows names an image of the folder, the first names 'other.jpg'"
    ):
        open_corpus(image_folder, captions)


def test_rows_find_images_by_path_by_bare_name_and_by_windows_path(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "round" / "only.png").write_bytes((image_folder / "round" / "0.jpg").read_bytes())
    captions = tmp_path / "given.tsv"
    captions.write_text(
        "Image Path\tAlt-Text\n.\\round\\1.jpg\tby path\nonly.png\tby name\n0.jpg\tambiguous\n", "utf-8"
    )
    texts = words(image_folder, "caption", captions)
    assert {name: text for name, text in texts.items() if text} == {
        "round/1.jpg": "by path",
        "round/only.png": "by name",
    }


def test_names_that_look_the_same_are_the_same(image_folder: Path, tmp_path: Path) -> None:
    shutil.copy(image_folder / "round" / "0.jpg", image_folder / "Gru\u0308n.jpg")  # as macOS stores it
    captions = tmp_path / "given.csv"
    captions.write_text("file_name,caption\nGr\u00fcn.jpg,green\n", "utf-8")
    assert words(image_folder, "caption", captions)["Gru\u0308n.jpg"] == "green"


def test_a_caption_file_in_a_sub_folder_speaks_of_that_folder(image_folder: Path) -> None:
    (image_folder / "square" / "metadata.jsonl").write_text('{"file_name": "0.jpg", "text": "mine", "label": 7}\n')
    corpus = open_corpus(image_folder)
    assert dict(zip(corpus.items["id"], corpus.items["caption"], strict=True))["square/0.jpg"] == "mine"
    assert dict(zip(corpus.items["id"], corpus.items["label"], strict=True))["square/0.jpg"] == "7"
    assert "square/metadata.jsonl: 2 of 3 images have no row in it." in corpus.warnings


def test_several_captions_of_one_image_keep_the_first(image_folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("image,caption\n" + "".join(f"round/0.jpg,caption {n}\n" for n in range(5)))
    corpus = open_corpus(image_folder, captions)
    assert corpus.items["caption"][0] == "caption 0"
    assert "captions.csv: 4 rows name an image again; only the first row of each is used." in corpus.warnings


def test_the_hash_is_of_content_not_of_place_or_time(image_folder: Path, tmp_path: Path) -> None:
    reference = open_corpus(image_folder).hash
    copy = tmp_path / "elsewhere" / "pictures"
    shutil.copytree(image_folder, copy)
    os.utime(copy / "round" / "0.jpg", (0, 0))
    assert open_corpus(copy).hash == reference
    changes = {
        "a pixel": lambda: Image.new("RGB", (48, 40), "pink").save(copy / "round" / "0.jpg"),
        "a name": lambda: os.rename(copy / "round" / "1.jpg", copy / "round" / "one.jpg"),
        "a caption": lambda: (copy / "captions.csv").write_text("file_name,caption\nround/2.jpg,new\n"),
        "one less": lambda: (copy / "square" / "2.jpg").unlink(),
    }
    seen = {reference}
    for change in changes.values():
        change()
        seen.add(open_corpus(copy).hash)
    assert len(seen) == 1 + len(changes)


def test_the_sample_of_a_large_picture_sees_both_ends_and_the_strides(tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 2 * STRIDE + 5 * BLOCK
    head = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(head + bytes(size - len(head)))
    seen = {file_digest(path)}
    for place in (len(head), BLOCK - 1, STRIDE, 2 * STRIDE + BLOCK - 1, size - BLOCK, size - 1):
        data = bytearray(head + bytes(size - len(head)))
        data[place] = 1
        path.write_bytes(data)
        seen.add(file_digest(path))
    path.write_bytes(head + bytes(size + 1 - len(head)))
    seen.add(file_digest(path))
    assert len(seen) == 8
    assert file_digest(tmp_path / "missing") == ""


def test_the_hash_of_compressed_pictures_and_small_files_is_what_it_was(tmp_path: Path) -> None:
    """Stores and vectors that were made of them before still fit."""

    def sampled(data: bytes) -> str:
        last = max(len(data) - BLOCK, 0)
        blocks = [data[start : start + BLOCK] for start in [*range(0, last, STRIDE), last]]
        return hashlib.sha256(str(len(data)).encode() + b"".join(blocks)).hexdigest()

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8))
    for name in ("a.png", "a.jpg", "a.webp", "a.gif"):
        noise.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 2 * BLOCK
        assert file_digest(tmp_path / name) == sampled((tmp_path / name).read_bytes())
    for size in (0, 1, BLOCK, 2 * BLOCK):
        (tmp_path / "small.txt").write_bytes(b"x" * size)
        assert file_digest(tmp_path / "small.txt") == sampled(b"x" * size)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "ppm"])
def test_a_pixel_changed_in_place_is_seen(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.new("RGB", (300, 300), "pink").save(path)
    corpus = open_corpus(tmp_path)
    before = corpus.hash
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert not corpus.is_unchanged() and open_corpus(tmp_path).hash != before


def test_opening_many_files_decodes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 names of pictures, one real one: opening lists them, and only what is asked for is read."""
    Image.new("RGB", (4, 4)).save(tmp_path / "000.png")
    for number in range(1, 300):
        (tmp_path / f"{number:03d}.png").touch()
    decoded, opened = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **named: decoded.append(given) or opened(*given, **named))
    corpus = open_corpus(tmp_path)
    assert len(corpus) == 300 and decoded == []
    assert corpus.load(0).size == (4, 4) and len(decoded) == 1
