"""What has to be run of one spec to compare two codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hwbench.attest import cases
from hwbench.attest.cases import Affected
from hwbench.attest.memory import Question
from hwbench.attest.pair import Pair
from hwbench.spec import Case, Spec

STOP_EPOCHS = 60
STEP_SEEDS = 4  # of the steps, where those of one seed moved


@dataclass
class Table:
    """The affected cases of a spec.

    Attributes:
        barred: cases that cannot be compared, with a reason.
        smoke: smoke case of each row by name, where its data are here.
        codes: old and new fingerprint of each case by key.
        here: whether the data of each case are on this machine, by key.
        same_learner: whether `learner.py` is the same code on both sides.
        same_data: whether all data sets are.
    """

    spec: Spec
    affected: list[Affected]
    barred: list[tuple[Case, str]]
    smoke: dict[str, Case] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    here: dict[str, bool] = field(default_factory=dict)
    same_learner: bool = True
    same_data: bool = True

    @property
    def rows(self) -> list[str]:
        """Return the names of the rows with affected cases."""
        return list(dict.fromkeys(a.row.name for a in self.affected))

    def cases_of(self, row: str) -> list[Affected]:
        """Return the affected cases of a row."""
        return [a for a in self.affected if a.row.name == row]

    def smoke_question(self, row: str) -> Question | str:
        """Return what to run of a row at smoke, or why nothing can be."""
        if row not in self.smoke:
            return "it has no smoke run whose data are here"
        seeds = cases.smoke_cases(self.spec, self.smoke[row])
        return Question("smoke", seeds[0], self.codes[seeds[0].key], len(seeds))

    def steps_question(self, a: Affected, seeds: int = 1) -> Question | str:
        """Return the steps to take at the sizes of a case, or what cannot be reached and why."""
        smoke = self.smoke[a.row.name]
        points = 0
        if not self.here[a.case.key]:
            wanted = cases.synthetic_points(a.case)
            if wanted is None or not self.same_data:
                return f"the data of {a.case.data.get('use')} are not here"
            points = wanted
        return Question("steps", cases.shortened(a.case, smoke), (a.old, a.new), seeds, points)

    def stop_question(self, a: Affected) -> Question | str | None:
        """Return a run of the row's smoke case that stops early as the case may.

        None where it never does, or the learner is the same code; a reason where smoke has other
        stages or nothing to stop by.
        """
        smoke = self.smoke[a.row.name]
        if not cases.stops_early(a.case) or self.same_learner:
            return None
        case = stopping(smoke, a.case)
        if case is None:
            return "it may stop early, which smoke never does, and learner.py has changed"
        return Question("smoke", case, self.codes[smoke.key], cases.SEEDS)

    def questions(self) -> Iterator[Question]:
        """Yield each run that the comparison may need."""
        for row in self.rows:
            question = self.smoke_question(row)
            if not isinstance(question, str):
                yield question
                reduced = [a for a in self.cases_of(row) if a.profile != "smoke"]
                wanted = [q(a) for a in reduced for q in (self.steps_question, self.stop_question)]
                yield from (q for q in wanted if isinstance(q, Question))


def stopping(smoke: Case, case: Case) -> Case | None:
    """Return a smoke case whose stages stop as those of another, after one worse validation.

    It validates after each of at most 60 epochs, so that chance soon brings a worse value. None
    where a stage that may stop has no counterpart with a validation.
    """
    stages = list(smoke.train)
    for i, stage in enumerate(case.train):
        if not stage.get("stop"):
            continue
        if len(stages) != len(case.train) or not stages[i].get("validate"):
            return None
        length = {k: v for k, v in stages[i].items() if k != "steps"} | {"epochs": STOP_EPOCHS}
        stop = {**stage["stop"], "patience": 1, "at_least": 1}
        stages[i] = length | {"stop": stop, "validate_every": 1}
    return smoke.model_copy(update={"train": stages, "seed": 0})


def table_of(
    spec: Spec, pair: Pair, wanted: Callable[[Affected], int] = lambda affected: 1
) -> Table:
    """Return what has to be run of a spec.

    Args:
        spec: the table.
        pair: both codes.
        wanted: whether a case is compared (not 0).
    """
    rows = list(cases.all_cases(spec))
    everything = [case for _, case in rows]
    old, new = (side.identities(everything) for side in (pair.old, pair.new))
    found, barred = cases.affected(rows, old, new)
    found = [a for a in found if wanted(a)]
    table = Table(spec, found, barred)
    if not found:
        return table
    here = pair.new.here(everything)
    for (row, case), before, after, data in zip(rows, old, new, here, strict=True):
        table.here[case.key] = data
        if not isinstance(before, str) and not isinstance(after, str):
            table.codes[case.key] = before[1], after[1]
            if case.profile == "smoke" and data:
                table.smoke.setdefault(row.name, case)
    table.same_learner = pair.unchanged("learner.py")
    table.same_data = pair.unchanged("datasets/*.py")
    return table
