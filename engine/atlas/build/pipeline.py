"""``build_atlas``: from a trained SAE and an activation store to a concept atlas.

The stages run in order and each is kept in a work folder beside the atlas until all are done: the sample, the pass (with
its own checkpoints), the neighbours, the map, the tables, the pictures. The same command after a kill goes on where it
stopped and ends with the same bytes; a change of SAE, store or options starts again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build import layout, thumbs
from engine.atlas.build.accumulate import SAMPLE, Accumulators
from engine.atlas.build.exemplars import BAND_SIZE, BANDS, exemplar_rows
from engine.atlas.build.naming import name_atoms, name_clusters
from engine.atlas.build.neighbours import nearest_directions, nearest_firing, neighbour_columns
from engine.atlas.build.options import AtlasOptions
from engine.atlas.build.sample import Encoded, Sample, draw_sample
from engine.atlas.build.statistics import atom_columns, label_columns, label_ids
from engine.atlas.build.token_pass import TokenSample, sweep
from engine.atlas.build.words import collect_terms
from engine.atlas.format.schema import ATOMS_PER_GROUP, FORMAT_MAJOR, FORMAT_MINOR
from engine.atlas.format.tables import make_table, save_array, string_lists, write_grouped, write_plain
from engine.atlas.format.texts import exemplar_terms, prefer_one_word, snippets_of, write_tokens
from engine.atlas.format.writer import (
    Exemplars,
    header,
    status_counts,
    write_codes,
    write_entrants,
    write_exemplars,
    write_histograms,
    write_items,
    write_meta,
)
from engine.device import pick_device
from engine.errors import InputError
from engine.files import explain_os_errors, read_json, sha256, write_json
from engine.progress import Progress, Silent

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder


def build_atlas(
    sae_dir: Path,
    store: ActivationStore,
    out: Path,
    options: AtlasOptions | None = None,
    progress: Progress | None = None,
) -> Path:
    """Build the concept atlas of one SAE over one activation store.

    Parameters
    ----------
    sae_dir : Path
        Run folder of the SAE: ``config.json``, ``weights.safetensors`` and, if there is one, ``training.parquet``.
    store : ActivationStore
        Activations the SAE reads.
    out : Path
        Folder of the atlas; an atlas that is there is replaced when the new one is whole.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    InputError
        If the SAE and the store do not fit, or ``out`` is something else than an atlas.
    AtomscopeError
        If the disk is full or the folder cannot be written.
    """
    from engine.sae import load_sae

    options, progress = options or AtlasOptions(), progress or Silent()
    sae_dir = run_folder(sae_dir)
    baselines = {name: run_folder(path) for name, path in options.baselines.items()}
    sae = load_sae(sae_dir)
    _check(sae, store, out, options)
    for path in baselines.values():
        load_sae(path)
    with explain_os_errors(out), _work_folder(out) as work:
        found = {
            "sae": [sha256(sae_dir / name) for name in _SAE_FILES],
            "activations": store.hash,
            "format": [FORMAT_MAJOR, FORMAT_MINOR],
            **options.of_the_pass(),
        }
        rest = {"baselines_sha256": [sha256(p / n) for p in baselines.values() for n in _SAE_FILES]}
        created = _begin(work, found, rest | options.of_the_rest())
        device = pick_device(options.device)
        build = _Build(sae.to(device).eval(), store, options, work, device, progress)
        build.run()
        _copy_saes(build.folder, sae_dir, baselines)
        write_meta(build.folder, build.meta() | {"created": created})
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(build.folder, out)
        shutil.rmtree(work)
    return out


@dataclass
class _Build:
    """One build under way: the inputs, the work folder, and the stages."""

    sae: SparseAutoencoder
    store: ActivationStore
    options: AtlasOptions
    work: Path
    device: torch.device
    progress: Progress

    @property
    def folder(self) -> Path:
        """Where the atlas grows."""
        return self.work / "atlas"

    def run(self) -> None:
        """All stages that are not done yet."""
        sae, store = self.sae, self.store
        n_atoms = sae.config.n_atoms
        labels = store.items["label"].tolist()
        sample = self._sample()
        ids, names = label_ids(labels, n_atoms)
        acc = Accumulators(n_atoms, len(names), store.embeddings.shape[1], sample.edges, self.options.top_n)
        tokens = sweep(
            sae,
            store,
            acc,
            ids,
            sample.coactivation_tokens,
            self.work,
            self.device,
            self.progress,
            self.options.checkpoint_seconds,
        )
        self.labels_counted = len(names)
        self.labels_seen = len({label for label in labels if label})
        live = np.flatnonzero(acc.firing)
        neighbours = self._neighbours(live, tokens, n_atoms)
        self.map = self._map(live, neighbours)
        self.folder.mkdir(exist_ok=True)
        self._tables(acc, sample, neighbours, live, names, labels)
        self._pictures()
        self.edges = sample.edges
        self.coactivation_tokens = sum(len(sizes) for sizes in tokens.sizes)

    # Stages.

    def _sample(self) -> Sample:
        """The sampled items, encoded once and kept."""
        folder = self.work / "sample"
        if not (folder / "done.json").is_file():
            sample = draw_sample(self.sae, self.store, self.options.sample_items, self.device, self.progress)
            folder.mkdir(exist_ok=True)
            for entry in fields(Sample):
                value = getattr(sample, entry.name)
                if isinstance(value, np.ndarray):
                    save_array(folder / f"{entry.name}.npy", value)
            for entry in fields(Encoded):
                if (value := getattr(sample.codes, entry.name)) is not None:
                    save_array(folder / f"codes-{entry.name}.npy", value)
            write_json(folder / "done.json", {"coactivation_tokens": sample.coactivation_tokens})
        arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
        codes = Encoded(**{entry.name: arrays.pop(f"codes-{entry.name}", None) for entry in fields(Encoded)})
        return Sample(codes=codes, **arrays, **read_json(folder / "done.json"))

    def _neighbours(self, live: NDArray[np.int64], tokens: TokenSample, n_atoms: int) -> dict[str, Any]:
        """Columns of ``neighbours.parquet``; the exact neighbours are kept for the map."""
        folder = self.work / "layout"
        if not (folder / "knn_cosine.npy").is_file():
            folder.mkdir(exist_ok=True)
            directions = self.sae.directions()[torch.from_numpy(live).to(self.device)]
            count = max(self.options.neighbours, layout.NEIGHBOURS)
            index, cosine = nearest_directions(directions, count, self.progress)
            save_array(folder / "directions.npy", directions.float().cpu().numpy())
            save_array(folder / "knn_index.npy", index)
            save_array(folder / "knn_cosine.npy.partial.npy", cosine)
            os.replace(folder / "knn_cosine.npy.partial.npy", folder / "knn_cosine.npy")
        decoder = (np.load(folder / "knn_index.npy"), np.load(folder / "knn_cosine.npy"))
        firing = nearest_firing(*tokens.joined(), n_atoms, self.options.neighbours)
        return neighbour_columns(live, decoder, firing, self.options.neighbours)

    def _map(self, live: NDArray[np.int64], neighbours: dict[str, Any]) -> dict[str, Any] | None:
        """``layout`` of ``atlas.json``, or None; coordinates and clusters lie in the work folder."""
        if not self.options.layout or len(live) == 0:
            return None
        return layout.run_layout(self.work / "layout", self.options.seed, self.progress)

    def _tables(
        self,
        acc: Accumulators,
        sample: Sample,
        neighbours: dict[str, Any],
        live: NDArray[np.int64],
        label_names: list[str],
        labels: list[str],
    ) -> None:
        """Every table and ``codes/``."""
        store, folder, n_atoms = self.store, self.folder, self.sae.config.n_atoms
        self.progress.start("tables and labels", None, "files")
        exemplars = exemplar_rows(acc)
        write_exemplars(folder, exemplars, n_atoms)
        write_histograms(folder, acc.histogram)
        for name, columns in (("labels", label_columns(acc, label_names)), ("neighbours", neighbours)):
            table = make_table(f"{name}.parquet", columns)
            write_grouped(folder / f"{name}.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)
        self.progress.advance(4)
        write_codes(folder, sample.items, sample.codes.crow, sample.codes.col, sample.codes.val, n_atoms)
        write_entrants(folder, sample.token, sample.rank, sample.atom, sample.gap, len(sample.codes.crow) - 1)
        tau = self.work / "tau.npy"
        write_items(
            folder,
            store.items,
            np.load(self.work / "support.npy", mmap_mode="r"),
            np.load(tau, mmap_mode="r") if tau.is_file() else None,
        )
        if store.token_ids is not None:
            write_tokens(folder, store)
        self.progress.advance(3)
        columns = atom_columns(acc, exemplars, labels, store.embeddings, store.n_tokens)
        self.status = np.array(columns["status"])
        self._atoms_and_clusters(columns, exemplars, live)
        self.progress.advance(2)
        self.progress.finish()

    def _atoms_and_clusters(self, columns: dict[str, Any], exemplars: Exemplars, live: NDArray[np.int64]) -> None:
        """``atoms.parquet`` and ``clusters.parquet``: the place on the map and the text labels join the measured columns."""
        items, n_atoms = self.store.items, self.sae.config.n_atoms
        if (starts := self.store.token_starts) is not None:
            snippets = snippets_of(items, starts, self.store.backbone)
            terms = exemplar_terms(exemplars, snippets)
            atom_names, share = name_atoms(exemplars, terms, n_atoms, np.arange(len(exemplars.atom)))
            prefer_one_word(atom_names, exemplars, snippets)
        else:
            terms = collect_terms(items["caption"].tolist(), items["keywords"].tolist(), items["label"].tolist())
            atom_names, share = name_atoms(exemplars, terms, n_atoms)
        place = np.full((n_atoms, 2), np.nan, np.float32)
        cluster = np.full(n_atoms, -1, np.int32)
        if self.map is not None:
            place[live] = np.load(self.work / "layout" / "place.npy")
            cluster[live] = np.load(self.work / "layout" / "cluster.npy")
        cluster_names = name_clusters(cluster, share, terms.names)
        columns |= {
            "x": place[:, 0],
            "y": place[:, 1],
            "cluster": cluster,
            "label": atom_names.label,
            "label_candidates": string_lists(atom_names.candidates),
        }
        write_plain(self.folder / "atoms.parquet", make_table("atoms.parquet", columns))
        centres = [place[cluster == c].mean(axis=0, dtype=np.float64) for c in range(len(cluster_names.label))]
        middle = np.array(centres, np.float32).reshape(-1, 2)
        clusters = {
            "cluster": np.arange(len(cluster_names.label)),
            "label": cluster_names.label,
            "keywords": string_lists(cluster_names.candidates),
            "size": np.bincount(cluster[cluster >= 0], minlength=len(cluster_names.label)),
            "x": middle[:, 0],
            "y": middle[:, 1],
        }
        write_plain(self.folder / "clusters.parquet", make_table("clusters.parquet", clusters))

    def _pictures(self) -> None:
        """Thumbnails, or nothing when the items are texts, or the corpus lies beside the atlas or is gone."""
        self.thumbs: dict[str, Any] = {"kind": "none"}
        if self.store.token_ids is not None:
            return
        corpus = thumbs.open_pictures(self.store, self.progress)
        if corpus is None:
            return
        if self.options.corpus_beside:
            self.thumbs = {"kind": "corpus"}
            if wrong := thumbs.smaller_pictures(corpus, self.store.backbone):
                self.progress.warn(
                    f"The corpus holds {wrong[0]} (and maybe more) in another shape than the model saw: heat maps on it "
                    "will be a little off. Leave out --corpus-beside to store thumbnails that fit."
                )
            return
        thumbs.write_thumbs(self.folder, self.store, corpus, self.options.thumb_size, self.progress)
        self.thumbs = {"kind": "shards", "size": self.options.thumb_size}

    def meta(self) -> dict[str, Any]:
        """``atlas.json`` but for ``created`` and ``files``."""
        store, config = self.store, self.sae.config
        corpus = {key: store.corpus[key] for key in ("name", "hash", "items", "splits")}
        if self.options.corpus_beside and self.thumbs["kind"] == "corpus":
            corpus["path"] = f"../{Path(store.corpus['path']).resolve().name}"
        layer = store.backbone["layer"]
        title = f"{store.backbone['name']}, layer {layer}, {config.architecture} SAE with {config.n_atoms:,} atoms"
        return {
            **header(),
            "title": self.options.title or title,
            "counts": {
                "atoms": config.n_atoms,
                "items": store.n_items,
                "positions": store.n_positions,
                "tokens": store.n_tokens,
                **status_counts(self.status),
                "skipped_items": len(store.manifest.get("skipped", [])),
                "labels": self.labels_seen,
                "labels_counted": self.labels_counted,
                "coactivation_tokens": self.coactivation_tokens,
            },
            "backbone": store.backbone,
            "corpus": corpus,
            "activations": {"hash": store.hash, "dtype": store.dtype, "tokens": store.n_tokens},
            "sae": config.to_dict(),
            "exemplars": {"top_n": self.options.top_n, "bands": BANDS, "band_size": BAND_SIZE, "sample": SAMPLE},
            "histogram_edges": self.edges.tolist(),
            "measured": {},
            "layout": self.map,
            "thumbs": self.thumbs,
        }


_SAE_FILES = ("config.json", "weights.safetensors")
_LATER_STAGES = ("layout", "atlas", "plan.json")


def run_folder(path: Path) -> Path:
    """The folder that holds an SAE: ``path`` itself, or the only run in it.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if (path / _SAE_FILES[0]).is_file():
        return path
    runs = sorted(p.parent for p in path.glob(f"*/{_SAE_FILES[0]}") if (p.parent / _SAE_FILES[1]).is_file())
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise InputError(f"{path} holds no trained SAE. Train one with `atomscope train`.")
    raise InputError(f"{path} holds several SAEs: name one of them, {', '.join(str(run) for run in runs)}.")


