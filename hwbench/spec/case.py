"""Cases: rows resolved at a profile and a seed, each with the hash of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hwbench.spec.coordinates import Coordinates, label, row_name
from hwbench.spec.document import Located, merge, overridden, plain
from hwbench.spec.model import Block, Blocks, Profile, Row, Spec, SpecId
from hwbench.spec.problems import SpecError, did_you_mean
from hwbench.spec.published import Strict
from hwbench.spec.text import argument_text

OVERRIDABLE = ("data", "model", "train", "fit", "evaluate")


class Case(Strict):
    """A row at a profile and a seed, fully resolved: everything that its result depends on.

    With `overrides` it is a variant: not a case of the table, and its results are kept apart.
    """

    spec: SpecId
    at: Coordinates
    profile: Profile
    seed: Annotated[int, Field(ge=0)]
    data: Block
    model: Block
    train: list[Block]
    evaluate: list[Block]
    stands_in_for: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the sha256 of what decides the numbers, without the spec's name and prose."""
        names = ("seed", "data", "model", "train", "evaluate")
        content = {name: getattr(self, name) for name in names}
        return hashlib.sha256(
            json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
        ).hexdigest()

    @property
    def pixels(self) -> str | None:
        """Return how pixels are presented; grey ones that an evaluator draws are dynamic."""
        pixels: str | None = self.data.get("pixels")
        drawn = any(block.get("draw") for block in self.evaluate)
        return "dynamic" if pixels == "grey" and drawn else pixels

    @property
    def row(self) -> str:
        """Return the row's file-safe name."""
        return row_name(self.at)

    @property
    def label(self) -> str:
        """Return a readable name: 'iwaer/table1 MNIST, IWAE, seed 0'."""
        variant = f" ({overrides_text(self.overrides)})" if self.overrides else ""
        return f"{self.spec} {label(self.at)}, seed {self.seed}{variant}"

    @property
    def path(self) -> Path:
        """Return the path of its first result below the results folder."""
        folder = Path(self.spec) / self.row / ("variants" if self.overrides else "")
        return folder / f"{self.profile}-seed{self.seed}-{self.key[:8]}.json"


def overrides_text(overrides: Mapping[str, Any]) -> str:
    """Return overrides as readable text.

    >>> overrides_text({"train.steps": 1000, "model.hidden": [50]})
    'train.steps=1000, model.hidden=[50]'
    """
    return ", ".join(f"{path}={argument_text(value)}" for path, value in overrides.items())


def vary(spec: Spec, overrides: Mapping[str, Any]) -> Spec:
    """Return the spec with overrides, such as {"train.steps": 1000}, in every row and profile.

    Raises:
        SpecError: a path does not begin with the name of a block.
    """
    for path in map(str, overrides):
        block, dot, _ = path.partition(".")
        if block not in OVERRIDABLE:
            raise SpecError(f"{path}: no block {block!r}{did_you_mean(block, OVERRIDABLE)}")
        if not dot:
            raise SpecError(f"{path}: name a value in the block, as {path}.use")
    return spec.varied(overrides)


def resolve(spec: Spec, row: Row, profile: Profile) -> Located:
    """Return the row's blocks at a profile: defaults < row < profile < the row's own profile.

    The spec's overrides come last, in the blocks that the row has.
    Each value keeps its line in the document.

    Raises:
        SpecError: an override leads into a value without parts, or to a missing item of a list.
    """
    keys = set(Blocks.model_fields) | {"stand_ins", "same"}
    layers = [
        spec.document.get("defaults"),
        row.document,
        (spec.document.get("profiles") or {}).get(profile),
        (row.document.get("profiles") or {}).get(profile),
    ]
    out = Located(line=row.document.line)
    for depth, layer in enumerate(layers):
        if layer:
            part = Located({k: v for k, v in layer.items() if k in keys}, line=layer.line)
            part.lines = layer.lines
            out = merge(out, part, same_stages=depth > 1)  # a profile shortens stages and adds none
    for path, value in spec.overrides.items():
        block, *rest = path.split(".")
        if out.get(block):
            try:
                out[block] = overridden(out[block], rest, value)
            except SpecError as error:
                raise SpecError(f"{path}: {error}") from None
    return out


