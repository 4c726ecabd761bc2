"""hwbench list: one line for each spec, kept in the cache until something it rests on changes."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from hwbench import cache
from hwbench.cli import console
from hwbench.cli.list import _legend
from hwbench.report.words import ROW_VERDICTS
from hwbench.spec import Case, cases, load
from hwbench.store import Failure, Store

from .conftest import edit, put, run


@pytest.fixture
def stored(folder):
    """Two seeds of both rows on file at full, and profiles that specs share."""
    (folder / "benchmarks" / "profiles.yaml").write_text("smoke: {seeds: 1}\n")
    put(folder, -5.0, seed=0)
    put(folder, -5.2, seed=1)
    return folder


@pytest.fixture
def shown(capsys):
    """shown(*arguments): what a command prints on standard output."""

    def show(*arguments):
        assert run(*arguments) == 0
        return capsys.readouterr().out

    return show


@pytest.fixture
def read(monkeypatch):
    """The names of the result files that were parsed."""
    names = []
    load = Store._load

    def watched(self, path, *rest):
        names.append(path.name)
        return load(self, path, *rest)

    monkeypatch.setattr(Store, "_load", watched)
    return names


def test_a_narrow_terminal_shows_symbols_and_tells_their_names(stored, shown, monkeypatch):
    monkeypatch.setattr(console.out, "width", 80)
    head, line, *legend = shown("list").splitlines()
    (entry,) = json.loads(shown("list", "--json"))
    verdicts = Counter(row["verdict"] for row in entry["rows"])
    symbols = " ".join(f"{m.symbol}{verdicts[v]}" for v, m in ROW_VERDICTS.items() if verdicts[v])
    assert symbols in line
    told = " ".join(" ".join(legend).split())
    assert all(f"{ROW_VERDICTS[v].symbol} {v}" in told for v in verdicts)
    assert max(map(len, [head, line, *legend])) <= 80


COMMANDS = [("list",), ("list", "--json"), ("compare", "tiny"), ("compare", "tiny", "--json")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_second_time_the_same_is_shown_without_reading_a_result(stored, shown, read, command):
    first = shown(*command)
    assert "tiny/table" in first
    assert len(read) == 4
    assert shown(*command) == first
    assert len(read) == 4


def test_a_new_result_of_one_table_leaves_the_others_alone(stored, shown, read):
    benchmarks = stored / "benchmarks" / "tiny"
    text = (benchmarks / "table.yaml").read_text()
    (benchmarks / "other.yaml").write_text(text.replace("tiny/table", "tiny/other"))
    put(stored, table="other")
    first = shown("list")
    assert len(read) == 6
    put(stored, seed=2, table="other")
    read.clear()
    assert shown("list") != first
    assert len(read) == 4


def first_path(folder):
    return min((folder / "results").rglob("*.json"))


def change_a_number(folder):
    path = first_path(folder)
    path.write_text(path.read_text().replace("-5.0", "-9.0"))


def cut_a_result(folder):
    path = first_path(folder)
    path.write_text(path.read_text()[:-40])


def fail_a_case(folder):
    spec = load(folder / "benchmarks/tiny/table.yaml")
    case: Case = cases(spec, "full", seeds=3)[-1]
    failure = Failure(case=case, key=case.key, kind="failed", reason="burnt")
    Store(folder / "results").write_failure(failure)


CHANGES = {
    "a number": change_a_number,
    "a damaged result": cut_a_result,
    "another result": lambda folder: put(folder, seed=2),
    "a result less": lambda folder: first_path(folder).unlink(),
    "a failure": fail_a_case,
    "the spec": lambda folder: edit(folder, "published: -6.0", "published: -5.1"),
    "what is run": lambda folder: edit(folder, "epochs: 3", "epochs: 4"),
}


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_stale_is_shown(stored, shown, monkeypatch, change, command):
    """After any change a warm cache shows what an empty one shows."""
    first = shown(*command)
    CHANGES[change](stored)
    warm = shown(*command)
    monkeypatch.setenv("HWBENCH_CACHE", str(stored / "empty"))
    assert shown(*command) == warm != first


def test_shared_profiles_and_arrays_count(stored, shown, read):
    shown("list")
    (stored / "benchmarks" / "profiles.yaml").write_text("smoke: {seeds: 2}\n")
    shown("list")
    assert len(read) == 8
    np.savez(first_path(stored).with_suffix(".npz"), correct=np.ones(3, bool))
    shown("list")
    assert len(read) == 12


def test_another_code_another_folder_or_another_terminal_count(stored, shown, read, monkeypatch):
    shown("compare", "tiny")
    monkeypatch.setattr("hwbench.cli.views.digest_of_code", lambda: "another")
    shown("compare", "tiny")
    assert len(read) == 8
    shutil.copytree("results", "copy")
    shown("compare", "tiny", "--results", "copy")
    assert len(read) == 12
    wide = shown("compare", "tiny")
    assert len(read) == 12
    monkeypatch.setattr(console, "out", console.Output(width=60))
    assert shown("compare", "tiny") != wide
    assert len(read) == 16


def test_code_from_outside_is_not_kept(stored, shown, read, monkeypatch):
    """Its files are not among those that are hashed, so what rests on it is made each time."""
    package = stored / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("from hwbench.models.vae import VAE\nclass Mine(VAE): ...\n")
    monkeypatch.syspath_prepend(str(stored))
    edit(stored, "use: vae.VAE", "use: mine.models.Mine")
    shutil.rmtree("results")
    put(stored)
    assert shown("compare", "tiny") == shown("compare", "tiny")
    assert len(read) == 4


@pytest.mark.parametrize("content", ["", "{", "0\n[]", "half"])
def test_a_damaged_cache_is_none(stored, shown, read, content):
    first = shown("list")
    (kept,) = (stored / "cache" / "views").iterdir()
    kept.write_text(kept.read_text()[:90] if content == "half" else content)
    assert shown("list") == first
    assert len(read) == 8
    assert shown("list") == first
    assert len(read) == 8


def test_a_cache_that_cannot_be_written_is_none(stored, shown, monkeypatch):
    (stored / "taken").write_text("a file, not a folder")
    first = shown("list")
    monkeypatch.setenv("HWBENCH_CACHE", str(stored / "taken"))
    assert shown("list") == first
    monkeypatch.delenv("HWBENCH_CACHE")
    monkeypatch.setattr(cache.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert shown("list") == first


def test_the_legend_tells_only_what_occurs():
    row = {"rank": 0, "symbol": "·", "verdict": "unpublished", "at": "", "number": 1}
    claim = {"rank": 0, "symbol": "✓", "verdict": "holds", "at": "at quick", "number": 1}
    assert _legend([["a", [row], []]]) == "verdicts: · unpublished"
    told = "verdicts: · unpublished; claims: ✓ holds"
    assert _legend([["a", [row], [claim | {"at": ""}]]]) == told
    assert _legend([["a", [row], [claim]]]) == f"{told}, in brackets from shortened runs"
