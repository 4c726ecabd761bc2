"""How the hot paths are timed: each beside the plain form of the same work, in turns."""

import time

import pytest

NOISE = 1.1  # how much the least of a few times may vary on a quiet machine


@pytest.fixture
def at_most(benchmark):
    """Time one form; fail where it takes more than `ratio` times as long as another."""

    def check(ratio, own, other, rounds=15):
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
        assert least[0] <= ratio * NOISE * least[1]

    return check


@pytest.fixture
def within(benchmark):
    """Time one form; fail where even its fastest round, `times` over, takes more than `seconds`."""

    def check(seconds, form, times=1, rounds=5):
        benchmark.pedantic(form, rounds=rounds, warmup_rounds=1 if rounds > 1 else 0)
        assert benchmark.disabled or times * benchmark.stats.stats.min <= seconds

    return check
