"""The command line in hostile surroundings: its own exit codes, one line, and reports first."""

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwbench.cache import cache_folder, recall, remember
from hwbench.cli import console
from hwbench.cli.console import Messages, Output
from hwbench.datasets import files
from hwbench.executors import local
from hwbench.executors.local import LocalExecutor
from hwbench.spec import UserError, read_yaml
from tests.cli.conftest import put, run
from tests.cli.conftest import wide as wide

ROOT = Path(__file__).parents[2]


def command(folder, *arguments, **environment):
    """Run the command line in a process; returns its code and what it printed."""
    own = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(
        [sys.executable, "-m", "hwbench", *map(str, arguments)],
        cwd=folder, env=own, capture_output=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# --- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 3),
        (SystemExit(1), 4),
        (SystemExit("bye"), 4),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), 2),
        (RecursionError(), 4),
    ],
)
def test_codes_of_libraries_and_signals_do_not_leak(folder, monkeypatch, capsys, error, code):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("hwbench.cli.views.Views.get", fail)
    assert run("compare", "tiny") == code
    told = capsys.readouterr().err
    assert ("Traceback" in told) == isinstance(error, RecursionError)


WHERE = {
    "import": "class Typer(types.ModuleType):\n    __getattr__ = interrupt\n"
    "sys.modules['typer'] = Typer('typer')",
    "command": "from hwbench.cli import views\nviews.Views.get = interrupt",
}


@pytest.mark.parametrize("where", WHERE)
def test_an_interrupt_that_passes_through_an_exec_exits_with_3(folder, where):
    """`python -m` ended by the signal after all; a dataclass of an import is made by an `exec`."""
    text = "import sys, types\ndef interrupt(*a):\n    exec('raise KeyboardInterrupt')\n"
    (folder / "sitecustomize.py").write_text(text + WHERE[where])
    path = os.pathsep.join([str(folder), str(ROOT)])
    assert command(folder, "compare", "tiny", PYTHONPATH=path) == (3, b"", b"Interrupted.\n")


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_failed_verdict(folder):
    """`hwbench compare | head` ended with 1."""
    for arguments in (["compare", "tiny"], ["list", "--json"]):
        own = os.environ | {"PYTHONPATH": str(ROOT)}
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run(
            [sys.executable, "-m", "hwbench", *arguments],
            cwd=folder, env=own, stdout=write, stderr=subprocess.PIPE, timeout=120,
        )  # fmt: skip
        os.close(write)
        assert (process.returncode, process.stderr) == (0, b"")


def test_a_worker_that_hangs_is_killed_after_the_grace(monkeypatch):
    """It never looks whether it is asked to stop, as in a long evaluation."""
    monkeypatch.setattr(local, "GRACE", 1.0)
    monkeypatch.syspath_prepend(str(ROOT / "tests/executors"))
    executor = LocalExecutor(1)
    begun = []

    def news(index, told):
        begun.append(time.monotonic())
        executor.stop()

    outcomes = list(executor.map("executor_functions:never_stop", [0], news))
    assert "SIGKILL" in outcomes[0].error
    assert time.monotonic() - begun[0] < 20


# --- output ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_locale_without_the_characters_shows_others(folder):
    put(folder)
    code, out, err = command(folder, "compare", "tiny", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, b"")
    assert b"?" in out


@pytest.mark.slow
def test_a_report_is_written_before_anything_is_printed(folder, monkeypatch):
    put(folder)

    def fail(*arguments):
        raise UnicodeEncodeError("ascii", "◑", 0, 1, "no such character")

    monkeypatch.setattr("hwbench.report.formats.summary.print_summary", fail)
    arguments = ("--profile", "full", "--seeds", 1, "--executor", "inline", "--format", "csv")
    assert run("reproduce", "tiny", *arguments) == 4
    assert list((folder / "reports").rglob("*.csv"))


@pytest.mark.parametrize("stream", [Output, Messages])
def test_names_are_shown_as_text(stream):
    shown = stream(width=80)
    shown.file = io.StringIO()
    shown.print("[/] b [red]c[/red] :smile: \x1b[31m\x9b\u202e")
    shown.print(console.Console and "two\nlines")
    assert shown.file.getvalue() == (
        "[/] b [red]c[/red] :smile: \\x1b[31m\\x9b\\u202e\ntwo\nlines\n"
    )


def test_control_characters_of_a_spec_are_text_from_the_start(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text('"a\\e": "\\e[31m[/] b"\n')
    document, _ = read_yaml(path)
    assert document == {"a\\x1b": "\\x1b[31m[/] b"}


# --- folders --------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.setattr(Path, "expanduser", lambda self: none())
    for name in ("HWBENCH_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_home_folder_the_message_says_what_to_set(homeless):
    with pytest.raises(UserError, match="set HWBENCH_CACHE to a folder"):
        cache_folder()


def test_without_a_home_folder_views_are_made_again(homeless):
    remember("name", "key", [1])
    assert recall("name", "key") is None


def test_without_a_home_folder_there_is_no_traceback(folder, homeless, capsys):
    assert run("run", "tiny", "--executor", "inline") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_data_folder_that_cannot_be_read_is_passed_over(tmp_path, monkeypatch):
    """Its path is too long, it is a file, or its entries cannot be looked at."""
    name = "mnist/t10k-labels-idx1-ubyte"
    (tmp_path / "file").write_text("")
    (tmp_path / "good/mnist").mkdir(parents=True)
    (tmp_path / f"good/{name}").write_bytes(b"x")
    bad = [tmp_path / ("x" * 5000), tmp_path / "file", tmp_path / "closed"]
    here = os.pathsep.join(map(str, [*bad, tmp_path / "good"]))
    monkeypatch.setenv("HWBENCH_DATA", here)
    monkeypatch.setattr(files, "_fault", lambda file, path: "")

    def closed(self, is_file=Path.is_file):
        if "closed" in str(self):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", closed)
    assert files.locate(name) == tmp_path / f"good/{name}"


@pytest.mark.parametrize("name", ["compare", "run", "report", "list", "gate", "why"])
@pytest.mark.parametrize("path", ["results-file", "x" * 5000])
def test_results_that_are_no_folder_are_one_line(folder, capsys, name, path):
    (folder / "results-file").write_text("")
    assert run(name, *([] if name == "list" else ["tiny"]), "--results", path) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert len(told) < 200
