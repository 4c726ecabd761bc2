"""A whole spec against the shelves: names, arguments, and how each row's blocks fit together."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from pydantic import ValidationError

from hwbench import vocabulary
from hwbench.build import BuildError, check_arguments, construction_error, find_class, make
from hwbench.spec import (
    PROFILES,
    UNKNOWN,
    FitStage,
    Located,
    Path_,
    Problem,
    Row,
    Spec,
    Stage,
    did_you_mean,
    dotted,
    resolve,
    runs_at,
    validation_problems,
)


def _check_block(kind: str, block: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    if not isinstance(block, Mapping):
        yield path, f"expected a mapping with `use` (found {block!r})"
        return
    if not isinstance(block.get("use"), str):
        yield path, "needs `use`, the name of a class"
        return
    try:
        cls = find_class(kind, block["use"])
    except BuildError as error:
        yield (*path, *error.path), str(error)
        return
    arguments = {k: v for k, v in block.items() if k != "use"}
    for wrong in check_arguments(cls, arguments):
        yield (*path, *wrong.path), str(wrong)


def _listed(blocks: Located, key: str) -> list[tuple[Path_, Any]]:
    """Return what stands under a key, which may be one thing or a list, each with its place."""
    value = blocks.get(key) or []
    return (
        [((key, i), v) for i, v in enumerate(value)]
        if isinstance(value, list)
        else [((key,), value)]
    )


def _parts(blocks: Located) -> Iterator[tuple[str, Path_, Any]]:
    """Yield each block of a row with its kind and place; what the row lacks is left out."""
    for kind in ("data", "model", "fit"):
        if blocks.get(kind):
            yield kind, (kind,), blocks[kind]
    for path, stage in _listed(blocks, "train"):
        for kind in ("rule", "fit", "optimizer", "validate"):
            if isinstance(stage, Mapping) and isinstance(stage.get(kind), Mapping):
                yield kind, (*path, kind), stage[kind]
    for path, block in _listed(blocks, "evaluate"):
        yield "evaluate", path, block


@dataclass
class _Checked:
    """A row at a profile: its mistakes, and the names its numbers will have (None: not known)."""

    row: Row
    mistakes: list[tuple[Path_, str]]
    metrics: set[str] | None = None
    curves: set[str] | None = None
    images: set[str] | None = None


def _check_row(row: Row, blocks: Located) -> _Checked:
    """Check each block by itself, then build what can be built and see that it fits together."""
    out = _Checked(row, [])
    for path, stage in _listed(blocks, "train"):
        kind_of_stage = FitStage if isinstance(stage, Mapping) and "fit" in stage else Stage
        try:
            kind_of_stage.model_validate(stage)
        except ValidationError as error:
            for problem in validation_problems(error, "", blocks, kind_of_stage):
                out.mistakes.append(((*path, *problem.field.split(".")), problem.message))
    sound = []
    for kind, path, block in _parts(blocks):
        mistakes = list(_check_block(kind, block, path))
        out.mistakes += mistakes
        if not mistakes and kind != "optimizer":
            sound.append((kind, path, block))
    made: dict[Path_, tuple[str, Any]] = {}
    context: dict[str, Any] = {}
    for kind, path, block in sound:  # the data come first, then the model
        if kind == "model" and not context:
            continue
        try:
            with torch.device("meta" if kind == "model" else "cpu"):
                made[path] = (kind, make(kind, block, **context))
        except BuildError as error:
            out.mistakes.append(((*path, *error.path), str(error)))
            continue
        if kind == "data":
            data = made[path][1]
            visible = math.prod(data.shape)
            context = {"visible": visible, "classes": data.classes, "shape": data.shape}
    if ("model",) in made:
        out.mistakes += _check_together(made, blocks)
    if len(made) == sum(kind != "optimizer" for kind, _, _ in _parts(blocks)):
        out.metrics, out.curves = _names(made.values())
        out.images = {name for _, user in made.values() for name in getattr(user, "images", ())}
    return out


def _check_together(
    made: Mapping[Path_, tuple[str, Any]], blocks: Located
) -> Iterator[tuple[Path_, str]]:
    """Yield which rules, fits and evaluators cannot work with the model."""
    model = made[("model",)][1]
    pretrained = getattr(model, "pretrained", False)
    no_validation = getattr(made[("data",)][1], "validation", None) == 0
    rules_seen = 0
    last = ""  # stage
    for path, (kind, user) in made.items():
        if kind in ("data", "model"):
            continue
        wanted = user.trains()
        block = functools.reduce(lambda here, step: here[step], path, typing.cast(Any, blocks))
        use = block["use"]
        if not isinstance(model, wanted):
            message = f"{use} works on a {wanted.__name__}; {blocks['model']['use']} is none"
            yield (*path, "use"), message
        elif kind == "rule":
            try:
                user.check(model)
            except Exception as error:
                yield path, construction_error(use, error)
        elif kind == "fit" and pretrained and rules_seen == 0:
            message = (
                f"{use} fine-tunes what stages with a rule have learned; none stands before it"
            )
            yield path, message
        elif kind == "fit" and pretrained and last == "fit":
            message = (
                f"{use} starts from what stages with a rule have learned: the fit before it would "
                "be lost"
            )
            yield path, message
        elif kind == "evaluate" and pretrained and hasattr(wanted, "pretrained") and last == "rule":
            message = (
                f"{use} measures the net of {blocks['model']['use']}, which only a `fit` after the "
                "last stage with a rule puts in its place; the last stage is no fit"
            )
            yield (*path, "use"), message
        if kind == "fit" and block.get("patience") and no_validation:
            message = f"{use} waits for validation points, of which the data set keeps none"
            yield (*path, "patience"), message
        rules_seen += kind == "rule"
        last = kind if kind in ("rule", "fit") else last


def _names(made: Iterable[tuple[str, Any]]) -> tuple[set[str] | None, set[str] | None]:
    """Return patterns of the metrics and curves of a result; None where a class declares none."""
    metrics: set[str] = set()
    curves: set[str] = set()
    open_metrics = open_curves = False
    for kind, user in made:
        if kind == "rule":
            curves.add(vocabulary.TRAIN_OBJECTIVE)
        elif kind == "fit":
            curves |= set(user.curves)
            open_curves |= not user.curves
        elif kind == "validate":
            curves |= {f"{vocabulary.VALIDATION}{name}" for name in user.metrics[:1]}
            open_curves |= not user.metrics
        elif kind == "evaluate":
            metrics |= set(user.metrics)
            curves |= set(user.curves)
            open_metrics |= not user.metrics
            open_curves |= not user.metrics
    return None if open_metrics else metrics, None if open_curves else curves


def check(spec: Spec) -> list[Problem]:
    """Return every mistake in a spec's names and arguments, at every profile; builds each model."""
    found: dict[tuple[int, str, str], Problem] = {}

    def note(line: int, field: str, message: str, where: str = "") -> None:
        found.setdefault((line, field, message), Problem(spec.file, line, where + field, message))

    for profile in PROFILES:
        rows = []
        for row in spec.rows:
            if not runs_at(spec, row, profile) and profile != "full":
                continue
            blocks = resolve(spec, row, profile)
            rows.append(_check_row(row, blocks))
            where = f"row {'/'.join(map(str, row.at.values()))}, "
            for path, message in rows[-1].mistakes:
                note(blocks.line_at(path), ".".join(map(str, path)), message, where)
            for name in {n for names in (blocks.get("stand_ins") or {}).values() for n in names}:
                try:
                    find_class("data", name)
                except BuildError as error:
                    note(blocks.line_at(("stand_ins",)), "stand_ins", str(error))
        for path, message in _check_names(spec, rows):
            note(spec.document.line_at(path), dotted(path), message)
    return list(found.values())


