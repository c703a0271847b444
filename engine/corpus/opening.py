"""``open_corpus``: finds out which kind of corpus a path is."""

from __future__ import annotations

from pathlib import Path

from engine.corpus.base import Corpus
from engine.errors import InputError


def open_corpus(path: str | Path, captions: str | Path | None = None) -> Corpus:
    """Open a collection of images or texts. Nothing is decoded; a folder of 100,000 images opens in seconds.

    In this order, ``path`` is

    1. a folder with ``corpus.json``: our own shards (FORMAT.md beside this file);
    2. a folder written by ``save_to_disk`` of Hugging Face's datasets, or one with Parquet files that hold an image
       column, or one such file;
    3. a folder with image files, in sub-folders too; a first sub-folder named train, val, test, ... is the split, the
       sub-folders below it are the label. ``captions.csv`` or ``metadata.csv`` in it (or ``.tsv``, ``.jsonl``,
       ``.parquet``) add captions, labels, splits and keywords;
    4. a folder with ``.txt`` files, one text each, or a ``.txt`` file, one text per line;
    5. a JSONL, CSV, TSV or Parquet file with a column of texts, one text per row.

    Parameters
    ----------
    captions
        A captions file of an image folder (a table, COCO's or Karpathy's JSON, Flickr30k's files), instead of those that are
        found by their names.

    Raises
    ------
    InputError
        If there is nothing to read, or what is there cannot be understood. Things that cost only single items are in
        ``Corpus.warnings``; images that turn out damaged raise ``UnreadableItem`` when they are loaded.
    """
    from engine.corpus import folder, huggingface, shards, texts

    root = Path(path).expanduser().resolve()
    given = Path(captions).expanduser() if captions is not None else None
    if not root.exists():
        raise InputError(f"{path} does not exist.")
    if given is not None and not given.is_file():
        raise InputError(f"The caption file {given} does not exist.")
    if root.is_file():
        if root.suffix.lower() == ".txt":
            return _without_captions(texts.open_text_file(root), given)
        if texts.is_text_table(root):
            return _without_captions(texts.open_text_table(root), given)
        if root.suffix.lower() == ".parquet":
            return _without_captions(huggingface.open_parquet(root.parent, [root.name]), given)
        raise InputError(f"{root} is a single file. Name a folder of images, a .parquet, .jsonl or .txt file.")
    if (root / shards.MANIFEST).is_file():
        return _without_captions(shards.open_shards(root), given)
    listing = folder.list_files(root)
    if huggingface.is_saved_to_disk(root):
        return _without_captions(huggingface.open_saved(root), given)
    if tables := huggingface.image_tables(root, listing.files):
        return _without_captions(huggingface.open_parquet(root, tables), given)
    if any(name.lower().endswith(".txt") for name in listing.files) and not folder.holds_pictures(root, listing):
        return _without_captions(texts.open_text_folder(root, listing), given)
    return folder.open_image_folder(root, listing, given)


def _without_captions(corpus: Corpus, captions: Path | None) -> Corpus:
    if captions is not None:
        raise InputError(f"{corpus.path} brings its own captions; a caption file goes with a folder of image files.")
    return corpus
