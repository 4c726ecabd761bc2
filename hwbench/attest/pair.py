"""Both codes side by side: how far the numbers of a case move from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwbench.attest import judge
from hwbench.attest.cases import SEEDS
from hwbench.attest.checkout import same_code
from hwbench.attest.judge import Changes, Runs
from hwbench.attest.memory import Answer, Memory, Question
from hwbench.attest.side import KERNELS, Numbers, Side, SideError
from hwbench.spec import Case


class Pair:
    """Both codes, and the old one under other kernels, each in a process of its own.

    Args:
        old: checkout of the old code.
        new: checkout of the new code.
        scratch: folder for what they compute.
        device: where cases run.
        limit: seconds that one run may take.
        plugins: packages whose classes cases may name.
    """

    def __init__(
        self,
        old: Path,
        new: Path,
        scratch: Path,
        device: str = "cpu",
        limit: float = 600.0,
        plugins: Sequence[str] = (),
    ) -> None:
        self.roots = (old, new)
        self.machine: dict[str, Any] = {}
        self.memory = Memory(device)

        def side(name: str, root: Path, extra: dict[str, str]) -> Side:
            (scratch / name).mkdir()
            return Side(root, scratch / name, device, extra, limit, plugins)

        self.old, self.new = side("run-old", old, {}), side("run-new", new, {})
        self.elsewhere = side("run-elsewhere", old, KERNELS)

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """Return all processes."""
        return self.old, self.new, self.elsewhere

    def unchanged(self, pattern: str) -> bool:
        """Return whether files of the package are the same code on both sides."""
        return same_code(*self.roots, pattern)

    def known(self, question: Question) -> bool:
        """Return whether a question was answered before, by this comparison or an earlier one."""
        return self.memory.recall(question) is not None

    def ask(self, question: Question) -> Changes:
        """Return how far numbers move between the codes; what is known is not run again.

        Raises:
            SideError: one of the codes failed, or a fit was stopped before it left a trace.
        """
        found = self.memory.answer(question, lambda: self._measure(question))
        self.machine = found.machine or self.machine
        return found.changes

    def _measure(self, question: Question) -> Answer:
        seeds = [
            question.case.model_copy(update={"seed": question.case.seed + i})
            for i in range(question.seeds)
        ]

        def steps(side: Side, case: Case) -> Numbers:
            return self._steps(side, case, question.points)

        if question.kind == "smoke":
            changes = self._turns(seeds, self._whole, SEEDS)
        else:
            changes = self._turns(seeds, steps, len(seeds))
        return Answer(changes, self.machine)

    def _whole(self, side: Side, case: Case) -> Numbers:
        numbers, answer = side.run(case)
        self.machine = answer["machine"]
        return numbers

    def _steps(self, side: Side, case: Case, points: int) -> Numbers:
        numbers, answer = side.steps(case, points)
        if "stopped" in answer and answer["idle"]:
            raise SideError("its fit changes the model only at its end")
        if answer.get("stopped", len(case.train)) < len(case.train) - 1:
            raise SideError(f"stage {answer['stopped'] + 2} comes after a whole fit")
        return numbers

    def _turns(
        self, seeds: Sequence[Case], run: Callable[[Side, Case], Numbers], elsewhere: int
    ) -> Changes:
        """Return the changes over seeds that both codes run in turns.

        The old code also runs under other kernels, at `elsewhere` of the seeds, but only if numbers
        moved by more than a small share of the least tolerance.
        """
        old, new = {}, {}
        for case in seeds:
            old[case.seed] = _blame("the old code", run, self.old, case)
            new[case.seed] = _blame("the new code", run, self.new, case)
        found = Runs(old, new, {})
        changes = judge.changes(found)
        if judge.all_small(changes):
            return changes
        there = {c.seed: _blame("other kernels", run, self.elsewhere, c) for c in seeds[:elsewhere]}
        return judge.changes(replace(found, elsewhere=there))


def _blame(name: str, run: Callable[[Side, Case], Numbers], side: Side, case: Case) -> Numbers:
    try:
        return run(side, case)
    except SideError as error:
        raise SideError(f"{name}: {error}") from None