def whole_stages(spec: Spec, row: Row, profile: Profile) -> list[int]:
    """Return the stages with a rule that train as long at a profile as at full; none for `same`."""
    own, full = (resolve(spec, row, p) for p in (profile, "full"))
    if own.get("same") or spec.overrides:
        return []
    lengths = [[_length(s) for s in _stages_of(blocks)] for blocks in (own, full)]
    return [
        i for i, (a, b) in enumerate(zip(*lengths, strict=False)) if a == b and a != (None, None)
    ]


def _stages_of(blocks: Mapping[str, Any]) -> list[Any]:
    train = blocks.get("train") or []
    return train if isinstance(train, list) else [train]


def _length(stage: Mapping[str, Any]) -> tuple[Any, Any]:
    return stage.get("epochs"), stage.get("steps")


def opts_out(row: Row, profile: Profile) -> bool:
    """Return whether a row has `null` for this profile."""
    own = row.profiles or {}
    return profile in own and own[profile] is None


def runs_at(spec: Spec, row: Row, profile: Profile) -> bool:
    """Return whether the profile runs this row; it may choose some, and a row may opt out."""
    if opts_out(row, profile):
        return False
    chosen = spec.profiles.get(profile)
    own = (row.profiles or {}).get(profile)
    return (
        own is not None
        or chosen is None
        or not chosen.rows
        or any(row.matches(w) for w in chosen.rows)
    )


def variants(spec: Spec, row: Row, profile: Profile, seed: int) -> list[Case]:
    """Return the case of a row and seed for each data set that it may use, the best first."""
    blocks = plain(resolve(spec, row, profile))
    data = blocks.get("data") or {}
    wanted = data.get("use", "")
    evaluate = blocks.get("evaluate") or []
    stages = _stages_of(blocks)
    if blocks.get("fit"):
        stages = [{"fit": blocks["fit"]}]
    return [
        Case(
            spec=spec.id,
            at=dict(row.at),
            profile=profile,
            seed=seed,
            data={**data, "use": use},
            model=blocks.get("model") or {},
            train=stages,
            evaluate=evaluate if isinstance(evaluate, list) else [evaluate],
            stands_in_for=None if use == wanted else wanted,
            overrides=spec.overrides,
        )
        for use in (blocks.get("stand_ins") or {}).get(str(wanted), [wanted])
    ]


def variant_of(spec: Spec, row: Row, case: Case) -> int | None:
    """Return which of its row's `variants` a case is; None if today's spec would not run it."""
    keys = [variant.key for variant in variants(spec, row, case.profile, case.seed)]
    return keys.index(case.key) if case.key in keys else None


def seeds_of(spec: Spec, row: Row, profile: Profile) -> int:
    """Return how many seeds the row has at a profile."""
    return int(resolve(spec, row, profile).get("seeds") or 1)


def cases(
    spec: Spec,
    profile: Profile,
    rows: Sequence[Mapping[str, Any]] | None = None,
    seeds: int | None = None,
    available: Callable[[Block], bool] = lambda data: True,
) -> list[Case]:
    """Return all cases of a spec at a profile, seed by seed so that every row has a number early.

    Args:
        spec: the table.
        profile: how much of the protocol.
        rows: coordinates of the rows to run, among those that the profile chooses. If it chooses
            none of them, all that do not opt out of the profile.
        seeds: number of seeds instead of the spec's.
        available: whether the data of a block are available; decides which stand-in is used.
    """
    wanted = spec.select(rows)
    chosen = [row for row in wanted if runs_at(spec, row, profile)]
    if rows and not chosen:
        chosen = [row for row in wanted if not opts_out(row, profile)]
    out: list[tuple[int, Case]] = []
    for row in chosen:
        for seed in range(seeds or seeds_of(spec, row, profile)):
            options = variants(spec, row, profile, seed)
            out.append((seed, next((case for case in options if available(case.data)), options[0])))
    return [case for _, case in sorted(out, key=lambda pair: pair[0])]
