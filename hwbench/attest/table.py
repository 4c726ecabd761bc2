"""What has to be run of one spec to compare two codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hwbench import attested
from hwbench.attest import cases
from hwbench.attest.cases import Affected
from hwbench.attest.memory import Question
from hwbench.attest.pair import Pair
from hwbench.spec import Case, Spec


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

    def steps_question(self, a: Affected) -> Question | str:
        """Return the steps to take at the sizes of a case, or what cannot be reached and why."""
        smoke = self.smoke[a.row.name]
        if cases.stops_early(a.case) and not cases.stops_early(smoke) and not self.same_learner:
            return "it may stop early, which smoke never does, and learner.py has changed"
        points = 0
        if not self.here[a.case.key]:
            wanted = cases.synthetic_points(a.case)
            if wanted is None or not self.same_data:
                return f"the data of {a.case.data.get('use')} are not here"
            points = wanted
        return Question("steps", cases.shortened(a.case, smoke), (a.old, a.new), 1, points)

    def questions(self) -> Iterator[Question]:
        """Yield each run that the comparison may need."""
        for row in self.rows:
            question = self.smoke_question(row)
            if not isinstance(question, str):
                yield question
                steps = [self.steps_question(a) for a in self.cases_of(row) if a.profile != "smoke"]
                yield from (q for q in steps if not isinstance(q, str))


def table_of(
    spec: Spec, pair: Pair, wanted: Callable[[tuple[str, str]], bool] = lambda code: True
) -> Table:
    """Return what has to be run of a spec.

    Args:
        spec: the table.
        pair: both codes.
        wanted: whether a case is compared, by its content and its old fingerprint.
    """
    rows = list(cases.all_cases(spec))
    everything = [case for _, case in rows]
    old, new = (side.identities(everything) for side in (pair.old, pair.new))
    found, barred = cases.affected(rows, old, new)
    found = [a for a in found if wanted((attested.content_of(a.case), a.old))]
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
