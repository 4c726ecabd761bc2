"""How the hot paths are timed: each beside the plain form of the same work, in turns.

What was timed is written to build/speed: a table, and a figure of how the cost grows.
"""

import platform
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hwbench.runner import onednn
from hwbench.runner.machine import machine

NOISE = 1.1  # how much the least of a few times may vary on a quiet machine


@pytest.fixture(scope="session")
def speed_folder():
    """The folder for what was timed."""
    folder = Path("build/speed")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def rows(speed_folder):
    """Lines of the table: name, ms, ms of the plain form, largest ratio; written at the end."""
    found = []
    yield found
    if found:
        facts = machine(torch.device("cpu"))
        lines = [
            f"One thread of {facts['device']}, torch {facts['torch']}, Python "
            f"{platform.python_version()}; CPU time, the least of several turns.",
            "",
            "| step | ms | plain, ms | ratio | at most |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(f"| {n} | {a:.1f} | {b:.1f} | {a / b:.2f} | {r:g} |" for n, a, b, r in found),
        ]
        (speed_folder / "steps.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def scaling(speed_folder):
    """scaling(name, sizes, seconds): the exponent; the curves are drawn at the end."""
    found = {}

    def fit(name, sizes, seconds):
        slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
        found[name] = sizes, seconds, float(slope)
        return found[name][2]

    yield fit
    if found:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        for name, (sizes, seconds, slope) in found.items():
            factor = [size / sizes[0] for size in sizes]
            cost = [s / seconds[0] for s in seconds]
            axes.loglog(factor, cost, "o-", label=f"{name}: exponent {slope:.2f}")
        axes.set_xlabel("size, relative to the smallest")
        axes.set_ylabel("CPU time, relative to the smallest")
        axes.legend()
        figure.savefig(speed_folder / "scaling.svg")


@pytest.fixture
def at_most(request, benchmark, rows):
    """Time one form; fail where it takes more than `ratio` times as long as another.

    The first computes its products as a worker does.
    """

    def check(ratio, own, other, rounds=15):
        own = onednn.products()(own)
        benchmark.pedantic(own, rounds=rounds, warmup_rounds=1)
        if benchmark.disabled:
            return
        other()
        least = [float("inf"), float("inf")]
        for _ in range(rounds):
            for i, form in enumerate((own, other)):  # in turns: a busy machine slows both
                start = time.process_time()  # not what other processes take
                form()
                least[i] = min(least[i], time.process_time() - start)
        benchmark.extra_info.update(ms=1e3 * least[0], other_ms=1e3 * least[1])
        name = request.node.name.removeprefix("test_").replace("_", " ")
        rows.append((name, 1e3 * least[0], 1e3 * least[1], ratio))
        assert least[0] <= ratio * NOISE * least[1]

    return check


@pytest.fixture
def within(benchmark):
    """Time one form; fail where even its fastest round, `times` over, takes more than `seconds`."""

    def check(seconds, form, times=1, rounds=5):
        own = onednn.products()(form)
        benchmark.pedantic(own, rounds=rounds, warmup_rounds=1 if rounds > 1 else 0)
        assert benchmark.disabled or times * benchmark.stats.stats.min <= seconds

    return check
