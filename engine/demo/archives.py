"""Readers for the three kinds of archive the sources come in. They only read: nothing inside is ever run."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_RCC_MAGIC = b"qres"
_RCC_COMPRESSED, _RCC_DIRECTORY, _RCC_ZSTD = 1, 2, 4


def unpack_deb(archive: Path, target: Path, wanted: tuple[str, ...]) -> int:
    """Unpack the files of a Debian package whose path starts with one of ``wanted``; returns how many."""
    data = archive.read_bytes()
    if not data.startswith(_AR_MAGIC):
        raise InputError(f"{archive} is not a Debian package. Delete it and fetch it again.")
    offset = len(_AR_MAGIC)
    while offset + _AR_HEADER <= len(data):
        header = data[offset : offset + _AR_HEADER]
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        offset += _AR_HEADER
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(data[offset : offset + size])) as tar:
                return _extract(tar, target, wanted)
        offset += size + size % 2  # members are aligned to even bytes
    raise InputError(f"{archive} holds no data. Delete it and fetch it again.")


def unpack_tgz(archive: Path, target: Path, wanted: tuple[str, ...]) -> int:
    """Unpack the files of an npm package whose path starts with one of ``wanted``; returns how many."""
    with tarfile.open(archive) as tar:
        return _extract(tar, target, wanted)


def _extract(tar: tarfile.TarFile, target: Path, wanted: tuple[str, ...]) -> int:
    target.mkdir(parents=True)
    count = 0
    for member in tar:
        member.name = member.name.removeprefix("./")
        if member.name.startswith(wanted) and (member.isfile() or member.issym() or member.islnk()):
            tar.extract(member, target, filter="data")
            count += 1
    return count


def read_rcc(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield ``(path, bytes)`` of every file in a Qt binary resource (``rcc --binary``, format versions 1 to 3).

    Layout, big endian: ``qres``, version, then the offsets of the tree, the data and the names. A tree node is a
    name offset (u32) and flags (u16), then for a folder the number of children and the index of the first one (u32
    each), for a file two u16 of locale and the offset of its data (u32); versions 2 and 3 add a u64 time stamp.
    """
    raw = path.read_bytes()
    if raw[:4] != _RCC_MAGIC:
        raise InputError(f"{path} is not a Qt resource file. Delete the unpacked sources and run again.")
    version, tree, data, names = struct.unpack_from(">4I", raw, 4)
    node_size = 14 if version < 2 else 22

    def name_of(node: int) -> str:
        offset = names + struct.unpack_from(">I", raw, node)[0]
        length = struct.unpack_from(">H", raw, offset)[0]
        return raw[offset + 6 : offset + 6 + 2 * length].decode("utf-16-be")

    def walk(index: int, parent: str) -> Iterator[tuple[str, bytes]]:
        node = tree + index * node_size
        flags = struct.unpack_from(">H", raw, node + 4)[0]
        own = f"{parent}/{name_of(node)}".lstrip("/") if index else ""
        if flags & _RCC_DIRECTORY:
            count, first = struct.unpack_from(">II", raw, node + 6)
            for child in range(first, first + count):
                yield from walk(child, own)
            return
        start = data + struct.unpack_from(">I", raw, node + 10)[0]
        size = struct.unpack_from(">I", raw, start)[0]
        content = raw[start + 4 : start + 4 + size]
        if flags & _RCC_ZSTD:
            raise InputError(f"{path} uses a compression that is not read here (zstd).")
        yield own, zlib.decompress(content[4:]) if flags & _RCC_COMPRESSED else content

    yield from walk(0, "")