def _check(sae: SparseAutoencoder, store: ActivationStore, out: Path, options: AtlasOptions) -> None:
    if sae.config.d_model != store.d_model:
        raise InputError(
            f"The SAE reads activations of width {sae.config.d_model}, the store holds width {store.d_model}: use the store "
            "the SAE was trained on."
        )
    if store.n_items == 0:
        raise InputError("The activation store holds no items: extract some with `atomscope extract`.")
    if out.exists() and not (out / "atlas.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is no atlas: choose another folder with -o.")
    if options.corpus_beside:
        corpus = Path(str(store.corpus.get("path") or "")).resolve()
        if not corpus.is_dir() or corpus.parent != out.resolve().parent:
            raise InputError(f"--corpus-beside needs the corpus in {out.resolve().parent}, but it is at {corpus}.")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """The folder beside ``out`` in which it is built, held by one build at a time."""
    work = out.resolve().with_name(f".{out.resolve().name}.building")
    work.mkdir(parents=True, exist_ok=True)
    with (work.with_suffix(".lock")).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{out} is being built by another process right now.") from None
        try:
            yield work
        finally:
            work.with_suffix(".lock").unlink(missing_ok=True)


def _begin(work: Path, found: dict[str, Any], rest: dict[str, Any]) -> str:
    """Keep what an earlier build left as far as it fits; returns the time of the first start.

    Parameters
    ----------
    found : dict
        What decides the pass over the tokens: if it differs, everything starts again.
    rest : dict
        What decides the later stages: if only this differs, the pass is kept.
    """
    plan = work / "plan.json"
    known = read_json(plan) if plan.is_file() else {}
    if known.get("found") == found and known.get("rest") == rest:
        return str(known["created"])
    keep = known.get("found") == found
    for path in work.iterdir():
        if keep and path.name not in _LATER_STAGES:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(plan, {"found": found, "rest": rest, "created": created})
    return created


def _copy_saes(folder: Path, sae_dir: Path, baselines: dict[str, Path]) -> None:
    targets = {"sae": sae_dir} | {f"baselines/{name}": path for name, path in baselines.items()}
    for target, source in targets.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name in _SAE_FILES:
            shutil.copyfile(source / name, folder / target / name)
    if (sae_dir / "training.parquet").is_file():
        shutil.copyfile(sae_dir / "training.parquet", folder / "training.parquet")
