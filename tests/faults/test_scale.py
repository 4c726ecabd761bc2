"""Two thousand results: what the command line needs for them, in CPU seconds and memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwbench.sources import fingerprint
from hwbench.spec import load, variants
from hwbench.spec.files import find
from hwbench.store import Result, Store, StoredCurve, StoredMetric

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RESULTS = 2000
LIST, COMPARE, REPORT = 0.6, 1.0, 10.0  # seconds of CPU on an idle machine
FIRST = 15.0  # a report when no picture is kept, on two such cores: two workers draw
MEMORY = 250.0  # MiB of each process
INDEX, PAGE = 300_000, 1_000_000  # bytes
CHILD = """
import pathlib, re, resource, runpy, sys
sys.argv = ["hwbench", *sys.argv[1:]]
try:
    runpy.run_module("hwbench", run_name="__main__")
finally:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = [u.ru_utime + u.ru_stime for u in used]
    own = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
    most = max(int(own[1]), used[1].ru_maxrss)  # its ru_maxrss would count pytest, which started it
    print("USED", *seconds, most / 1024, file=sys.stderr)
"""


def stored(case, metric, value, rng):
    curve = StoredCurve(x=list(range(200)), y=(value - 40 / np.arange(1, 201)).tolist())
    result = Result(
        case=case, key=case.key, fingerprint=fingerprint(case),
        metrics={metric: StoredMetric(value=value, se=0.3, n=10_000, k=5000)},
        curves={"train/objective": curve}, seconds={"train": 100.0, "evaluate": 10.0},
        machine={"device": "CPU (made up)", "torch": "2.11.0"}, started="2026-01-01T00:00:00",
    )  # fmt: skip
    return result, {"log_px": rng.normal(value, 28, 10_000).astype(np.float32)}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of results of every table, of as many seeds as it takes."""
    folder, rng = tmp_path_factory.mktemp("scale"), np.random.default_rng(0)
    store = Store(folder / "results")
    specs = [load(path) for path in find(ROOT / "benchmarks").values()]
    count = seed = 0
    while count < RESULTS:
        for spec in specs:
            for row in spec.rows if count < RESULTS else []:
                published = spec.judged(row)
                value = rng.normal(published.value if published else 10.0, 0.1)
                case = variants(spec, row, "full", seed)[0]
                count += store.write(*stored(case, spec.metric, float(value), rng))
        seed += 1
    return folder


def used(folder, *arguments):
    """Run the command line; returns seconds of CPU, MiB of its largest process, workers' seconds.

    The first are those of the command and its workers.
    """
    own = os.environ | {"PYTHONPATH": str(ROOT), "HWBENCH_CACHE": str(folder / "cache")}
    own |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments, "--results", str(folder / "results")],
        cwd=ROOT, env=own, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own, workers, mebibytes = map(float, done.stderr.split("USED")[1].split())
    return own + workers, mebibytes, workers


def test_2000_results_are_listed_compared_and_reported_in_time(many, tried):
    first = used(many, "list")
    again = min(used(many, "list") for _ in range(3))
    compared = used(many, "compare", "rws/mnist")
    once_more = min(used(many, "compare", "rws/mnist") for _ in range(3))
    drawn = used(many, "report", "--reports", str(many / "reports"), "--format", "html,pdf")
    kept = used(many, "report", "--reports", str(many / "reports"), "--format", "html,pdf")
    tried(
        f"{RESULTS} results: list {first[0]:.1f} s, again {again[0]:.2f} s; compare "
        f"{compared[0]:.2f} s, again {once_more[0]:.2f} s; report {drawn[0]:.1f} s, "
        f"with kept pictures {kept[0]:.1f} s; MiB {first[1]:.0f}, {compared[1]:.0f}, "
        f"{drawn[1]:.0f}, {kept[1]:.0f}"
    )
    assert again[0] <= LIST
    assert compared[0] <= COMPARE
    assert once_more[0] <= compared[0]
    assert kept[0] <= REPORT
    assert drawn[0] - drawn[2] / 2 <= FIRST
    assert max(drawn[1], kept[1]) <= MEMORY
    assert kept[0] < drawn[0] / 2
    sizes = {path.name: path.stat().st_size for path in (many / "reports").glob("*.html")}
    assert sizes.pop("index.html") <= INDEX
    assert max(sizes.values()) <= PAGE
