"""The command line run in this process, on a folder of one tiny spec."""

import pytest

from hwbench.cli import console
from hwbench.cli.console import Messages
from hwbench.cli.main import main
from hwbench.sources import fingerprint
from hwbench.spec import cases, load
from hwbench.store import Result, Store, StoredMetric

INLINE = ("--executor", "inline")


def run(*arguments):
    """Run the command line in this process; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def edit(folder, old, new):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(autouse=True)
def _unchecked(unchecked):
    """What trains here is checked elsewhere."""


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "_width", 400)
    monkeypatch.setattr(console, "out", console.Output(width=400))
    monkeypatch.setattr(console, "err", Messages(width=400))


@pytest.fixture
def done(folder):
    """Both rows run at smoke, one seed, in this process."""
    assert run("run", "tiny", "--profile", "smoke", "--seeds", 1, *INLINE) == 0
    return folder


def put(folder, value=-5.0, seed=0, table="table"):
    """Store a result of each row at full, as if it had been run by today's code."""
    spec, store = load(folder / f"benchmarks/tiny/{table}.yaml"), Store(folder / "results")
    wanted = [case for case in cases(spec, "full", seeds=seed + 1) if case.seed == seed]
    for case in wanted:
        metrics = {spec.metric: StoredMetric(value=value, n=100, k=7)}
        store.write(Result(case=case, key=case.key, fingerprint=fingerprint(case), metrics=metrics))
    return [store.path(case) for case in wanted]
