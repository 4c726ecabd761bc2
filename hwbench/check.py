"""Checks of a whole spec against the shelves: names, arguments, and blocks that fit together."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from pydantic import ValidationError

from hwbench import vocabulary
from hwbench.build import BuildError, check_arguments, construction_error, find_class, make
from hwbench.contract import admit
from hwbench.protocols import Classifier, Dataset, Splits
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
    label,
    plain,
    resolve,
    runs_at,
    validation_mistakes,
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
    """Return the value of a key, or the items of a list there, each with its place."""
    value = blocks.get(key) or []
    return (
        [((key, i), v) for i, v in enumerate(value)]
        if isinstance(value, list)
        else [((key,), value)]
    )


def _parts(blocks: Located) -> Iterator[tuple[str, Path_, Any]]:
    """Yield each block that a row has, with its kind and place."""
    for kind in ("data", "model", "fit"):
        if blocks.get(kind):
            yield kind, (kind,), blocks[kind]
    for path, stage in _listed(blocks, "train"):
        for kind in ("rule", "fit", "optimizer", "validate"):
            if isinstance(stage, Mapping) and isinstance(stage.get(kind), Mapping):
                yield kind, (*path, kind), stage[kind]
    for path, block in _listed(blocks, "evaluate"):
        yield "evaluate", path, block


@dataclass(frozen=True)
class _Part:
    """A block of a row that could be built: its kind, its place, its content, and the object."""

    kind: str
    path: Path_
    block: Mapping[str, Any]
    built: Any


KEPT = ("images", "lines", "clouds", "lists")  # arrays that evaluators keep for figures


@dataclass
class _Checked:
    """A row at a profile: its mistakes, and the names that its numbers will have, if known."""

    row: Row
    number: int
    mistakes: list[tuple[Path_, str]]
    metrics: set[str] | None = None
    curves: set[str] | None = None
    images: set[str] | None = None
    lines: set[str] | None = None
    clouds: set[str] | None = None
    lists: set[str] | None = None


def _check_row(row: Row, number: int, blocks: Located) -> _Checked:
    """Check each block alone, then build what can be built and check that it fits together."""
    out = _Checked(row, number, list(_check_stages(blocks)))
    named = list(_parts(blocks))
    sound = []
    for kind, path, block in named:
        mistakes = list(_check_block(kind, block, path))
        out.mistakes += mistakes
        if not mistakes and kind != "optimizer":
            sound.append((kind, path, block))
    parts, mistakes = _build(sound)
    out.mistakes += mistakes
    out.mistakes += _check_together(parts)
    out.mistakes += _check_refusals(parts, blocks.get("stand_ins") or {})
    if len(parts) == sum(kind != "optimizer" for kind, _, _ in named):
        out.metrics, out.curves = _names(parts)
        for kept in KEPT:
            names = {name for part in parts for name in getattr(part.built, kept, ())}
            setattr(out, kept, names)
    return out


def _check_stages(blocks: Located) -> Iterator[tuple[Path_, str]]:
    """Yield what is wrong with the form of training stages."""
    for path, stage in _listed(blocks, "train"):
        form = FitStage if isinstance(stage, Mapping) and "fit" in stage else Stage
        try:
            form.model_validate(stage)
        except ValidationError as error:
            for inner, message in validation_mistakes(error, form):
                yield (*path, *inner), message


def _build(
    sound: Iterable[tuple[str, Path_, Any]],
) -> tuple[list[_Part], list[tuple[Path_, str]]]:
    """Build blocks, and return the objects and what cannot be built; a model needs its data."""
    parts: list[_Part] = []
    mistakes: list[tuple[Path_, str]] = []
    context: dict[str, Any] = {}
    for kind, path, block in sound:  # the data come first, then the model
        if kind == "model" and not context:
            continue
        try:
            with torch.device("meta" if kind == "model" else "cpu"):
                built = make(kind, block, **context)
        except BuildError as error:
            mistakes.append(((*path, *error.path), str(error)))
            continue
        parts.append(_Part(kind, path, block, built))
        if kind == "data":
            visible = math.prod(built.shape)
            context = {"visible": visible, "classes": built.classes, "shape": built.shape}
    return parts, mistakes


def _check_together(parts: Sequence[_Part]) -> Iterator[tuple[Path_, str]]:
    """Yield which rules, fits and evaluators cannot work with the model of the row."""
    by_kind = {part.kind: part for part in parts}
    if "model" not in by_kind:
        return
    data, model = by_kind["data"], by_kind["model"]
    yield from _check_values(data, model)
    stages: list[str] = []  # kinds of the stages so far
    for part in parts:
        if part.kind in ("data", "model"):
            continue
        yield from _check_user(part, model, stages)
        if part.kind == "fit" and part.block.get("patience"):
            yield from _check_patience(part, data)
        if part.kind in ("rule", "fit"):
            stages.append(part.kind)


def _check_values(data: _Part, model: _Part) -> Iterator[tuple[Path_, str]]:
    """Yield why a model cannot take the values of a data set, judged by its tiny instance."""
    cls: type[Dataset] = type(data.built)
    tiny = _tiny(cls)
    if tiny is not None:
        try:
            admit(tiny[1], tiny[0], model.built)
        except ValueError as error:
            yield data.path, str(error)


@functools.cache
def _tiny(cls: type[Dataset]) -> tuple[Dataset, Splits] | None:
    """Return the tiny instance of a data set and its points; None if these come from files."""
    with contextlib.suppress(Exception):  # a class that has none is checked where a case is built
        dataset = cls.tiny()
        return None if dataset.files else (dataset, dataset.load(0))
    return None


def _check_user(part: _Part, model: _Part, stages: Sequence[str]) -> Iterator[tuple[Path_, str]]:
    """Yield why a rule, fit or evaluator cannot work with a model after these kinds of stages."""
    wanted = part.built.trains()
    if not isinstance(model.built, wanted):
        use, other = part.block["use"], model.block["use"]
        yield (*part.path, "use"), f"{use} needs a {wanted.__name__}; {other} is not one"
    elif part.kind == "rule":
        try:
            part.built.check(model.built)
        except Exception as error:
            yield part.path, construction_error(part.block["use"], error)
    elif isinstance(model.built, Classifier) and model.built.pretrained:
        yield from _check_fine_tuning(part, model, stages)


def _check_refusals(
    parts: Sequence[_Part], stand_ins: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Path_, str]]:
    """Yield why evaluators refuse a model, or points of a data set that the row may use."""
    measuring = [part for part in parts if part.kind in ("validate", "evaluate")]
    by_kind = {part.kind: part for part in parts}
    if "model" not in by_kind:
        return
    data, model = by_kind["data"], by_kind["model"]
    for use in stand_ins.get(data.block["use"], [data.block["use"]]):
        pair = [data, model]
        if use != data.block["use"]:
            other = ("data", data.path, {**data.block, "use": use})
            pair, _ = _build([other, (model.kind, model.path, model.block)])
        if len(pair) < 2:
            continue  # another check tells why this one cannot be built
        points, measured = (part.built for part in pair)
        for part in measuring:
            if not isinstance(measured, part.built.trains()):
                continue
            try:
                part.built.refuse(measured, tuple(points.shape))
            except Exception as error:
                yield part.path, construction_error(part.block["use"], error)


def _check_fine_tuning(
    part: _Part, model: _Part, stages: Sequence[str]
) -> Iterator[tuple[Path_, str]]:
    """Yield what is wrong with the place of a fit or evaluator of a pretrained net."""
    use = part.block["use"]
    last = stages[-1] if stages else None
    measures_net = part.kind == "evaluate" and issubclass(part.built.trains(), Classifier)
    if part.kind == "fit" and "rule" not in stages:
        message = (
            f"{use} fine-tunes what earlier stages with a rule have learned, but there are none"
        )
        yield part.path, message
    elif part.kind == "fit" and last == "fit":
        message = (
            f"{use} starts from what stages with a rule have learned, so the fit before it would "
            "be lost"
        )
        yield part.path, message
    elif measures_net and last == "rule":
        message = (
            f"{use} measures the net of {model.block['use']}, which only a `fit` after the "
            "last stage with a rule creates; the last stage is not a fit"
        )
        yield (*part.path, "use"), message


def _check_patience(part: _Part, data: _Part) -> Iterator[tuple[Path_, str]]:
    """Yield a problem if a fit with patience has no validation points."""
    if getattr(data.built, "validation", None) == 0:
        message = f"{part.block['use']} needs validation points, but the data set has none"
        yield (*part.path, "patience"), message


def _names(parts: Iterable[_Part]) -> tuple[set[str] | None, set[str] | None]:
    """Return patterns of a result's metrics and curves; None if a class declares none."""
    metrics: set[str] = set()
    curves: set[str] = set()
    open_metrics = open_curves = False
    for part in parts:
        if part.kind == "rule":
            curves.add(vocabulary.TRAIN_OBJECTIVE)
        elif part.kind == "fit":
            curves |= set(part.built.curves)
            open_curves |= not part.built.curves
        elif part.kind == "validate":
            curves |= {f"{vocabulary.VALIDATION}{name}" for name in part.built.metrics[:1]}
            open_curves |= not part.built.metrics
        elif part.kind == "evaluate":
            metrics |= set(part.built.metrics)
            curves |= set(part.built.curves)
            open_metrics |= not part.built.metrics
            open_curves |= not part.built.metrics
    return None if open_metrics else metrics, None if open_curves else curves


