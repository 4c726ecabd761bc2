"""Registers the commands and turns errors into messages and exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from hwbench import __version__
from hwbench.cli import cache, check, compare, console, data, gate, list, reproduce, run, why
from hwbench.cli import report as report_
from hwbench.cli.console import DONE, FAILED, INTERRUPTED, WRONG_INPUT

ABOUT = (
    "Do published results on Helmholtz machines and their relatives hold, "
    "and does a new method beat them?"
)

app = typer.Typer(
    name="hwbench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool | None) -> None:
    if wanted:
        console.out.print(__version__)
        raise typer.Exit


VersionOption = Annotated[
    bool | None,
    typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
]


@app.callback(help=ABOUT)
def main_options(version: VersionOption = None) -> None:
    """Accept the options that precede a command."""


app.command("list")(list.list_)
app.command()(check.check)
app.command()(run.run)
app.command()(compare.compare)
app.command()(report_.report)
app.command()(reproduce.reproduce)
app.command()(gate.gate)
app.command()(why.why)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error becomes one message and an exit code."""
    err = console.err
    try:
        given = None if arguments is None else [*arguments]
        code = app(args=given, prog_name="hwbench", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else DONE)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        err.print("Interrupted.", style="yellow")
        sys.exit(INTERRUPTED)
    except Exception as error:
        from hwbench.spec import UserError

        if isinstance(error, UserError):
            err.print(str(error), style="red", markup=False)
            sys.exit(WRONG_INPUT)
        show = getattr(error, "show", None)  # errors of the parser print themselves
        if show is None:
            traceback.print_exc()
            sys.exit(FAILED)  # Python's own code 1 would mean a failed verdict
        show()
        sys.exit(getattr(error, "exit_code", WRONG_INPUT))
