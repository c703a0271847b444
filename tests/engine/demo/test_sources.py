"""Pinned sources, the archives they come in, the terms they state, and writing the corpus."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.demo import sources
from engine.demo.archives import read_rcc, unpack_deb, unpack_tgz
from engine.demo.candidates import Candidate
from engine.demo.copyright import read_copyright, terms_of
from engine.demo.readers import read_table
from engine.demo.shards import write_corpus
from engine.demo.sources import SOURCES, fetch, verify
from engine.errors import AtomscopeError, InputError
from engine.files import read_json, sha256
from engine.progress import SilentProgress


def tar_bytes(files: dict[str, bytes], mode: str = "w:xz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def deb(files: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("odd", b"x"), ("data.tar.xz", tar_bytes(files))):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


def test_unpacks_what_is_wanted_from_a_debian_package(tmp_path: Path) -> None:
    archive = tmp_path / "a.deb"
    archive.write_bytes(deb({"./usr/share/a/one.txt": b"1", "./usr/share/b/two.txt": b"2"}))
    assert unpack_deb(archive, tmp_path / "out", ("usr/share/a",)) == 1
    assert (tmp_path / "out/usr/share/a/one.txt").read_bytes() == b"1"
    assert not (tmp_path / "out/usr/share/b").exists()
    archive.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="is not a Debian package"):
        unpack_deb(archive, tmp_path / "out2", ("usr",))


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_bytes({"package/../../evil.txt": b"!"}, "w:gz"))
    with pytest.raises(tarfile.FilterError):
        unpack_tgz(archive, tmp_path / "deep/out", ("package",))
    assert not (tmp_path / "evil.txt").exists()


def rcc(version: int, files: dict[str, bytes]) -> bytes:
    """A Qt resource with one folder, ``pics``; every second file is compressed."""
    names, data, tree = b"", b"", b""
    stamp = struct.pack(">Q", 0) if version >= 2 else b""

    def add_name(name: str) -> int:
        nonlocal names
        offset = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return offset

    tree += struct.pack(">IHII", 0, 2, 1, 1) + stamp
    tree += struct.pack(">IHII", add_name("pics"), 2, len(files), 2) + stamp
    for index, (name, content) in enumerate(files.items()):
        body = struct.pack(">I", len(content)) + zlib.compress(content) if index % 2 else content
        tree += struct.pack(">IHHHI", add_name(name), index % 2, 0, 0, len(data)) + stamp
        data += struct.pack(">I", len(body)) + body
    start = 20
    header = b"qres" + struct.pack(">4I", version, start, start + len(tree), start + len(tree) + len(data))
    return header + tree + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_reads_qt_resources(tmp_path: Path, version: int) -> None:
    files = {"a.webp": b"first", "b.webp": b"second" * 50}
    path = tmp_path / "x.rcc"
    path.write_bytes(rcc(version, files))
    assert dict(read_rcc(path)) == {f"pics/{name}": content for name, content in files.items()}
    path.write_bytes(b"no resource")
    with pytest.raises(InputError, match="not a Qt resource"):
        list(read_rcc(path))


def test_terms_come_from_the_last_stanza_that_names_a_file(tmp_path: Path) -> None:
    path = tmp_path / "copyright"
    path.write_text(
        "Format: x\n\nFiles: *\nCopyright: 2001 Ann Other <ann@other.org>\n           2002 Bob\nLicense: GPL-3+\n\n"
        "Files: pics/lion.jpg\n pics/cat*.jpg\nCopyright: Cy\nLicense: CC-BY-2.0\nComment: https://example.org/Lion\n",
        "utf-8",
    )
    stanzas = read_copyright(path)
    assert terms_of("pics/lion.webp", stanzas).licence == "CC-BY-2.0"
    assert terms_of("pics/cat2.webp", stanzas).credit == "Cy; https://example.org/Lion"
    assert terms_of("pics/dog.webp", stanzas).credit == "2001 Ann Other; 2002 Bob"


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / SOURCES[0].filename
    archive.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"is not tuxpaint-stamps-default .* as pinned .* Delete it"):
        verify(SOURCES[0], archive)


def test_fetch_takes_a_file_that_is_there_and_names_a_missing_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(sources.shutil, "which", lambda _: None)
    with pytest.raises(AtomscopeError, match=r"apt-get is not installed\. Install it or put .* by hand"):
        fetch(SOURCES[0], SilentProgress())
    archive = tmp_path / "sources" / "a_1_all.deb"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(deb({"./usr/share/doc/a/copyright": b"free"}))
    pinned = replace(
        SOURCES[0], package="a", filename=archive.name, sha256=sha256(archive), wanted=("usr/share/doc/a",)
    )
    folder = fetch(pinned, SilentProgress())
    assert (folder / "usr/share/doc/a/copyright").read_bytes() == b"free"
    archive.unlink()
    assert fetch(pinned, SilentProgress()) == folder  # unpacked once, the archive is no longer needed


def test_the_tables_are_sound() -> None:
    edits = read_table("edits")
    assert len({row["id"] for row in edits}) == len(edits)
    for row in read_table("photographs"):
        assert row["kind"] in ("photo", "cutout"), row["path"]
        assert row["caption"] and row["label"], row["path"]
        if row["crop"]:
            left, top, right, bottom = map(float, row["crop"].split())
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1, row["path"]


def test_the_same_items_make_the_same_bytes(tmp_path: Path) -> None:
    items = [
        Candidate(f"s/{i}", Path("x"), "An apple.", "food/fruit", ("apple",), "s", "MIT", "Ann", f"g{i}")
        for i in range(9)
    ]
    splits = ["train", "test", "validation"] * 3
    first = write_corpus(tmp_path / "one", items, [b"RIFF%d" % i for i in range(9)], splits, [])
    backwards = write_corpus(tmp_path / "two", items[::-1], [b"RIFF%d" % i for i in range(9)][::-1], splits[::-1], [])
    assert first == backwards == read_json(tmp_path / "two" / "corpus.json")
    assert first["splits"] == {"train": 3, "validation": 3, "test": 3}
    row = pq.read_table(tmp_path / "one" / "data-00000.parquet").to_pylist()[0]
    assert row["image"]["path"] == f"{row['id']}.webp"
