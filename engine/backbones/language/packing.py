"""From texts of any length to chunks of one length, so that every stored position is a real token.

Texts that share split, label and origin are tokenized, joined with the model's end-of-text token after each, and the stream
is cut into chunks of ``context`` tokens, as SAELens and most pre-training pipelines do: nothing is padded, so no padding
can be stored or counted. A text longer than a chunk goes on in the next one; in a chunk a text may see the texts before
it, which the end-of-text token marks off. What is left over of each group is joined with the left-overs of the same split
into chunks without a label; of each split at most ``context - 1`` tokens are dropped at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.corpus import Corpus, UnreadableItem
from engine.corpus.items import TEXT_COLUMNS, items_frame
from engine.errors import InputError

_GROUP = ("split", "label", "source", "license", "credit")
_BATCH = 1024


class PackedTexts(Corpus):
    """Chunks of a text corpus; one item per chunk, whose ``caption`` is its decoded text.

    Attributes
    ----------
    ids : int32 [n_chunks, context]
        Token ids.
    starts : int32 [n_chunks, context]
        Where each token begins in the chunk's ``caption``, characters; it ends where the next one begins. A token that holds
        only some bytes of a character begins with the token that completes it.
    dropped : int
        Tokens at the ends of the splits that fill no chunk.
    """

    def __init__(
        self,
        texts: Corpus,
        items: pd.DataFrame,
        ids: NDArray[np.int32],
        starts: NDArray[np.int32],
        dropped: int,
        warnings: Sequence[str],
    ) -> None:
        super().__init__(texts.name, texts.path, items, self, lambda: texts._digest(), warnings)
        self.ids = ids
        self.starts = starts
        self.dropped = dropped

    def read(self, item: int) -> bytes:
        """The text of one chunk, UTF-8."""
        return str(self.items["caption"].iat[item]).encode()


def pack(texts: Corpus, tokenizer: Any, context: int, separator: int) -> PackedTexts:
    """Tokenize every text of ``texts`` and cut the streams into chunks of ``context`` tokens.

    Parameters
    ----------
    tokenizer
        A tokenizer of transformers.
    separator : int
        Id of the token put after every text.

    Raises
    ------
    InputError
        If there is no text, or all of them hold fewer than ``context`` tokens.
    """
    if context < 2:
        raise InputError(f"--context must be at least 2 tokens, not {context}.")
    rows = np.flatnonzero((texts.items["kind"] == "text").to_numpy())
    if not len(rows):
        raise InputError(f"{texts.name} has no texts.")
    columns = [texts.items[name].to_numpy(dtype=object) for name in _GROUP]
    groups: dict[tuple[str, ...], _Stream] = {}
    left_out: list[str] = []
    for start in range(0, len(rows), _BATCH):
        batch, words = [], []
        for row in rows[start : start + _BATCH]:
            try:
                text = texts.text(int(row))
            except UnreadableItem as error:
                left_out.append(f"{error} Left out.")
                continue
            if text:
                batch.append(int(row))
                words.append(text)
        tokens = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
        for row, ids in zip(batch, tokens, strict=True):
            key = tuple(str(column[row]) for column in columns)
            groups.setdefault(key, _Stream()).add(ids, separator)
    chunks: list[tuple[tuple[str, ...], NDArray[np.int32]]] = []
    rests: dict[str, list[tuple[tuple[str, ...], NDArray[np.int32]]]] = {}
    for key, stream in groups.items():
        whole, rest = stream.cut(context)
        chunks += [(key, ids) for ids in whole]
        if len(rest):
            rests.setdefault(key[0], []).append((key, rest))
    dropped = 0
    for split, parts in rests.items():
        joined = np.concatenate([ids for _, ids in parts])
        owner = np.repeat(np.arange(len(parts)), [len(ids) for _, ids in parts])
        for first in range(0, len(joined) - context + 1, context):
            keys = [parts[i][0] for i in np.unique(owner[first : first + context])]
            shared = tuple(values[0] if len(set(values)) == 1 else "" for values in zip(*keys, strict=True))
            chunks.append(((split, *shared[1:]), joined[first : first + context]))
        dropped += len(joined) % context
    if not chunks:
        raise InputError(
            f"{texts.name} holds {dropped:,} tokens, fewer than one chunk of {context}: choose a smaller --context."
        )
    ids = np.stack([ids for _, ids in chunks])
    captions, starts = zip(*(token_text(tokenizer, row) for row in ids), strict=True)
    known: dict[str, Any] = {name: [key[i] for key, _ in chunks] for i, name in enumerate(_GROUP)}
    known |= {"id": [f"chunk-{number:08d}" for number in range(len(chunks))], "caption": list(captions)}
    items = items_frame({name: known.get(name, [""] * len(chunks)) for name in TEXT_COLUMNS if name != "kind"}, "text")
    return PackedTexts(texts, items, ids, np.stack(starts), dropped, [*texts.warnings, *left_out])


@dataclass
class _Stream:
    """The tokens of one group so far."""

    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, ids: list[int], separator: int) -> None:
        self.parts.append(np.array([*ids, separator], np.int32))

    def cut(self, context: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Whole chunks [n, context], and the rest."""
        stream = np.concatenate(self.parts)
        end = len(stream) // context * context
        return stream[:end].reshape(-1, context), stream[end:]


