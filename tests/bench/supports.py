"""Are the supports exact in a training, from the first step to the last? One command, one table.

    python tests/bench/supports.py                 the whole demo training, and the first steps of published starts
    python tests/bench/supports.py --passes 1      another number of passes over the training tokens
    python tests/bench/supports.py --json          the same as one JSON document on stdout
    python tests/bench/supports.py --save          also write assets/bench/supports-cpu.json

Trainings, on the store of the demo corpus (``atomscope demo build atlas`` makes it):

    demo        the sparsemax SAE of the demo atlas: its recipe (engine/demo/atlas.py), its seed, all of its steps
    published   the random start of the published code of arXiv 2604.14925 (Kaiming uniform, scale 1): --steps steps
    wide        the same with scale 0.1: supports of several hundred, more than the 256 groups of the lower bound

Each is cut into phases, and of each phase the table says:

    support     mean and largest number of active atoms a row
    rows        supports taken; starting point and validation are part of the phase in which they happen
    fallback    rows whose first lower bound failed its certificate, and which were done again from a bound that cannot
    uncertified rows, of all rows, whose support fails the optimality conditions of sparsemax
    checked     rows compared with a full sort in float64: 64 of every fifth call (demo) or of every call
    near        of those, supports that differ in scores within 1e-6 of the threshold only
    different   of those, supports that differ in any other score
    error       largest difference of a probability from the float64 sort

It exits with status 1 unless ``uncertified`` and ``different`` are 0 everywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)  # a script's own folder comes first, and there kernels.py would be the package ``kernels``
sys.path.append(str(Path(__file__).resolve().parent))

from machine import machine  # noqa: E402

FIRST = 30  # steps of the first phase, and of the published start
CHECKED_ROWS = 64


def main() -> None:
    """Train, print, save; exit with status 1 when a support was not exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=Path, help="activation store (default: that of the demo)")
    parser.add_argument("--passes", type=float, help="passes of the demo training (default: those of its recipe)")
    parser.add_argument("--steps", type=int, default=FIRST, help="steps of the published start")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--save", action="store_true", help="write assets/bench/supports-cpu.json")
    arguments = parser.parse_args()

    from engine.activations import ActivationStore
    from engine.demo.atlas import RECIPE
    from engine.files import write_json
    from engine.paths import cache_dir
    from engine.sae import SparsemaxConfig

    store = ActivationStore.open(arguments.acts or cache_dir() / "stores" / "demo-clip-b16")
    options = replace(RECIPE.training, epochs=arguments.passes or RECIPE.training.epochs)
    common: dict[str, Any] = {"d_model": store.d_model, "n_atoms": RECIPE.n_atoms, "normalise": "standardise"}
    tokens = arguments.steps * min(options.batch_tokens, len(store.rows("train")) * store.n_positions)
    few = replace(options, tokens=tokens, warmup_steps=0, decay_share=0.0, validation_tokens=0)
    results = audited("published", SparsemaxConfig(**common), store, few, 1)
    results += audited("wide", SparsemaxConfig(**common, scale=0.1), store, few, 1)
    results += audited("demo", SparsemaxConfig(**common, init="spread", scale=0.6), store, options, 5)
    document = {
        "machine": machine("cpu"),
        "atoms": RECIPE.n_atoms,
        "passes": options.epochs,
        "results": results,
        "exact": all(r["uncertified"] == r["different"] == 0 for r in results),
    }
    if arguments.save:
        write_json(ROOT / "assets" / "bench" / "supports-cpu.json", document)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    sys.exit(0 if document["exact"] else 1)


def audited(name: str, config: Any, store: Any, options: Any, every: int) -> list[dict[str, Any]]:
    """Train once under an audit; what it found, phase by phase: the first steps, then quarters of the training."""
    from engine.progress import SilentProgress
    from engine.training import train
    from kernels import audit_supports

    steps = options.total_steps(len(store.rows("train")) * store.n_positions)
    ends = {min(FIRST, steps)} | {end for quarter in range(1, 5) if (end := round(steps * quarter / 4)) > FIRST}
    results: list[dict[str, Any]] = []

    class Phases(SilentProgress):
        """The training calls it after every step; it closes a phase where one ends."""

        step = -1  # the first call reports the tokens of a checkpoint, and there is none

        def advance(self, count: int = 1, note: str = "") -> None:
            self.step += 1
            if self.step % 25 == 0:
                print(f"{name} {self.step}/{steps} {note}", file=sys.stderr, flush=True)
            if self.step in ends:
                found = asdict(audit.taken())
                first = results[-1]["last_step"] + 1 if results else 1
                phase = {"training": name, "first_step": first, "last_step": self.step}
                results.append(phase | {"mean": round(found["entries"] / found["rows"], 1)} | found)
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as work, audit_supports(every, CHECKED_ROWS) as audit:
        train([config], store, Path(work) / "run", options, Phases())
    return results


def _print(document: dict[str, Any]) -> None:
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()))
    print(f"M = {document['atoms']:,}; the demo training makes {document['passes']:g} passes\n")
    columns = ["rows", "fallback", "uncertified", "checked", "near", "different"]
    heads = ["training", "steps", "mean support", "largest", *columns, "max error"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for r in document["results"]:
        cells = [r["training"], f"{r['first_step']}-{r['last_step']}", r["mean"], r["largest"]]
        cells += [f"{r[name]:,}" for name in columns] + [f"{r['max_error']:.1e}"]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    print("\nevery support exact" if document["exact"] else "\nNOT every support is exact")


if __name__ == "__main__":
    main()
