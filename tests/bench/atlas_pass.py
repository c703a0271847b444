"""Our one pass over the activations beside the published way, on the same tokens and the same SAE.

    python tests/bench/atlas_pass.py                                   drawn tokens, M = 4,096 and 16,384
    python tests/bench/atlas_pass.py --acts STORE --sae RUN --items 64 a real store and a real sparsemax SAE
    python tests/bench/atlas_pass.py --json                            the same as one JSON document on stdout

Both ways run in processes of their own, one after the other, over the same items.

    ours        engine.atlas.build.token_pass: CSR codes; counts, histograms, exemplar items with heat maps, a reservoir
                sample, label statistics, monosemanticity, support sizes and thresholds, co-activation, for all atoms at once
    published   what compute_sae_feature_data.py of the published code of arXiv 2604.14925 does, batch by batch of 16 images:
                a dense forward (scores, full sort, gate, reconstruction), then sums, counts, torch.topk over the batch for
                every atom and a running merge, here over tokens. It yields the top tokens, the mean and the count of an
                atom, nothing else

``encode`` is the time inside the SAE, ``pass`` the rest: what the atlas costs beyond encoding, checkpoint included. ``CPU`` is
the CPU time of all threads, which other work on the machine changes little. ``peak`` is how far the process grew over its
inputs. Seconds belong to the machine; the ratios compare runs of one call.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests" / "bench"))

from machine import apart  # noqa: E402

from engine.cli.console import print_table  # noqa: E402
from engine.table import Table  # noqa: E402

GOAL = 10.0
TOP_N = 24
PUBLISHED_IMAGES = 16
POSITIONS, WIDTH = 197, 768


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=Path, help="activation store (default: drawn tokens)")
    parser.add_argument("--sae", type=Path, help="run folder of a sparsemax SAE in score mode or not")
    parser.add_argument("--items", type=int, default=64, help="items of the store")
    parser.add_argument("--atoms", type=int, nargs="+", default=[4096, 16384], help="widths of the drawn SAEs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return
    if bool(arguments.acts) != bool(arguments.sae):
        parser.error("--acts and --sae go together")
    results = []
    for atoms in [0] if arguments.sae else arguments.atoms:
        for method in ("ours", "published"):
            print(f"{method} {f'M={atoms}' if atoms else arguments.sae} ...", file=sys.stderr, flush=True)
            given = {"acts": str(arguments.acts or ""), "sae": str(arguments.sae or "")}
            job = {"method": method, "atoms": atoms, "items": arguments.items, **given}
            results.append(apart(__file__, job))
    document = {"results": results, "ratios": ratios(results)}
    if arguments.json:
        print(json.dumps(document, indent=2))
        return
    columns = ["encode_s", "pass_s", "total_s", "cpu_s", "peak_mb"]
    rows = []
    for r in results:
        speed = f"{r['tokens'] / r['total_s']:,.0f}"
        rows.append((r["method"], f"{r['atoms']:,}", f"{r['l0']:.1f}", speed, *(f"{r[name]:,.2f}" for name in columns)))
    print_table(Table(("method", "M", "L0", "tokens/s", *columns), tuple(rows)))
    for ratio in document["ratios"]:
        met = "met" if ratio["total"] >= GOAL else "MISSED"
        print(
            f"M = {ratio['atoms']:,}: published / ours = {ratio['total']:.1f} in all (goal {GOAL:g}: {met}), "
            f"{ratio['cpu']:.1f} in CPU time, "
            f"{ratio['pass']:.1f} beyond encoding, {ratio['peak']:.1f} in peak memory"
        )


def ratios(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Published over ours, for every width."""
    found = []
    for ours, published in zip(results[::2], results[1::2], strict=True):
        names = {"total": "total_s", "cpu": "cpu_s", "pass": "pass_s", "peak": "peak_mb"}
        found.append({"atoms": ours["atoms"]} | {k: round(published[v] / ours[v], 2) for k, v in names.items()})
    return found


class Tokens:
    """The first items of a store, or drawn ones, in memory: both ways read them at the same cost, none."""

    def __init__(self, acts: str, items: int) -> None:
        import torch

        if acts:
            from engine.activations import ActivationStore

            store = ActivationStore.open(acts)
            self.n_items = min(items, store.n_items)
            self.x = torch.stack([store.item(i) for i in range(self.n_items)])
            self.embeddings = store.embeddings[: self.n_items]
            self.labels = store.items["label"].tolist()[: self.n_items]
        else:
            import numpy as np

            generator = torch.Generator().manual_seed(0)
            kinds = torch.randn(300, WIDTH, generator=generator)
            which = torch.randint(300, (items, POSITIONS), generator=generator)
            self.x = kinds[which] + 0.5 * torch.randn(items, POSITIONS, WIDTH, generator=generator)
            self.n_items = items
            rows = np.random.default_rng(0).normal(size=(items, 512)).astype(np.float32)
            self.embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            self.labels = [f"label {i % 40}" for i in range(items)]
        self.n_positions = self.x.shape[1]
        self.n_tokens = self.n_items * self.n_positions

    def item(self, item: int) -> Any:
        """Activations [P, d] of one item."""
        return self.x[item]


