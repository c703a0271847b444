"""``atomscope evaluate``: measure the SAEs of an atlas, or of training runs, on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, print_json, print_table
from engine.cli.options import Device, Json, Threshold

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="ATLAS | RUN...", help="One atlas, or run folders of `atomscope train` with --acts."),
    ],
    split: Annotated[str, typer.Option(help="Split of the corpus to measure on.")] = "test",
    acts: Annotated[
        Path | None,
        typer.Option(
            help="Activation store to measure on. Without it an atlas's store is looked for in the cache, or extracted."
        ),
    ] = None,
    json: Json = False,
    write: Annotated[bool, typer.Option("--write", help="Record the figures in the atlas.")] = False,
    fidelity: Annotated[
        bool,
        typer.Option(
            "--fidelity",
            help="Also classify pictures, or predict next tokens, with the SAE's reconstruction in place of the activations.",
        ),
    ] = False,
    topn: Annotated[
        bool,
        typer.Option(
            "--topn",
            help="Also classify with only the top n atoms of each class, and with all others. Includes --fidelity.",
        ),
    ] = False,
    threshold: Threshold = 0.2,
    stability: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run of the same architecture trained from another seed, to match atoms with. May be given several times."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure an atlas's SAE, and every SAE in its baselines/, on the held-out part of its corpus.

    The activations come from the cache. When they are not there, the model is run over that split, and they are kept. Run
    folders of `atomscope train` are measured side by side on the store that --acts names.

    --fidelity and --topn need a classifier: the model's own zero-shot one where the checkpoint has a text tower, otherwise
    a linear probe on its image embeddings, fitted on the training split. Of a language model --fidelity measures next-token
    cross-entropy.
    """
    from engine.evaluation import EvaluationOptions, evaluate
    from engine.evaluation.figures import figure_table

    options = EvaluationOptions(split=split, fidelity=fidelity, topn=topn, threshold=threshold, device=device)
    found = evaluate(paths, options, acts, stability or (), write, TerminalProgress())
    if json:
        print_json(found.to_dict())
    else:
        print_table(figure_table(found.saes))
        if found.classifier is not None:
            err.print(
                f"classifier: {found.classifier['definition']}; run: {found.classifier['rest_of_model']}", markup=False
            )
    if found.is_atlas:
        next_step(f"atomscope serve --atlas {paths[0]}")
    else:
        next_step(f"atomscope atlas --sae {paths[0]} --acts {acts} -o ATLAS")
