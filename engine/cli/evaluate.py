"""``atomscope evaluate``: measure the SAEs of an atlas, or of training runs, on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step, print_json
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.sae import SparseAutoencoder

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="ATLAS | RUN...", help="An atlas, or run folders together with --acts.")
    ],
    split: Annotated[str, typer.Option(help="Split of the corpus to measure on.")] = "test",
    acts: Annotated[
        Path | None, typer.Option(help="Activation store to read, instead of looking in the cache or extracting.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Record the figures in the atlas.")] = False,
    fidelity: Annotated[
        bool,
        typer.Option("--fidelity", help="Classify pictures, or predict next tokens, with the reconstruction in place."),
    ] = False,
    topn: Annotated[
        bool, typer.Option("--topn", help="Classify with only the top n atoms of a class, and without them.")
    ] = False,
    threshold: Annotated[
        float,
        typer.Option(help="Top-n: a token counts for an atom above this activation; 0 counts every positive one."),
    ] = 0.2,
    stability: Annotated[
        list[Path] | None,
        typer.Option(help="Run of the same architecture from another seed to match atoms with; repeat."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measure an atlas's SAE, and every SAE in its baselines/, on the held-out part of its corpus.

    The activations come from the cache; when they are not there, the model is run over that split and they are kept.
    Run folders of `atomscope train` are measured side by side on the store that --acts names.

    --fidelity and --topn ask a classifier: the model's own zero-shot one where the checkpoint has a text tower, else a linear
    probe on its image embeddings, made on the training split. --topn includes --fidelity. Of a language
    model --fidelity measures next-token cross-entropy.
    """
    from engine.atlas import Atlas
    from engine.atlas.format.measured import record
    from engine.cli.figures import print_table
    from engine.device import pick_device
    from engine.evaluation.held_out import held_out_store, named_store
    from engine.metrics import evaluate as measure
    from engine.metrics.definitions import DEFINITIONS
    from engine.sae import load_sae

    where, progress = pick_device(device), TerminalProgress()
    atlas = None if (paths[0] / "config.json").is_file() else Atlas.open(paths[0])
    if atlas is not None and len(paths) > 1:
        raise InputError("Measure one atlas at a time; only run folders are measured together.")
    saes = {name: load_sae(folder).to(where) for name, folder in sae_folders(atlas, paths).items()}
    others = {str(path): load_sae(path) for path in stability or []}
    for path, other in others.items():
        if all(other.config.architecture != sae.config.architecture for sae in saes.values()):
            raise InputError(
                f"--stability {path} is a {other.config.architecture} SAE, and none of that kind is measured."
            )
    if atlas is not None:
        store, rows = held_out_store(atlas, split, acts, device, progress)
    elif acts is None or write:
        raise InputError("A run folder brings no activations and no atlas to write to: give --acts, leave out --write.")
    else:
        store, rows = named_store(acts, split)
    for name, sae in saes.items():
        if sae.config.d_model != store.d_model:
            raise InputError(
                f"{store.path} has activations of width {store.d_model}, but {name} of {paths[0]} reads "
                f"{sae.config.d_model}: name the store it was trained on, or one of the same model and layer."
            )
    classification = language = None
    if fidelity and store.token_ids is not None:
        from engine.evaluation.language_fidelity import LanguageFidelity

        language = LanguageFidelity.prepare(store, rows, device, progress)
    elif fidelity or topn:
        from engine.evaluation.classifying import Classification

        classification = Classification.prepare(store, rows, atlas, device, progress)
    figures: dict[str, dict[str, Any]] = {}
    for name, sae in saes.items():
        err.print(f"measuring {name} on {len(rows):,} {split} items", markup=False)
        figures[name] = measure(sae, store, rows, progress)
        if others:
            figures[name]["stability"] = matched(sae, others)
        if language is not None:
            figures[name] |= language.measure(sae)
        if classification is not None:
            figures[name] |= classification.measure(sae, topn, threshold, progress)
    if atlas is not None and write:
        record(atlas, split, figures)
    if json:
        measured = {key for each in figures.values() for key in each}
        document = {"path": str(paths[0]), "split": split, "saes": figures}
        document["definitions"] = {key: words for key, words in DEFINITIONS.items() if key in measured}
        if classification is not None:
            document["classifier"] = classification.to_dict()
        print_json(document)
    else:
        print_table(figures)
        if classification is not None:
            err.print(f"classifier: {classification.head.definition}; run: {classification.how}", markup=False)
    if atlas is not None:
        next_step(f"atomscope serve --atlas {atlas.path}")
    else:
        next_step(f"atomscope atlas --sae {paths[0]} --acts {acts} -o ATLAS")


def sae_folders(atlas: Atlas | None, paths: list[Path]) -> dict[str, Path]:
    """SAE folders by name: the atlas's own under its architecture, then every one in ``baselines/``; or the runs."""
    if atlas is None:
        return {str(path): path for path in paths}
    folders = {str(atlas.meta["sae"]["architecture"]): atlas.path / "sae"}
    for folder in sorted((atlas.path / "baselines").glob("*/config.json")):
        name = folder.parent.name
        folders[name if name not in folders else f"baselines/{name}"] = folder.parent
    return folders


def matched(sae: SparseAutoencoder, others: dict[str, SparseAutoencoder]) -> dict[str, Any] | None:
    """How well the atoms of ``sae`` are found again in each of ``others`` of its architecture, and the means."""
    from engine.metrics import stability

    runs = {
        path: stability(sae.directions(), other.directions().to(next(sae.parameters()).device))
        for path, other in others.items()
        if other.config.architecture == sae.config.architecture
    }
    if not runs:
        return None
    means = {key: sum(run[key] for run in runs.values()) / len(runs) for key in ("cosine", "shared")}
    return means | {"runs": runs}