def _sae(job: dict[str, Any], tokens: Tokens) -> Any:
    import torch

    from engine.sae import SparsemaxConfig, SparsemaxSAE, load_sae

    if job["sae"]:
        return load_sae(Path(job["sae"]))
    sae = SparsemaxSAE(SparsemaxConfig(d_model=tokens.x.shape[2], n_atoms=job["atoms"], init="data", scale=2.0))
    sae.initialise(tokens.x.flatten(0, 1), torch.Generator().manual_seed(0))
    return sae.eval()


def _work(job: dict[str, Any]) -> dict[str, Any]:
    tokens = Tokens(job["acts"], job["items"])
    sae = _sae(job, tokens)
    way = {"ours": _ours, "published": _published}[job["method"]]
    way(sae, tokens, 1)  # compiles, and fills caches
    before = _peak()
    started, cpu = time.perf_counter(), time.process_time()
    encode, entries = way(sae, tokens, tokens.n_items)
    total, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "method": job["method"],
        "atoms": sae.config.n_atoms,
        "tokens": tokens.n_tokens,
        "l0": entries / tokens.n_tokens,
        "encode_s": encode,
        "pass_s": total - encode,
        "total_s": total,
        "cpu_s": cpu,
        "peak_mb": max((_peak() - before) / 1024, 1.0),
    }


def _peak() -> int:
    """Largest resident size of this process so far, KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ours(sae: Any, tokens: Tokens, items: int) -> tuple[float, int]:
    import torch

    from engine.atlas.build import token_pass as module
    from engine.atlas.build.accumulators import Accumulators
    from engine.atlas.build.encoding import encode
    from engine.atlas.build.pass_plan import histogram_edges, label_ids
    from engine.progress import SilentProgress

    spent = 0.0

    def timed(sae: Any, x: torch.Tensor) -> Any:
        nonlocal spent
        start = time.perf_counter()
        codes = encode(sae, x)
        spent += time.perf_counter() - start
        return codes

    class Part:
        n_items, n_positions, n_tokens = items, tokens.n_positions, items * tokens.n_positions
        embeddings, item = tokens.embeddings, tokens.item

    module.encode = timed  # type: ignore[assignment]
    edges = histogram_edges(encode(sae, tokens.item(0)).val)
    ids, names = label_ids(tokens.labels, sae.config.n_atoms)
    acc = Accumulators(sae.config.n_atoms, len(names), tokens.embeddings.shape[1], edges, TOP_N)
    with tempfile.TemporaryDirectory() as work:
        module.run_token_pass(sae, Part, acc, ids, 131_072, Path(work), torch.device("cpu"), SilentProgress())  # type: ignore[arg-type]
    return spent, int(acc.counts.firing.sum())


def _published(sae: Any, tokens: Tokens, items: int) -> tuple[float, int]:
    """The published algorithm on the weights of ``sae``, written from its description; dense at every step."""
    import torch

    spent, seen, entries = 0.0, 0, 0
    m = sae.config.n_atoms
    best, where = torch.zeros(m, TOP_N), torch.zeros(m, TOP_N)
    count, total = torch.zeros(m), torch.zeros(m)
    with torch.inference_mode():
        for first in range(0, items, PUBLISHED_IMAGES):
            x = tokens.x[first : min(first + PUBLISHED_IMAGES, items)].flatten(0, 1)
            start = time.perf_counter()
            codes = _dense_forward(sae, x).T
            spent += time.perf_counter() - start
            total += codes.sum(dim=1)
            count += (codes > 0).sum(dim=1)
            values, indices = torch.topk(codes, min(TOP_N, codes.shape[1]), dim=1)
            values, indices = torch.cat([best, values], dim=1), torch.cat([where, indices + seen], dim=1)
            best, order = torch.topk(values, TOP_N, dim=1)
            where = indices.gather(1, order)
            seen += len(x)
            entries += int((codes != 0).sum())
    return spent, entries


def _dense_forward(sae: Any, x: Any) -> Any:
    """Dense codes [N, M]: concept keys, scores, sparsemax by a full sort, the gate, and the dense reconstruction."""
    import torch

    u = (x - sae.input_mean) / sae.input_scale
    if sae.config.values == "score":
        u = u / u.norm(dim=1, keepdim=True)
        scores = u @ (sae.atoms @ sae.w_key).T * sae.scale
    else:
        scores = u @ (sae.atoms @ sae.w_key.T).T * sae.scale
    ordered = torch.sort(scores, descending=True, dim=1).values
    total = ordered.cumsum(dim=1)
    rank = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)
    inside = 1 + rank * ordered > total
    size = (rank * inside).max(dim=1, keepdim=True).values
    tau = ((ordered * inside).sum(dim=1, keepdim=True) - 1) / size
    probability = (scores - tau).clamp(min=0)
    codes = scores * (probability > 0) if sae.config.values == "score" else probability
    codes @ (sae.atoms @ sae.w_value)  # the published forward reconstructs too, though only the codes are read
    return codes


if __name__ == "__main__":
    main()
