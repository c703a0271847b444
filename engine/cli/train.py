"""``atomscope train``: train sparse autoencoders on stored activations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step

app = typer.Typer(add_completion=False)


@app.command()
def train(
    acts: Annotated[Path, typer.Option(help="Activation store, made by `atomscope extract`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to write.")],
    sae: Annotated[
        list[str] | None,
        typer.Option(help="NAME[:key=value,...], such as sparsemax or topk:k=32. Repeat it to train several at once."),
    ] = None,
    atoms: Annotated[
        int | None,
        typer.Option(help="Atoms in the dictionary.", show_default="one for 128 training tokens, 512 to 8192"),
    ] = None,
    values: Annotated[str | None, typer.Option(help="Sparsemax: score or probability.")] = None,
    scale: Annotated[float, typer.Option(help="Sparsemax: factor on the scores; larger is sparser.")] = 0.6,
    learn_scale: Annotated[bool, typer.Option("--learn-scale", help="Sparsemax: train the scale.")] = False,
    gate: Annotated[str | None, typer.Option(help="Sparsemax: frequency gate, none, frequency or published.")] = None,
    init: Annotated[
        str, typer.Option(help="Start from tokens far from each other (spread), any tokens (data), or random.")
    ] = "spread",
    normalise: Annotated[str, typer.Option(help="Input normalisation: none, centre or standardise.")] = "standardise",
    loss: Annotated[str | None, typer.Option(help="published or nmse.")] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Passes over the training split.", show_default="8; more where that is under 300 steps"),
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="Training tokens in all, instead of --epochs.")] = None,
    batch: Annotated[int, typer.Option(help="Tokens a step.")] = 4096,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    warmup: Annotated[int, typer.Option(help="Warm-up steps.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the start and of the token order.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Storage of the weights: float32, float16 or int8.")] = "float32",
    precision: Annotated[str, typer.Option(help="Matrix products in float32, or in bf16 on a GPU.")] = "float32",
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 5.0,
    split: Annotated[
        str, typer.Option(help="Under torchrun: processes share the tokens of a batch, or the atoms of the dictionary.")
    ] = "tokens",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard curves.")] = False,
) -> None:
    """Train sparse autoencoders on the train split of an activation store.

    Several --sae see the same batches in one pass. Run the same command again after a stop and it goes on from the last
    checkpoint.

    On several GPUs or machines, torchrun --nproc-per-node N --no-python atomscope train ... gives the same SAE: each process
    takes its share of every batch.

    The defaults are the settings of the demo atlas, chosen for clear concepts. The sparsemax SAE as published:
    --normalise none --init random --scale 1 --lr 4e-4.
    """
    from engine.activations import ActivationStore
    from engine.distributed import joined
    from engine.sae import parse_config
    from engine.training import TrainConfig
    from engine.training import train as run

    store = ActivationStore.open(acts)
    given: dict[str, Any] = {
        "values": values,
        "scale": scale,
        "learn_scale": learn_scale or None,
        "gate": gate,
        "init": init,
        "normalise": normalise,
        "loss": loss,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    available = len(store.rows("train")) * store.n_positions or store.n_tokens
    if atoms is None:
        atoms = default_atoms(available)
    if epochs is None:
        epochs = default_epochs(available, batch)
    configs = [parse_config(text, store.d_model, atoms, **settings) for text in sae or ["sparsemax"]]
    options = TrainConfig(
        epochs=epochs,
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
    with joined() as group:
        folders = run(configs, store, out, options, TerminalProgress(), tensorboard, group, split)
    if not group.first:
        return
    for folder in folders:
        err.print(f"trained {folder}: {last_row(folder)}", markup=False, soft_wrap=True)
    next_step(f"atomscope atlas --sae {folders[0]} --acts {acts} -o ATLAS")


def default_atoms(tokens: int) -> int:
    """A dictionary the data can fill: the power of two below one atom for 128 tokens, between 512 and 8192."""
    return min(max(1 << max(tokens // 128, 1).bit_length() - 1, 512), 8192)


def default_epochs(tokens: int, batch: int) -> float:
    """The demo's 8 passes; on a small folder as many as make 300 steps, since fewer leave the start as it was."""
    return max(8.0, float(math.ceil(300 * batch / max(tokens, 1)))) if batch > 0 else 8.0


def last_row(folder: Path) -> str:
    """The end of a run's training log in words."""
    import pandas as pd

    from engine.training.loop import LOG

    log = pd.read_parquet(folder / LOG)
    row = log.iloc[-1]
    words = f"NMSE {row['nmse']:.4f}, L0 {row['l0']:.1f}, dead {row['dead']:.1%} after {int(row['tokens']):,} tokens"
    held_out = log["validation_nmse"].dropna()
    return words + (f"; NMSE on the validation split {held_out.iloc[-1]:.4f}" if len(held_out) else "")
