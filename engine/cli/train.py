"""``atomscope train``: train sparse autoencoders on stored activations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step
from engine.cli.options import Acts, Device, Tensorboard, finite

app = typer.Typer(add_completion=False)


@app.command()
def train(
    acts: Acts,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the run to.")],
    sae: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:key=value,...], such as sparsemax or topk:k=32. Given several times, all are trained in one pass.",
            show_default="sparsemax",
        ),
    ] = None,
    atoms: Annotated[
        int | None,
        typer.Option(
            help="Number of atoms in the dictionary.", show_default="one per 128 training tokens, 512 to 8192"
        ),
    ] = None,
    values: Annotated[
        str | None, typer.Option(help="Sparsemax: what the codes are, score or probability.", show_default="score")
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Sparsemax: factor on the scores; a larger one makes codes sparser.", callback=finite)
    ] = 0.6,
    learn_scale: Annotated[bool, typer.Option("--learn-scale", help="Sparsemax: train the scale, too.")] = False,
    gate: Annotated[
        str | None,
        typer.Option(
            help="Sparsemax: gate that shuts atoms which fire too often: none, frequency or published.",
            show_default="none",
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            help="Initial atoms: spread (training tokens far from each other), data (any training tokens) or random."
        ),
    ] = "spread",
    normalise: Annotated[
        str, typer.Option(help="Normalisation of the input: none, centre or standardise.")
    ] = "standardise",
    loss: Annotated[
        str | None,
        typer.Option(
            help="Loss: published or nmse (normalised mean squared error).", show_default="the architecture's"
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Passes over the training split.",
            show_default="8; more where that is under 300 steps",
            callback=finite,
        ),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Number of training tokens in all, repeats included; replaces --epochs.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Tokens per training step.")] = 4096,
    lr: Annotated[float, typer.Option(help="Peak learning rate.", callback=finite)] = 1e-3,
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises to its peak.")] = 500,
    seed: Annotated[int, typer.Option(help="Random seed of the initial weights and of the order of tokens.")] = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option(help="Number format of the finished weights: float32, float16 or int8.")
    ] = "float32",
    precision: Annotated[
        str, typer.Option(help="Arithmetic of matrix products: float32, or bf16 on a GPU.")
    ] = "float32",
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between two checkpoints.", callback=finite)] = 5.0,
    split: Annotated[
        str,
        typer.Option(
            help="Under torchrun, what the processes share among them: tokens (those of each batch) or dictionary (its atoms)."
        ),
    ] = "tokens",
    tensorboard: Tensorboard = False,
) -> None:
    """Train sparse autoencoders on the train split of an activation store.

    Several --sae see the same batches in one pass. If the command was stopped, run it again: it goes on from the last
    checkpoint.

    On several GPUs or machines, torchrun --nproc-per-node N --no-python atomscope train ... gives the same SAE: each process
    takes its share of every batch.

    The defaults are the settings of the demo atlas, chosen for clear concepts. The sparsemax SAE as published:
    --normalise none --init random --scale 1 --lr 4e-4.
    """
    from engine.training import TrainConfig
    from engine.training.on_store import train_on_store

    given: dict[str, Any] = {
        "values": values,
        "scale": scale,
        "learn_scale": learn_scale or None,
        "gate": gate,
        "init": init,
        "normalise": normalise,
        "loss": loss,
    }
    options = TrainConfig(
        tokens=tokens,
        batch_tokens=batch,
        lr=lr,
        warmup_steps=warmup,
        seed=seed,
        device=device,
        dtype=dtype,
        precision=precision,
        checkpoint_minutes=checkpoint_minutes,
    )
    settings = {key: value for key, value in given.items() if value is not None}
    runs = train_on_store(
        acts,
        out,
        sae or ["sparsemax"],
        settings,
        options,
        atoms,
        epochs,
        split=split,
        tensorboard=tensorboard,
        progress=TerminalProgress(),
    )
    for run in runs:
        err.print(f"trained {run.folder}: {run.summary}", markup=False, soft_wrap=True)
    if runs:
        next_step(f"atomscope atlas --sae {runs[0].folder} --acts {acts} -o ATLAS")