def check(spec: Spec) -> list[Problem]:
    """Return every mistake in a spec's names and arguments, at every profile.

    Builds the model of each row, on the meta device.
    """
    found: dict[tuple[int, str, str], Problem] = {}

    def note(line: int, field: str, message: str, row: str = "") -> None:
        found.setdefault((line, field, message), Problem(spec.file, line, field, message, row))

    known: dict[str, _Checked] = {}  # by content: many rows differ in their coordinates only
    for profile in PROFILES:
        rows = []
        for number, row in enumerate(spec.rows):
            if not runs_at(spec, row, profile) and profile != "full":
                continue
            blocks = resolve(spec, row, profile)
            content = json.dumps(plain(blocks), default=str)
            if content not in known:
                known[content] = _check_row(row, number, blocks)
            rows.append(replace(known[content], row=row, number=number))
            for path, message in rows[-1].mistakes:
                note(blocks.line_at(path), ".".join(map(str, path)), message, label(row.at))
            for name in {n for names in (blocks.get("stand_ins") or {}).values() for n in names}:
                try:
                    find_class("data", name)
                except BuildError as error:
                    note(blocks.line_at(("stand_ins",)), "stand_ins", str(error))
        for path, message in _check_names(spec, rows):
            note(spec.document.line_at(path), dotted(path), message)
    return list(found.values())


def _check_names(spec: Spec, rows: Sequence[_Checked]) -> Iterator[tuple[Path_, str]]:
    """Yield the names of numbers and pictures in a spec that no evaluator of its rows returns."""

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
            yield from ask(("rows", row.number, "also", name), name, "metric", [row])
    for i, claim in enumerate(spec.claims):
        concerned = [r for r in rows if r.row.matches(claim.where)]
        yield from ask(("claims", i, "metric"), claim.metric, "metric", concerned)
    for i, figure in enumerate(spec.figures):
        concerned = [r for r in rows if r.row.matches(figure.where)]
        yield from ask(("figures", i, "metric"), figure.metric, "metric", concerned)
        yield from ask(("figures", i, "curve"), figure.curve, "curve", concerned)
        yield from ask(("figures", i, "minus"), figure.minus, "curve", concerned)
        for kept in KEPT:
            for j, name in enumerate(getattr(figure, kept) or []):
                yield from ask(("figures", i, kept, j), name, kept.removesuffix("s"), concerned)
