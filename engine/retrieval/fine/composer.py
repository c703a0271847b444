"""Prompts as a model reads them: chat template, the pictures' tokens written out, token ids, and what many prompts share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.retrieval.fine.model import Mllm
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.prompts import chat

_PROBES = ("A", "9", "the", "Zoe", "(")
"""Captions that begin unlike each other: what their prompts share is what every prompt of the question begins with."""

_STEMS = 4096
"""Stems remembered; a few hundred bytes each."""


@dataclass
class LensTrace:
    """The measurements of a lens on one prompt.

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
    pictures : list of PreparedPicture
        In the order they stand in it.
    stem : list of int
        The tokens it shares with other prompts about the same pictures; [] to read it whole.
    reused : str
        What the last reading took from a cache: "", "image" or "prefix".
    trace : LensTrace
        What a lens saw in the last reading; empty without one.
    """

    text: str
    ids: list[int]
    pictures: list[PreparedPicture] = field(default_factory=list)
    stem: list[int] = field(default_factory=list)
    reused: str = ""
    trace: LensTrace = field(default_factory=LensTrace)


class PromptComposer:
    """Writes prompts for one model.

    Attributes
    ----------
    prefixes : bool
        Whether keys and values of a common beginning may be reused; the rehearsal turns it off where it would change
        results.
    """

    def __init__(self, mllm: Mllm) -> None:
        self.mllm = mllm
        self.prefixes = True
        self._stems: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._special = _special_tokens(mllm)
        text = mllm.model.config.get_text_config()
        self._window = getattr(text, "sliding_window", None) or 0

    def prompt(
        self,
        words: str,
        pictures: Sequence[PreparedPicture],
        fixed: Callable[[str], str] | None = None,
        answer: str = "",
    ) -> Prompt:
        """The prompt of a user's turn.

        Parameters
        ----------
        words : str
            The question, caption last.
        pictures : sequence of PreparedPicture
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

    def continued(self, words: str, pictures: Sequence[PreparedPicture], answer: str) -> tuple[Prompt, int]:
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

    def _render(self, words: str, pictures: Sequence[PreparedPicture], answer: str) -> str:
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
        for token in self._special:
            text = text.replace(token, " ")
        return text

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


def _special_tokens(mllm: Mllm) -> list[str]:
    """Every token that means something to the model beyond its letters, longest first."""
    tokenizer = mllm.tokenizer
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    image = tokenizer.convert_ids_to_tokens(mllm.image_token_id)
    tokens = {*tokenizer.all_special_tokens, *added, mllm.image_token, image}
    return sorted((token for token in tokens if token.strip()), key=len, reverse=True)


def _shared(rows: Sequence[Sequence[int]]) -> list[int]:
    """The tokens all rows begin with."""
    length = 0
    for tokens in zip(*rows, strict=False):
        if len(set(tokens)) > 1:
            break
        length += 1
    return list(rows[0][:length])
