"""From question and pictures to next-token logits: prompts as token ids, read in left-padded batches.

Two ways give the same numbers. The whole way reads every prompt from its first token. The prefix way reads what all
prompts of one picture begin with (picture and question) once, keeps its keys and values, and reads only the captions.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from engine.retrieval.byte_cache import ByteCache
from engine.retrieval.mllm import Mllm
from engine.retrieval.pictures import Picture, Shelf
from engine.retrieval.prompts import chat

_PROBES = ("A", "9", "the", "Zoe", "(")
"""Captions that begin unlike each other: what their prompts share is what every prompt of the question begins with."""

_STEMS = 4096
"""Stems remembered; a few hundred bytes each."""


@dataclass
class Sight:
    """What a lens saw in one prompt.

    Attributes
    ----------
    entropy : list of float
        After each layer, 0 to 1.
    fired : int or None
        The first layer after which visual enhancement acted.
    """

    entropy: list[float] = field(default_factory=list)
    fired: int | None = None


@dataclass
class Prompt:
    """One prompt as the model reads it.

    Attributes
    ----------
    text : str
        Special tokens included, with every picture's tokens written out.
    ids : list of int
        Its tokens.
    pictures : list of Picture
        In the order they stand in it.
    stem : list of int
        The tokens it shares with other prompts about the same pictures; [] to read it whole.
    reused : str
        What the last reading took from a cache: "", "image" or "prefix".
    sight : Sight
        What a lens saw in the last reading; empty without one.
    """

    text: str
    ids: list[int]
    pictures: list[Picture] = field(default_factory=list)
    stem: list[int] = field(default_factory=list)
    reused: str = ""
    sight: Sight = field(default_factory=Sight)


class Lens(Protocol):
    """What looks into the layers while prompts are read, and may act there (visual enhancement)."""

    def watching(self, ids: Tensor, mask: Tensor) -> AbstractContextManager[list[Sight]]:
        """Watch the forward pass that happens inside, over these ids and mask, int64 [B, L]; one ``Sight`` a row."""


class Reader:
    """Builds prompts for one model and reads them.

    Parameters
    ----------
    mllm : Mllm
    picture_bytes, prefix_bytes : int
        Room for vision outputs, and for keys and values.

    Attributes
    ----------
    shelf : Shelf
    prefixes : bool
        Whether keys and values may be reused; the rehearsal turns it off where it would change results.
    """

    def __init__(self, mllm: Mllm, picture_bytes: int, prefix_bytes: int) -> None:
        self.mllm = mllm
        self.shelf = Shelf(mllm, picture_bytes)
        self.prefixes = True
        self._stored: ByteCache[list[tuple[Tensor, Tensor]]] = ByteCache(prefix_bytes)
        self._stems: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._types = _type_ids(mllm)
        self._rope = getattr(mllm.model.model, "get_rope_index", None)
        text = mllm.model.config.get_text_config()
        self._window = getattr(text, "sliding_window", None) or 0

    def prompt(
        self, words: str, pictures: Sequence[Picture], fixed: Callable[[str], str] | None = None, answer: str = ""
    ) -> Prompt:
        """The prompt of a user's turn.

        Parameters
        ----------
        words : str
            The question, caption last.
        pictures : sequence of Picture
            Before the words.
        fixed : callable, optional
            Gives the same words for another caption: what does not change with it is the stem whose keys and values are
            shared. None: nothing is shared.
        answer : str
            What the model has answered so far.
        """
        text = self._render(words, pictures, answer)
        prompt = Prompt(text, self._tokens(text), list(pictures))
        if fixed is not None and pictures and self.prefixes:
            known = (fixed(""), tuple(picture.block for picture in pictures))
            if known not in self._stems:
                if len(self._stems) >= _STEMS:
                    self._stems.clear()
                others = [self._tokens(self._render(fixed(probe), pictures, "")) for probe in _PROBES]
                self._stems[known] = _shared(others)
            prompt.stem = self._usable(self._stems[known], prompt.ids)
        return prompt

    def continued(self, words: str, pictures: Sequence[Picture], answer: str) -> tuple[Prompt, int]:
        """A prompt whose answer is given, and the number of its tokens that are the answer's.

        The stem ends one token before the answer: that token predicts the answer's first.
        """
        asked = self._tokens(self._render(words, pictures, ""))
        text = self._render(words, pictures, answer)
        prompt = Prompt(text, self._tokens(text), list(pictures))
        start = len(_shared([asked, prompt.ids]))
        if pictures and self.prefixes:
            prompt.stem = self._usable(asked[: start - 1], prompt.ids)
        return prompt, len(prompt.ids) - start

    @torch.inference_mode()
    def read(self, prompts: Sequence[Prompt], keep: int = 1, lens: Lens | None = None) -> Tensor:
        """Next-token logits, float32 [B, keep, vocabulary], after the last ``keep`` tokens of every prompt.

        Notes in every prompt what was reused. A ``lens`` looks into the layers, so then every token is read anew.
        """
        for prompt in prompts:
            seen = [picture.reused or picture.encoded is not None for picture in prompt.pictures]
            prompt.reused = "image" if seen and all(seen) and self.shelf.share else ""
        alike: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            usable = lens is None and self.prefixes and len(prompt.ids) - len(prompt.stem) >= keep
            alike.setdefault(len(prompt.stem) if usable else 0, []).append(row)
        found: dict[int, Tensor] = {}
        for length, rows in alike.items():
            group = [prompts[row] for row in rows]
            logits = self._by_prefix(group, keep) if length else self._whole(group, keep, lens)
            found |= dict(zip(rows, logits, strict=True))
        return torch.stack([found[row] for row in range(len(prompts))])

    def shown(self, prompt: Prompt) -> str:
        """The prompt with runs of image tokens shortened to ``<image x 49>``."""
        token = self.mllm.tokenizer.convert_ids_to_tokens(self.mllm.image_token_id)
        run = re.compile(f"(?:{re.escape(token)})+")
        text = prompt.text
        for picture in prompt.pictures:
            # One by one: some templates leave nothing between two pictures.
            short = run.sub(lambda found: f"<image x {len(found.group()) // len(token)}>", picture.block)
            text = text.replace(picture.block, short, 1)
        return text

    def clear(self) -> None:
        """Forget all pictures, keys and values."""
        self._stored.clear()
        self.shelf.clear()

    def _render(self, words: str, pictures: Sequence[Picture], answer: str) -> str:
        mllm = self.mllm
        messages = chat(self._plain(words), len(pictures))
        if getattr(mllm.processor, "chat_template", None):
            text = mllm.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        elif getattr(mllm.tokenizer, "chat_template", None):
            flat = mllm.image_token * len(pictures) + "\n" * bool(pictures) + self._plain(words)
            turn = [{"role": "user", "content": flat}]
            text = mllm.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        else:
            text = mllm.image_token * len(pictures) + "\n" + self._plain(words) + "\nAnswer:"
        parts = text.split(mllm.image_token, len(pictures))
        blocks = [picture.block for picture in pictures]
        return "".join(part + block for part, block in zip(parts, [*blocks, ""], strict=True)) + self._plain(answer)

    def _plain(self, text: str) -> str:
        """Words without the model's special tokens: a caption must not open a picture or end the turn."""
        for token in self._special():
            text = text.replace(token, " ")
        return text

    def _special(self) -> list[str]:
        tokens = {*self.mllm.tokenizer.all_special_tokens, self.mllm.image_token}
        return sorted((token for token in tokens if token.strip()), key=len, reverse=True)

    def _tokens(self, text: str) -> list[int]:
        begun = self.mllm.tokenizer.bos_token
        special = not (begun and text.startswith(begun))  # templates that write the first token themselves
        return list(self.mllm.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _usable(self, stem: list[int], ids: list[int]) -> list[int]:
        """The stem, if the prompt begins with it, it holds all pictures, and no sliding window has moved on."""
        image = self.mllm.image_token_id
        if ids[: len(stem)] != stem or image in ids[len(stem) :] or len(stem) == len(ids):
            return []
        return [] if self._window and len(ids) > self._window else stem

    def _whole(self, prompts: Sequence[Prompt], keep: int, lens: Lens | None) -> Tensor:
        pictures = [picture for prompt in prompts for picture in prompt.pictures]
        self.shelf.encode(pictures)
        ids, mask = self._padded([prompt.ids for prompt in prompts])
        inputs = self.shelf.inputs(pictures)
        positions = self._positions(ids, mask, inputs)
        with lens.watching(ids, mask) if lens else nullcontext([Sight() for _ in prompts]) as sights:
            output = self.mllm.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                **self._types(ids, bool(pictures)),
                **inputs,
                logits_to_keep=keep,
                use_cache=False,
            )
        for prompt, sight in zip(prompts, sights, strict=True):
            prompt.sight = sight
        return _kept(output.logits, keep)

    def _by_prefix(self, prompts: Sequence[Prompt], keep: int) -> Tensor:
        stored = self._prefixes(prompts)
        length = len(prompts[0].stem)
        cache = DynamicCache()
        for layer in range(len(stored[0])):
            keys, values = (torch.cat([rows[layer][part] for rows in stored]) for part in (0, 1))
            cache.update(keys, values, layer)
        ids, mask = self._padded([prompt.ids[length:] for prompt in prompts])
        output = self.mllm.model(
            input_ids=ids,
            attention_mask=torch.cat([mask.new_ones(len(prompts), length), mask], dim=1),
            position_ids=self._suffix_positions(prompts, ids, mask),
            past_key_values=cache,
            logits_to_keep=keep,
            use_cache=True,
        )
        return _kept(output.logits, keep)

    def _prefixes(self, prompts: Sequence[Prompt]) -> list[list[tuple[Tensor, Tensor]]]:
        """Keys and values of every prompt's stem; those that are not stored are read now, alike ones together."""
        found: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        missing: dict[Any, Prompt] = {}
        for prompt in prompts:
            key = _stem_key(prompt)
            kept = self._stored.get(key)
            if kept is None:
                missing.setdefault(key, prompt)
            else:
                found[key] = kept
                prompt.reused = "prefix"
        if missing:
            pictures = [picture for prompt in missing.values() for picture in prompt.pictures]
            self.shelf.encode(pictures)
            ids, mask = self._padded([prompt.stem for prompt in missing.values()])
            inputs = self.shelf.inputs(pictures)
            cache = DynamicCache()
            self.mllm.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=self._positions(ids, mask, inputs),
                **self._types(ids, True),
                **inputs,
                past_key_values=cache,
                logits_to_keep=1,
                use_cache=True,
            )
            for row, (key, prompt) in enumerate(missing.items()):
                # A copy, so that a stored row does not hold the whole batch.
                rows = [
                    (layer.keys[row : row + 1].clone(), layer.values[row : row + 1].clone()) for layer in cache.layers
                ]
                found[key] = rows
                if all(picture.key for picture in prompt.pictures):
                    self._stored.put(key, rows, sum(2 * k.numel() * k.element_size() for k, _ in rows))
        return [found[_stem_key(prompt)] for prompt in prompts]

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask, int64 [B, L], padded on the left."""
        pad = self.mllm.tokenizer.pad_token_id or 0
        longest = max(len(row) for row in rows)
        ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=self.mllm.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self.mllm.device)
        return ids, mask

    def _positions(self, ids: Tensor, mask: Tensor, inputs: dict[str, Any]) -> Tensor:
        """Positions counted from each row's first token, [B, L]; [3, B, L] where pictures have two-dimensional ones."""
        if self._rope is None or "image_grid_thw" not in inputs:
            return _counted(mask)
        types = (ids == self.mllm.image_token_id).int()
        positions, _ = self._rope(
            input_ids=ids, mm_token_type_ids=types, image_grid_thw=inputs["image_grid_thw"], attention_mask=mask
        )
        return positions

    def _suffix_positions(self, prompts: Sequence[Prompt], ids: Tensor, mask: Tensor) -> Tensor:
        length = len(prompts[0].stem)
        counted = _counted(mask)
        if self._rope is None:
            return counted + length
        # Pictures advance the position by their larger side only: where text goes on depends on the picture.
        starts = []
        for prompt in prompts:
            stem, ones = self._padded([prompt.stem])
            grids = torch.cat([picture.inputs["image_grid_thw"] for picture in prompt.pictures])
            starts.append(int(self._positions(stem, ones, {"image_grid_thw": grids}).max()) + 1)
        return (counted + counted.new_tensor(starts)[:, None]).expand(3, -1, -1)


def _type_ids(mllm: Mllm) -> Callable[[Tensor, bool], dict[str, Tensor]]:
    """What marks picture tokens beside their ids, for architectures that ask for it."""
    known = inspect.signature(mllm.model.forward).parameters
    name = next((name for name in ("mm_token_type_ids", "token_type_ids") if name in known), "")

    def types(ids: Tensor, pictures: bool) -> dict[str, Tensor]:
        return {name: (ids == mllm.image_token_id).int()} if name and pictures else {}

    return types


def _counted(mask: Tensor) -> Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _kept(logits: Tensor, keep: int) -> Tensor:
    """The last ``keep`` rows: some architectures ignore ``logits_to_keep``."""
    return logits[:, -keep:].float()


def _stem_key(prompt: Prompt) -> Any:
    return tuple(picture.key or id(picture) for picture in prompt.pictures), tuple(prompt.stem)


def _shared(rows: Sequence[Sequence[int]]) -> list[int]:
    """The tokens all rows begin with."""
    length = 0
    for tokens in zip(*rows, strict=False):
        if len(set(tokens)) > 1:
            break
        length += 1
    return list(rows[0][:length])
