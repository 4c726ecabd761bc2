"""Which cases two codes may disagree about, and what has to be run to find out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hwbench.spec import (
    PROFILES,
    Block,
    Case,
    Profile,
    Row,
    Spec,
    batch_size_of,
    opts_out,
    seeds_of,
    variants,
)

STEPS = 200  # of each stage at the sizes of `full`
SEEDS = 2  # of a row at smoke, at least: a spread over seeds needs two


@dataclass(frozen=True)
class Affected:
    """A row, profile and data set whose code differs: its case with seed 0 and the fingerprints."""

    row: Row
    case: Case
    old: str
    new: str

    @property
    def profile(self) -> Profile:
        """Return the case's profile."""
        return self.case.profile


def all_cases(spec: Spec) -> Iterator[tuple[Row, Case]]:
    """Yield the case of each row, profile and data set that may serve it, with seed 0."""
    for row in spec.rows:
        for profile in PROFILES:
            if not opts_out(row, profile):
                for case in variants(spec, row, profile, 0):
                    yield row, case


def smoke_cases(spec: Spec, case: Case) -> list[Case]:
    """Return a case at the seeds of its smoke profile, at least two."""
    row = next(row for row in spec.rows if row.name == case.row)
    seeds = max(SEEDS, seeds_of(spec, row, "smoke"))
    return [case.model_copy(update={"seed": seed}) for seed in range(seeds)]


def shortened(case: Case, smoke: Case) -> Case:
    """Return a case with 200 steps for each stage, and the evaluators that smoke does not reach.

    Model, data, batch, rule and optimiser stay; a fit stays, too, and is stopped by its reports.
    Evaluators keep their switches, and take their sizes from smoke where it has them.
    """
    return case.model_copy(
        update={
            "seed": 0,
            "train": [_short_stage(stage) for stage in case.train],
            "evaluate": [_small(b, smoke) for b in case.evaluate if not _reached(b, smoke)],
        }
    )


def _short_stage(stage: Block) -> Block:
    if "fit" in stage:
        return stage
    kept = {k: v for k, v in stage.items() if k != "epochs"}
    return {**kept, "steps": min(STEPS, stage.get("steps") or STEPS)}


def switches(value: Any) -> Any:
    """Return a block without its numbers: what decides which code an evaluator takes.

    >>> switches({"use": "ais.AIS", "chains": 100, "reverse": True, "ks": [1, 5]})
    {'use': 'ais.AIS', 'chains': 0, 'reverse': True, 'ks': 0}
    """
    if isinstance(value, dict):
        return {k: switches(v) for k, v in value.items()}
    if isinstance(value, list):
        inner = [switches(v) for v in value]
        return 0 if inner and all(v == 0 and not isinstance(v, bool) for v in inner) else inner
    return 0 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _reached(block: Block, smoke: Case) -> bool:
    return any(switches(block) == switches(other) for other in smoke.evaluate)


def _small(block: Block, smoke: Case) -> Block:
    like = [other for other in smoke.evaluate if other.get("use") == block.get("use")]
    return _sized(block, like[0]) if like else block


def _sized(block: Block, like: Block) -> Block:
    """Return a block with the numbers of another where both have numbers.

    >>> _sized({"chains": 100, "reverse": True, "ks": [1, 5]}, {"chains": 20, "ks": [1]})
    {'chains': 20, 'reverse': True, 'ks': [1]}
    """
    out = dict(block)
    for key in block.keys() & like.keys():
        mine, other = block[key], like[key]
        if isinstance(mine, dict) and isinstance(other, dict):
            out[key] = _sized(mine, other)
        elif switches(mine) == switches(other) == 0:
            out[key] = other
    return out


def stops_early(case: Case) -> bool:
    """Return whether a stage may stop before its end."""
    return any(stage.get("stop") for stage in case.train)


def synthetic_points(case: Case) -> int | None:
    """Return how many synthetic points stand in for a case's training points in 200 steps.

    None where none can: a fit takes all points, and only for images does the block say what their
    pixels are.
    """
    if "pixels" not in case.data or any("fit" in stage for stage in case.train):
        return None
    return STEPS * max(map(batch_size_of, case.train), default=1)


def affected(
    rows: Sequence[tuple[Row, Case]],
    old: Sequence[tuple[str, str] | str],
    new: Sequence[tuple[str, str] | str],
) -> tuple[list[Affected], list[tuple[Case, str]]]:
    """Return the cases whose fingerprint differs, and those that cannot be compared, with a reason.

    Args:
        rows: see `all_cases`.
        old: key and fingerprint of each by the old code, or why there is none.
        new: the same by the new code.
    """
    found, barred = [], []
    for (row, case), before, after in zip(rows, old, new, strict=True):
        if isinstance(after, str):
            barred.append((case, f"the new code does not take it ({after})"))
        elif isinstance(before, str):
            barred.append((case, f"the old code does not take it ({before})"))
        elif before[0] != after[0]:
            barred.append((case, "its key differs between the two"))
        elif before[1] != after[1]:
            found.append(Affected(row, case, before[1], after[1]))
    return found, barred