def token_text(tokenizer: Any, ids: Sequence[int] | NDArray[np.int32]) -> tuple[str, NDArray[np.int32]]:
    """The text of tokens, and where each of them begins in it (characters, int32 [n]).

    The text is ``tokenizer.decode(ids)``, so spaces and characters of several bytes are those of the tokenizer, whatever its
    kind: a token alone may decode to less (Llama's decoder strips the space in front of a word) or to no character at all.
    A token therefore begins where the text of the tokens before it ends; one that only holds some bytes of a character begins
    with that character.
    """
    tokens = [int(token) for token in ids]
    if not tokens:
        return "", np.zeros(0, np.int32)
    text = _decoded(tokenizer, tokens)
    ends = _ends_by_window(tokenizer, tokens)
    if ends is None or ends[-1] != len(text) or not _agree(tokenizer, tokens, ends):
        ends = _ends_by_prefix(tokenizer, tokens, text)
    starts = np.zeros(len(tokens), np.int32)
    starts[1:] = np.minimum(ends[:-1], len(text))
    return text, starts


_UNFINISHED = "\ufffd"
"""What a decoder puts for bytes that are no whole character."""


def _decoded(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


def _ends_by_window(tokenizer: Any, tokens: list[int]) -> NDArray[np.int64] | None:
    """Where the text of the first n tokens ends, from what each adds behind the few before it: linear in the tokens."""
    ends = np.zeros(len(tokens), np.int64)
    begin, done, length = 0, 0, 0
    known = ""
    for place in range(len(tokens)):
        seen = _decoded(tokenizer, tokens[begin : place + 1])
        if not seen.startswith(known):
            return None
        if not seen.endswith(_UNFINISHED):
            length += len(seen) - len(known)
            # The next window begins with the token before this one, which a decoder may need to see.
            begin, done = done, place + 1
            known = _decoded(tokenizer, tokens[begin:done])
        ends[place] = length
    return ends


def _agree(tokenizer: Any, tokens: list[int], ends: NDArray[np.int64]) -> bool:
    """Whether a few of ``ends`` are those of the whole prefix: windows are a shortcut, not a proof."""
    for count in {len(tokens) // 2, len(tokens) // 3, len(tokens) - 1} - {0}:
        prefix = _decoded(tokenizer, tokens[:count])
        if not prefix.endswith(_UNFINISHED) and ends[count - 1] != len(prefix):
            return False
    return True


def _ends_by_prefix(tokenizer: Any, tokens: list[int], text: str) -> NDArray[np.int64]:
    """Where the text of the first n tokens ends, by decoding every prefix: for decoders that look far back."""
    ends = np.zeros(len(tokens), np.int64)
    last = 0
    for place in range(len(tokens)):
        prefix = _decoded(tokenizer, tokens[: place + 1])
        shared = next(
            (i for i, (a, b) in enumerate(zip(prefix, text, strict=False)) if a != b), min(len(prefix), len(text))
        )
        last = max(last, shared)
        ends[place] = last
    ends[-1] = len(text)
    return ends