def _check_names(spec: Spec, rows: Sequence[_Checked]) -> Iterator[tuple[Path_, str]]:
    """Yield metrics, curves and images asked for that no evaluator of the rows concerned gives."""

    def ask(
        path: Path_, name: str | None, what: str, concerned: Sequence[_Checked]
    ) -> Iterator[tuple[Path_, str]]:
        given = [getattr(row, f"{what}s") for row in concerned]
        known = sorted(set().union(*(names for names in given if names is not None)))
        if not name or name == UNKNOWN or not given or None in given:
            return
        if not any(fnmatchcase(name, pattern) for pattern in known):
            yield path, f"no {what} {name!r}{did_you_mean(name, known)}"

    for row in rows:
        yield from ask(("metric",), spec.metric, "metric", [row])
        for name in row.row.also or {}:
            yield from ask(("rows", spec.rows.index(row.row), "also", name), name, "metric", [row])
    for i, claim in enumerate(spec.claims):
        concerned = [r for r in rows if r.row.matches(claim.where)]
        yield from ask(("claims", i, "metric"), claim.metric, "metric", concerned)
    for i, figure in enumerate(spec.figures):
        concerned = [r for r in rows if r.row.matches(figure.where)]
        yield from ask(("figures", i, "metric"), figure.metric, "metric", concerned)
        yield from ask(("figures", i, "curve"), figure.curve, "curve", concerned)
        for j, name in enumerate(figure.images or []):
            yield from ask(("figures", i, "images", j), name, "image", concerned)
