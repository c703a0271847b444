"""Pairs of pictures and captions from the files people have: COCO captions, Karpathy's splits, Flickr30k, any corpus."""

from __future__ import annotations

from pathlib import Path

from engine.corpus import open_corpus
from engine.corpus.captions import is_captions_file, read_captions
from engine.corpus.listed import open_listed
from engine.errors import InputError
from engine.retrieval.evaluation.pairs import PairSet, from_corpus


def load_pairs(path: Path, images: Path | None = None, split: str | None = "") -> PairSet:
    """Captioned pictures of one split, each with all of its captions.

    Parameters
    ----------
    path : Path
        A captions file: COCO's JSON ("images" and "annotations"), a Karpathy JSON (``dataset_coco.json``), Flickr30k
        (``results.csv`` with ``|``, ``captions.txt``, the one with a "raw" column, the token file), any other table; or
        anything ``open_corpus`` opens: shards, image folders with captions, Hugging Face data set folders.
    images : Path, optional
        Where the pictures of a captions file lie; default: beside it, in ``images`` or the same folder.
    split : str or None
        "" takes all; None the test split of a corpus that has one, and else all.

    Raises
    ------
    InputError
        If the file cannot be understood, no picture of it is there, or there is no such split.
    """
    if is_captions_file(path):
        rows = read_captions(path, needed=("caption",))
        return from_corpus(open_listed(path.stem, _folder(path, images), rows), split or "")
    if images is not None:
        raise InputError(f"--images goes with a JSON or CSV file of captions; {path} brings its own pictures.")
    corpus = open_corpus(path)
    return from_corpus(corpus, ("test" if "test" in corpus.splits else "") if split is None else split)


def _folder(path: Path, images: Path | None) -> Path:
    if images is not None:
        if not images.is_dir():
            raise InputError(f"There is no folder of images {images}.")
        return images
    beside = path.parent / "images"
    return beside if beside.is_dir() else path.parent
