"""Everything an atlas says, worked out the slow way: the oracle of the builder's tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from engine.activations import ActivationStore
from engine.sae import SparseAutoencoder

MASK = 2**64 - 1


def mix(value: int) -> int:
    """SplitMix64's finaliser on Python integers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class Oracle:
    """Everything an atlas says, worked out the slow way from dense codes [T, M]."""

    def __init__(self, sae: SparseAutoencoder, store: ActivationStore, top_n: int) -> None:
        self.x = torch.cat([store.item(i) for i in range(store.n_items)])
        with torch.no_grad():
            codes, tau = sae.encode_with_threshold(self.x)
        self.tau = None if tau is None else tau.numpy().reshape(store.n_items, -1)
        self.fires = np.zeros((len(self.x), codes.n_atoms), bool)
        self.fires[codes.row.numpy(), codes.col.numpy()] = True
        self.dense = codes.dense().numpy()
        self.n_items, self.n_positions, self.top_n = store.n_items, store.n_positions, top_n
        shape = (store.n_items, store.n_positions, -1)
        self.fires3, self.dense3 = self.fires.reshape(shape), self.dense.reshape(shape)
        self.items, self.embeddings = store.items, np.asarray(store.embeddings, np.float64)

    def item_values(self, atom: int) -> dict[int, tuple[float, int]]:
        """Item -> its largest activation and the first position that reaches it."""
        found = {}
        for item in range(self.n_items):
            where = np.flatnonzero(self.fires3[item, :, atom])
            if len(where):
                values = self.dense3[item, where, atom]
                found[item] = (float(values.max()), int(where[values.argmax()]))
        return found

    def exemplars(self, atom: int) -> list[tuple[str, int, int, int, float, float]]:
        """Rows (kind, rank, item, position, value, quantile)."""
        values = self.item_values(atom)
        ranked = sorted(values, key=lambda i: (-values[i][0], i))
        top = ranked[: self.top_n]
        rows = [
            ("top", r, i, values[i][1], values[i][0], np.mean([v <= values[i][0] for v, _ in values.values()]))
            for r, i in enumerate(top)
        ]
        priority = {i: mix(mix(i) ^ atom) for i in values}
        sample = sorted(values, key=lambda i: priority[i])[:64]
        rest = [i for i in sorted(sample, key=lambda i: (-values[i][0], i)) if i not in top]
        chosen = []
        for band in range(4):
            members = [i for place, i in enumerate(rest) if place * 4 // len(rest) == band]
            chosen += sorted(members, key=lambda i: priority[i])[:3]
        chosen.sort(key=lambda i: (-values[i][0], i))
        for r, i in enumerate(chosen):
            share = np.mean([values[j][0] <= values[i][0] for j in sample])
            rows.append(("quantile", r, i, values[i][1], values[i][0], share))
        return rows

    def heat(self, item: int, atom: int) -> tuple[list[int], list[float]]:
        """Positions and values of one heat map: the 64 largest, in order of position."""
        where = np.flatnonzero(self.fires3[item, :, atom])
        values = self.dense3[item, where, atom]
        keep = sorted(sorted(range(len(where)), key=lambda i: (-values[i], where[i]))[:64])
        return [int(where[i]) for i in keep], [float(values[i]) for i in keep]

    def atom(self, atom: int, n_tokens: int) -> dict[str, Any]:
        """The measured columns of one atom."""
        fires = self.fires[:, atom]
        values = self.item_values(atom)
        count = int(fires.sum())
        labels: dict[str, float] = {}
        top = [row for row in self.exemplars(atom) if row[0] == "top"]
        for _, _, item, _, value, _ in top:
            name = self.items["label"][item]
            if name and value > 0:
                labels[name] = labels.get(name, 0.0) + value
        shares = [v / sum(labels.values()) for v in labels.values()]
        pairs = [(i, j) for i in values for j in values if i != j]
        weight = {i: max(values[i][0], 0.0) for i in values}
        total = sum(weight[i] * weight[j] for i, j in pairs)
        e = self.embeddings
        mono = sum(weight[i] * weight[j] * (e[i] @ e[j]) for i, j in pairs) / total if total > 0 else math.nan
        top_pairs = [e[a[2]] @ e[b[2]] for a in top for b in top if a[2] != b[2]]
        frequency = count / n_tokens
        status = "dead" if count == 0 else "rare" if frequency < 1e-5 else "dense" if frequency > 0.1 else "live"
        best = min(labels, key=lambda n: (-labels[n], n)) if labels else ""
        return {
            "firing_count": count,
            "item_count": len(values),
            "frequency": frequency,
            "mean_activation": self.dense[fires, atom].mean(dtype=np.float64) if count else math.nan,
            "max_activation": self.dense[fires, atom].max() if count else math.nan,
            "status": status,
            "label_entropy": -sum(s * math.log2(s) for s in shares) if shares else math.nan,
            "top_label": best,
            "top_label_share": labels[best] / sum(labels.values()) if labels else math.nan,
            "monosemanticity": mono,
            "diversity": 1 - np.mean(top_pairs) if top_pairs else math.nan,
        }
