"""SIGKILL at random moments, and many processes on the same cases: no result differs or is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hwbench.runner.job import Job
from hwbench.runner.plan import is_here
from hwbench.runner.work import work
from hwbench.spec import Case, load, runs_at, variants
from hwbench.spec.files import find
from hwbench.store import Store
from hwbench.verdict.table import compare
from tests.cli.conftest import put
from tests.runner.jobs import PROCESSES, never, quiet

ROOT = Path(__file__).parents[2]


def families():
    """Return the smallest case of every rule and fit that a table uses, by its name."""
    found = {}
    for path in find(ROOT / "benchmarks").values():
        spec = load(path)
        for row in (r for r in spec.rows if runs_at(spec, r, "smoke")):
            case = next((c for c in variants(spec, row, "smoke", 0) if is_here(c.data)), None)
            blocks = [stage.get("rule") or stage["fit"] for stage in case.train] if case else []
            for block in blocks:
                found.setdefault(block["use"], case)
    return found


def eager(job):
    """Run a job that saves its state after every block and every batch of an evaluation."""
    from hwbench import learner, pipeline

    learner.Checkpoint.__init__.__defaults__ = (0.0,)
    pipeline.FileScratch.__init__.__defaults__ = (0.0,)
    os._exit(0 if work(job, quiet, never).status in ("done", "on file") else 1)


def killed(job, rng, kills, longest):
    """Run a job, killed so many times at random moments; returns how many kills hit it."""
    hits = 0
    while True:
        process = PROCESSES.Process(target=eager, args=(job,))
        process.start()
        process.join(rng.uniform(0, longest) if hits < kills else 300)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            hits += 1
            continue
        assert process.exitcode == 0
        return hits


def same_bits(a, b, case):
    """Check that two stores hold the same numbers of a case, to the bit."""
    one, two = a.read(case), b.read(case)
    assert one.metrics == two.metrics
    assert one.curves == two.curves
    arrays, others = a.per_point(one), b.per_point(two)
    assert arrays.keys() == others.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, others[name])


TINY = Case(
    spec="tiny/table",
    at={"method": "NADE"},
    profile="smoke",
    seed=0,
    data={"use": "synthetic.Bars"},
    model={"use": "nade.NADE", "hidden": 4},
    train=[{"rule": {"use": "likelihood.MaximumLikelihood"}, "batch_size": 20, "steps": 400}],
    evaluate=[{"use": "exact.ExactLogLikelihood"}],
)


@pytest.mark.slow
def test_a_few_kills_change_no_bit(tmp_path):
    whole = Job(TINY, tmp_path / "whole", tmp_path / "cache", "cpu")
    broken = Job(TINY, tmp_path / "broken", tmp_path / "other", "cpu")
    assert work(whole, quiet, never).status == "done"
    killed(broken, random.Random(0), 3, 1.5)
    same_bits(Store(whole.results), Store(broken.results), TINY)


@pytest.mark.slow
def test_50_kills_over_all_rule_families_change_no_bit(tmp_path, tried):
    rng, hits, known = random.Random(21), 0, families()
    assert len(known) >= 15
    each = -(-50 // len(known)) + 1
    for case in known.values():
        whole = Job(case, tmp_path / "whole", tmp_path / "cache", "cpu")
        broken = Job(case, tmp_path / "broken", tmp_path / "other", "cpu")
        begun = time.monotonic()
        assert work(whole, quiet, never).status in ("done", "on file")
        hits += killed(broken, rng, each, max(0.5, time.monotonic() - begun))
        same_bits(Store(whole.results), Store(broken.results), case)
    tried(f"{hits} kills over {len(known)} rules and fits: no bit differs, nothing is lost")


def race(folder, seeds, order):
    """Run cases of these seeds in a random order; returns how many this process has done."""
    random.Random(order).shuffle(seeds)
    done = 0
    for seed in seeds:
        short = [{**TINY.train[0], "steps": 2}]
        case = TINY.model_copy(update={"seed": seed, "train": short})
        job = Job(case, folder / "results", folder / "cache", "cpu")
        done += work(job, quiet, never).status == "done"
    (folder / f"done-{order}").write_text(str(done))


@pytest.mark.parametrize(("processes", "count"), [(3, 6), (8, 200)])
@pytest.mark.slow
def test_racing_processes_lose_nothing(tmp_path, processes, count, tried):
    racing = [
        PROCESSES.Process(target=race, args=(tmp_path, list(range(count)), i))
        for i in range(processes)
    ]
    for process in racing:
        process.start()
    for process in racing:
        process.join()
        assert process.exitcode == 0
    store = Store(tmp_path / "results")
    results, warnings = store.results()
    assert warnings == []
    assert sorted(r.case.seed for r in results) == list(range(count))
    assert all(store.per_point(r) for r in results)
    assert sum(int(p.read_text()) for p in tmp_path.glob("done-*")) == count
    assert not [p for p in store.folder.rglob(".*") if p.name != ".failed"]
    tried(f"{processes} processes over {count} cases: {len(results)} results, each computed once")


@pytest.mark.parametrize("count", [12, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_results_crash_no_comparison(folder, spec, count, tried):
    rng, store = random.Random(21), Store(folder / "results")
    for seed in range(3):
        paths = put(folder, -5.0 - seed, seed)
    sound = {path: path.read_bytes() for path in sorted(store.folder.rglob("*.json"))}
    skipped = 0
    for _ in range(count):
        path, content = rng.choice(list(sound.items()))
        a, b = sorted(rng.choices(range(len(content)), k=2))
        pieces = [b"", b"\x00", b"null", b"-1", b"1e999", b"NaN", b"]", content[a:b][::-1]]
        piece = rng.choice(pieces)
        path.write_bytes(content[:a] + piece + content[min(b, a + rng.choice([0, 1, 9, 999])) :])
        found = compare(spec, store)
        assert len(found.rows) == 2
        for result in store.results()[0]:
            store.per_point(result)
            assert all(np.isfinite(m.value) for m in result.metrics.values())
            assert result.metrics["log_likelihood"].value in (-5.0, -6.0, -7.0)
        skipped += len(store.results()[1])
        path.write_bytes(content)
    assert paths
    assert skipped > 0.9 * count
    tried(f"{count} damaged results: {skipped} skipped with a warning, no crash")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_exits_with_3_and_resumes(folder, number, tried):
    """While it plans, trains, evaluates, compares and writes the report."""
    own = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hwbench", "reproduce", "tiny", "--profile", "smoke"]
    command += ["--jobs", "2", "--format", "csv"]
    rng, codes = random.Random(int(number)), []
    for _ in range(10):
        process = subprocess.Popen(command, cwd=folder, env=own, stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()  # it has begun
        time.sleep(rng.uniform(0, 12))
        process.send_signal(number)
        process.communicate(timeout=120)
        codes.append(process.returncode)
        if process.returncode == 0:
            for folder_ in ("results", "cache"):
                subprocess.run(["rm", "-rf", folder / folder_], check=True)
    assert set(codes) <= {0, 3}
    assert 3 in codes
    assert subprocess.run(command, cwd=folder, env=own, capture_output=True).returncode == 0
    tried(f"{signal.Signals(number).name} at 10 moments: exit codes {codes}, resumed")
