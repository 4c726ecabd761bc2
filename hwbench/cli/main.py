"""Registers the commands and turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from hwbench import __version__
from hwbench.cli import cache, check, compare, console, data, gate, list, new, reproduce, run, why
from hwbench.cli import report as report_
from hwbench.cli.console import DONE, FAILED, INTERRUPTED, VERDICT, WRONG_INPUT

ABOUT = (
    "Do published results on Helmholtz machines and their relatives hold, "
    "and does a new method beat them?"
)

ANYWHERE = ("--quiet", "-q", "--no-color")  # before a command or after it
TYPERS_CTRL_C = 130  # what Typer returns after a Ctrl-C

app = typer.Typer(
    name="hwbench",
    no_args_is_help=True,
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


QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only results and errors, no progress.")
]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.")]


@app.callback(help=ABOUT)
def main_options(
    version: VersionOption = None, quiet: QuietOption = False, no_color: NoColorOption = False
) -> None:
    """Accept the options that precede a command."""
    console.setup(quiet, no_color)


app.command("list")(list.list_)
app.command()(check.check)
app.command()(run.run)
app.command()(compare.compare)
app.command()(report_.report)
app.command()(reproduce.reproduce)
app.command()(gate.gate)
app.command()(why.why)
app.command()(new.new)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every expected error becomes one message and an exit code.

    The codes are our own: neither those of libraries nor those of signals leak.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no text fails for want of a character
            stream.reconfigure(errors="replace")
    with terminable():
        code = _run(arguments)
    for console_ in (console.out, console.err):
        console_.write("")  # what is left goes out now, or nowhere
    sys.exit(code)


def anywhere(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments with the options for any command first, wherever they were given.

    >>> anywhere(["list", "--quiet", "--", "-q"])
    ['--quiet', 'list', '--', '-q']
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first = [a for a in arguments[:end] if a in ANYWHERE]
    return [*first, *(a for a in arguments[:end] if a not in ANYWHERE), *arguments[end:]]


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line, print an error if there is one, and return the exit code."""
    err = console.err
    given = anywhere(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given, prog_name="hwbench", standalone_mode=False)
    except typer.Exit as error:
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = TYPERS_CTRL_C
    except SystemExit as error:  # of a library
        gone = isinstance(error.__context__, BrokenPipeError)
        interrupted = isinstance(error.__context__, KeyboardInterrupt)
        code = DONE if gone else TYPERS_CTRL_C if interrupted else FAILED
    except Exception as error:
        code = _code_of(error)
    if code == TYPERS_CTRL_C:
        err.print("Interrupted.", style="yellow")
        return INTERRUPTED
    if code is None:
        return DONE
    return code if code in (DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED) else FAILED


def _code_of(error: Exception) -> int:
    """Print an error and return its exit code."""
    from hwbench.spec import UserError

    if isinstance(error, UserError):
        console.err.print(str(error), style="red")
        return WRONG_INPUT
    if isinstance(error, OSError):  # a file or folder of the user, or the machine
        console.err.print(f"{error.strerror or error}: {error.filename or ''}", style="red")
        return WRONG_INPUT
    show = getattr(error, "show", None)  # errors of the parser print themselves
    if show is None:
        console.err.write(traceback.format_exc())
        return FAILED  # Python's own code 1 would mean a failed verdict
    show()
    return int(getattr(error, "exit_code", WRONG_INPUT))


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let TERM interrupt a command as Ctrl-C does, unless something else handles it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
