"""The ``atomscope`` command. Each sub-command lives in its own file and is imported only when it is called."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module

import typer

from engine.cli.console import err, out, print_table
from engine.errors import AtomscopeError, InputError
from engine.table import Table

# Command -> (module, one line for the list). Each module holds a ``typer.Typer`` called ``app``.
COMMANDS = {
    "serve": ("engine.cli.serve", "Open the dashboard in the browser."),
    "extract": ("engine.cli.extract", "Run a model over a corpus and store one layer's activations."),
    "train": ("engine.cli.train", "Train sparse autoencoders on stored activations."),
    "sweep": ("engine.cli.sweep", "Train many sparse autoencoders from one config file."),
    "atlas": ("engine.cli.atlas", "Build a concept atlas from a trained SAE and stored activations."),
    "evaluate": ("engine.cli.evaluate", "Measure the SAEs of an atlas, or training runs, on held-out data."),
    "search": ("engine.cli.search", "Search a collection with words or a picture."),
    "prepare": ("engine.cli.prepare", "Embed a collection and read its pictures ahead of live searches."),
    "benchmark-retrieval": ("engine.cli.benchmark_retrieval", "Measure how often a search finds the right answer."),
    "import": ("engine.cli.importing", "Read an SAE of another tool: SAELens, or the published sparsemax SAE."),
    "export": ("engine.cli.exporting", "Write a trained SAE as a SAELens folder."),
    "validate": ("engine.cli.validate", "Check every file of an atlas."),
    "lab": ("engine.cli.lab", "Compare SAEs: those of a sweep, or on synthetic data."),
    "demo": ("engine.cli.demo", "Fetch the demo's weights, or rebuild the demo from its sources."),
}

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status: 0 done, 1 the work failed, 2 the input is wrong."""
    if not arguments or arguments[0] in ("-h", "--help"):
        _overview()
        return DONE
    if arguments[0] == "--version":
        from importlib.metadata import version

        out.print(f"atomscope {version('atomscope')}")
        return DONE
    name, *rest = arguments
    if name not in COMMANDS:
        err.print(f"error: there is no command {name!r}. Commands: {', '.join(COMMANDS)}.", markup=False)
        return WRONG_INPUT
    try:
        app: typer.Typer = import_module(COMMANDS[name][0]).app
        status = app(rest, prog_name=f"atomscope {name}", standalone_mode=False)
        return status if isinstance(status, int) else DONE
    except typer.TyperException as error:  # a flag that does not exist, a number that is none
        # Only typer's private base class declares format_message, the one that names the option.
        message = getattr(error, "format_message", error.__str__)()
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else f"atomscope {name}"
        err.print(f"error: {message}  ({command} --help explains the options)", markup=False, soft_wrap=True)
        return WRONG_INPUT
    except InputError as error:
        return _say(error, WRONG_INPUT)
    except AtomscopeError as error:
        return _say(error, FAILED)
    except (KeyboardInterrupt, typer.Abort):
        err.print("\nstopped. What was finished is kept: run the same command again to go on.", markup=False)
        return INTERRUPTED


def main() -> None:
    """Entry point of the console script."""
    if not sys.warnoptions:  # what a library means to rename concerns us, and nobody who types a command
        warnings.simplefilter("ignore", FutureWarning)
    status = run(sys.argv[1:])
    if os.environ.get("WORLD_SIZE", "1") != "1":  # torchrun started several
        from engine.distributed import end_process

        end_process(status)
    sys.exit(status)


def _say(error: Exception, status: int) -> int:
    err.print(f"error: {error}", markup=False, soft_wrap=True)
    return status


def _overview() -> None:
    out.print("usage: atomscope COMMAND [OPTIONS]\n\nSee what a model's activations are made of.\n", markup=False)
    print_table(Table((), tuple((f"  {name}", line) for name, (_, line) in COMMANDS.items())), words=(0, 1))
    out.print("\natomscope COMMAND --help explains a command.", markup=False)


if __name__ == "__main__":
    main()
