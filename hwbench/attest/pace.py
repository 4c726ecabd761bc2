"""How long a comparison takes: guessed from results on file, then from its own pace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

from hwbench.attest.memory import Question
from hwbench.spec import Case
from hwbench.store import Result

START = 2.0  # seconds to load the data and build the objects of a run
SMOKE = 1.0  # seconds of a run at smoke
STEPS_UNKNOWN = 10.0  # seconds of the steps of a case of which nothing is known
ALIKE, MOVED = 2.0, 4.0  # runs of a case: by both codes; also under slower kernels, as two


class Rates:
    """Steps per second of trainings, from results on file."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def learn(self, results: Iterable[Result]) -> None:
        """Take the rates of results."""
        for result in results:
            if result.steps_per_second:
                self._known[_training(result.case)] = result.steps_per_second

    def of(self, question: Question) -> float | None:
        """Return the rate of a question's training, None where it is not known."""
        return self._known.get(_training(question.case))


def _training(case: Case) -> str:
    """Return what decides how long a step takes: data, model, and rules."""
    rules = [stage.get("rule") or stage.get("fit") for stage in case.train]
    sizes = [stage.get("batch_size") for stage in case.train]
    return json.dumps([case.data, case.model, rules, sizes], sort_keys=True)


class Pace:
    """The seconds that runs take, and what is left of them.

    Args:
        questions: what has to be run; the same question counts once.
        rates: rates of trainings.
    """

    def __init__(self, questions: Iterable[Question], rates: Rates) -> None:
        self._rates = rates
        self._guess = {q.name: self._seconds(q) for q in questions}
        self._all, self._done, self._last = len(self._guess), 0.0, ""
        self._number, self._started = 0, time.monotonic()

    def _seconds(self, question: Question) -> float:
        if question.kind == "smoke":
            return SMOKE * question.seeds
        rate, steps = self._rates.of(question), 0
        for stage in question.case.train:
            steps += int(stage.get("steps") or 0)
        return START + (steps / rate if rate else STEPS_UNKNOWN)

    def start(self, rows: int) -> str:
        """Return how much there is to run for this number of rows."""
        total = sum(self._guess.values())
        if not total:
            return f"{rows} rows to compare: nothing left to run"
        return (
            f"{rows} rows to compare, {self._all} runs by both codes: "
            f"{_hours(ALIKE * total)} if their numbers are alike, "
            f"up to {_hours(MOVED * total)} if all have to run under other kernels, too"
        )

    def next(self, text: str, question: Question) -> str:
        """Return the news that a run starts, with what is left by the pace so far."""
        self._done += self._guess.pop(self._last, 0.0)
        self._last, self._number = question.name, self._number + 1
        self._all = max(self._all, self._number)  # runs with more seeds are not planned
        left = sum(self._guess.values())
        pace = (time.monotonic() - self._started) / self._done if self._done else ALIKE
        return f"{text} ({self._number} of {self._all}, {_hours(pace * left)} left)"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{max(1, round(seconds / 60))} min"
