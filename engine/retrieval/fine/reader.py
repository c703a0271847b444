"""From prompts to next-token logits, in left-padded batches.

Three ways give the same numbers. The whole way reads every prompt from its first token. The prefix way reads what all
prompts of one picture begin with (picture and question) once, keeps its keys and values, and reads only the captions. Where a
beginning is new and serves one prompt of the batch, both are read in one pass: on a CPU a pass over a few short captions costs
nearly as much as the weights take to be read from memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from engine.lru_cache import LRUCache
from engine.retrieval.fine.composer import LensTrace, Prompt, PromptComposer
from engine.retrieval.fine.model import Mllm
from engine.retrieval.fine.picture_store import PictureStore
from engine.retrieval.fine.pictures import ImageCache


class Lens(Protocol):
    """What looks into the layers while prompts are read, and may act there (visual enhancement)."""

    def watching(self, ids: Tensor, mask: Tensor) -> AbstractContextManager[list[LensTrace]]:
        """Watch the forward pass that happens inside, over these ids and mask, int64 [B, L]; one ``LensTrace`` per row."""


class PromptReader(PromptComposer):
    """Builds prompts for one model and reads them.

    Parameters
    ----------
    mllm : Mllm
    picture_bytes, prefix_bytes : int
        Room for vision outputs, and for keys and values.
    store : PictureStore, optional
        Pictures read ahead; default: the model's in the cache.

    Attributes
    ----------
    images : ImageCache
    stored : LRUCache
        Keys and values of beginnings of prompts, by the beginning.
    """

    def __init__(self, mllm: Mllm, picture_bytes: int, prefix_bytes: int, store: PictureStore | None = None) -> None:
        super().__init__(mllm)
        self.images = ImageCache(mllm, picture_bytes, store or PictureStore.of(mllm))
        self.stored: LRUCache[Any, list[tuple[Tensor, Tensor]]] = LRUCache(prefix_bytes)
        self._types = _type_ids(mllm)
        self._rope = getattr(mllm.model.model, "get_rope_index", None)
        # transformers 5.24 calls "cache" what was "past_key_values" before, and warns whoever says the old name.
        known = inspect.signature(mllm.model.forward).parameters
        self._cache = "cache" if "cache" in known else "past_key_values"

    @torch.inference_mode()
    def read(self, prompts: Sequence[Prompt], keep: int = 1, lens: Lens | None = None) -> Tensor:
        """Next-token logits, float32 [B, keep, vocabulary], after the last ``keep`` tokens of every prompt.

        Notes in every prompt what was reused. A ``lens`` looks into the layers, so then every token is read anew.
        """
        for prompt in prompts:
            seen = [picture.reused or picture.encoded is not None for picture in prompt.pictures]
            prompt.reused = "image" if seen and all(seen) and self.images.share else ""
        alike: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            usable = lens is None and self.prefixes and len(prompt.ids) - len(prompt.stem) >= keep
            alike.setdefault(len(prompt.stem) if usable else 0, []).append(row)
        found: dict[int, Tensor] = {}
        for length, rows in alike.items():
            group = [prompts[row] for row in rows]
            if not length:
                found |= dict(zip(rows, self._whole(group, keep, lens), strict=True))
                continue
            for way, places in self._ways(group).items():
                logits = way([group[place] for place in places], keep)
                found |= dict(zip((rows[place] for place in places), logits, strict=True))
        return torch.stack([found[row] for row in range(len(prompts))])

    def clear(self) -> None:
        """Forget all pictures, keys and values."""
        self.stored.clear()
        self.images.clear()

    def _whole(self, prompts: Sequence[Prompt], keep: int, lens: Lens | None) -> Tensor:
        pictures = [picture for prompt in prompts for picture in prompt.pictures]
        self.images.encode(pictures)
        ids, mask = self._padded([prompt.ids for prompt in prompts])
        inputs = self.images.inputs(pictures)
        positions = self._positions(ids, mask, inputs)
        with lens.watching(ids, mask) if lens else nullcontext([LensTrace() for _ in prompts]) as traces:
            output = self.mllm.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                **self._types(ids, bool(pictures)),
                **inputs,
                logits_to_keep=keep,
                use_cache=False,
            )
        for prompt, trace in zip(prompts, traces, strict=True):
            prompt.trace = trace
        return _kept(output.logits, keep)

    def _ways(self, prompts: Sequence[Prompt]) -> dict[Callable[[Sequence[Prompt], int], Tensor], list[int]]:
        """How each of these prompts, whose stems are equally long, is read: places by the method that reads them."""
        keys = [_stem_key(prompt) for prompt in prompts]
        ways: dict[Callable[[Sequence[Prompt], int], Tensor], list[int]] = {}
        for place, key in enumerate(keys):
            alone = keys.count(key) == 1 and self.stored.get(key) is None
            ways.setdefault(self._in_one_pass if alone else self._by_prefix, []).append(place)
        return ways

    def _in_one_pass(self, prompts: Sequence[Prompt], keep: int) -> Tensor:
        """Stem and caption together; the keys and values of the stem are kept. Captions are padded where they begin."""
        length = len(prompts[0].stem)
        stems, ones = self._padded([prompt.stem for prompt in prompts])
        rest, mask = self._padded([prompt.ids[length:] for prompt in prompts])
        ids, mask = torch.cat([stems, rest], dim=1), torch.cat([ones, mask], dim=1)
        pictures = [picture for prompt in prompts for picture in prompt.pictures]
        self.images.encode(pictures)
        inputs = self.images.inputs(pictures)
        cache = DynamicCache()
        output = self.mllm.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=self._positions(ids, mask, inputs),
            **self._types(ids, True),
            **inputs,
            **{self._cache: cache},
            logits_to_keep=keep,
            use_cache=True,
        )
        for row, prompt in enumerate(prompts):
            self._store(prompt, _row(cache, row, length))
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
            position_ids=self.suffix_positions(prompts, ids, mask),
            **{self._cache: cache},
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
            kept = self.stored.get(key)
            if kept is None:
                missing.setdefault(key, prompt)
            else:
                found[key] = kept
                prompt.reused = "prefix"
        if missing:
            pictures = [picture for prompt in missing.values() for picture in prompt.pictures]
            self.images.encode(pictures)
            ids, mask = self._padded([prompt.stem for prompt in missing.values()])
            inputs = self.images.inputs(pictures)
            cache = DynamicCache()
            self.mllm.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=self._positions(ids, mask, inputs),
                **self._types(ids, True),
                **inputs,
                **{self._cache: cache},
                logits_to_keep=1,
                use_cache=True,
            )
            for row, (key, prompt) in enumerate(missing.items()):
                found[key] = _row(cache, row, len(prompt.stem))
                self._store(prompt, found[key])
        return [found[_stem_key(prompt)] for prompt in prompts]

    def _store(self, prompt: Prompt, rows: list[tuple[Tensor, Tensor]]) -> None:
        """Keep the keys and values of a prompt's stem, unless one of its pictures is not to be kept."""
        if all(picture.key for picture in prompt.pictures):
            self.stored.put(_stem_key(prompt), rows, sum(2 * k.numel() * k.element_size() for k, _ in rows))

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

    def suffix_positions(self, prompts: Sequence[Prompt], ids: Tensor, mask: Tensor) -> Tensor:
        """Positions, int64 [B, L] or [3, B, L], of ids [B, L] that follow the stem whose keys and values are kept."""
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


def _row(cache: DynamicCache, row: int, length: int) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of the first ``length`` tokens of one row, copied so that they do not hold the whole batch."""
    return [
        (layer.keys[row : row + 1, :, :length].clone(), layer.values[row : row + 1, :, :length].clone())
        for layer in cache.layers
    ]


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
