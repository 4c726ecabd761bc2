"""What was measured, kept in the user's cache: a comparison that was stopped resumes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hwbench import cache
from hwbench.attest.judge import Change, Changes, Spread
from hwbench.attest.side import KERNELS, THREADS
from hwbench.spec import Case

MEASURING = ("cases.py", "driver.py", "judge.py", "memory.py", "side.py")  # what they do decides


@dataclass(frozen=True)
class Question:
    """What to run by both codes; the same question is measured once.

    Attributes:
        kind: `smoke`: whole runs at each seed; `steps`: of a shortened case.
        case: with the first seed.
        codes: its old and its new fingerprint.
        seeds: number of seeds.
        points: number of synthetic training points, 0 for the real ones.
    """

    kind: str
    case: Case
    codes: tuple[str, str]
    seeds: int = 1
    points: int = 0

    @property
    def name(self) -> str:
        """Return the name under which its answer is kept, without spec and row."""
        parts = (self.kind, self.case.key, *self.codes, self.seeds, self.points)
        return " ".join(["attest", *map(str, parts)])


@dataclass(frozen=True)
class Answer:
    """How far the numbers moved, and the machine of the runs, where it is known."""

    changes: Changes
    machine: dict[str, Any]


class Memory:
    """Answers of this and of earlier comparisons on this machine.

    Args:
        device: where cases run.
    """

    def __init__(self, device: str) -> None:
        own = cache.digest_of_files(Path(__file__).with_name(name) for name in MEASURING)
        torch = metadata.version("torch")
        surroundings = (platform.node(), platform.processor(), sys.version, torch, device)
        self._key = cache.digest(own, *surroundings, repr(KERNELS), str(THREADS))
        self._known: dict[str, Answer] = {}

    def recall(self, question: Question) -> Answer | None:
        """Return the answer to a question, None where there is none."""
        if question.name not in self._known:
            kept = cache.recall(question.name, self._key)
            if kept is None:
                return None
            changes = {
                name: Change(moved, Spread(**{**spread, "differences": (*spread["differences"],)}))
                for name, (moved, spread) in kept["changes"].items()
            }
            self._known[question.name] = Answer(changes, kept["machine"])
        return self._known[question.name]

    def answer(self, question: Question, measure: Callable[[], Answer]) -> Answer:
        """Return the answer that is known, or measure it and keep it."""
        known = self.recall(question)
        if known is None:
            known = measure()
            self._known[question.name] = known
            kept = {
                "changes": {n: (c.moved, asdict(c.spread)) for n, c in known.changes.items()},
                "machine": known.machine,
            }
            cache.remember(question.name, self._key, kept)
        return known
