"""Checks beyond types: references between the parts of a spec, and complete rows."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from hwbench.spec.case import resolve, seeds_of
from hwbench.spec.coordinates import label
from hwbench.spec.document import Located, plain
from hwbench.spec.model import Claim, Row, Spec
from hwbench.spec.problems import Path_, Problem, did_you_mean, dotted
from hwbench.spec.published import Quoted

MOST = 500  # mistakes of one document that are told; more tell nothing more
LONGEST_NAME = 150  # characters of a row's name, which names a folder


def fields_at(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the names allowed beside the key at the end of `path`, for 'did you mean'."""
    inner: Any = model
    for step in path[:-1]:
        if isinstance(inner, type) and issubclass(inner, BaseModel) and step in inner.model_fields:
            inner = _inner_model(inner.model_fields[str(step)].annotation)
    if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
        return []
    return [field.alias or name for name, field in inner.model_fields.items()]


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None


_BRANCH = re.compile(r"[\[(]|^(str|int|float|bool|list|dict)$")


def _path(item: Any) -> Path_:
    """Return the place of a mistake in the document; pydantic's path also has union branches.

    The name of an unknown key is not a branch, even if it looks like one.
    """
    *above, last = item["loc"] or ("",)
    key = (last,) if item["type"] == "extra_forbidden" else ()
    inner = above if key else item["loc"]
    return (*(p for p in inner if not (isinstance(p, str) and _BRANCH.search(p))), *key)


Mistake = tuple[Path_, str]  # the place of a value, and what is wrong with it


def validation_problems(
    error: ValidationError, file: str, document: Located, model: type[BaseModel], prefix: Path_ = ()
) -> list[Problem]:
    """Turn pydantic's errors into Problems with file and line, one for each place.

    Args:
        error: what pydantic found.
        file: the document's name, for people.
        document: the document as read, with its lines.
        model: what the value at `prefix` was checked against.
        prefix: the place of that value.
    """
    found = [((*prefix, *path), message) for path, message in validation_mistakes(error, model)]
    return [Problem(file, document.line_at(p), dotted(p), message) for p, message in found]


def validation_mistakes(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Turn pydantic's errors about a value that was checked against `model` into mistakes."""
    found: dict[Path_, _Wrong] = {}
    for item in error.errors()[:MOST]:
        path = _path(item)
        wrong = found.setdefault(path, _Wrong())
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(str(path[-1]), fields_at(model, path))
            wrong.messages.append(f"unknown key{hint}")
        elif item["type"] == "missing":
            wrong.messages.append("is missing")
        else:
            wrong.expected.setdefault(_short(item["input"]), []).append(_expected(item["msg"]))
    return [(path, wrong.text()) for path, wrong in found.items()]


@dataclass
class _Wrong:
    """What is wrong at one place; `expected` has, for a value found, what each branch accepts."""

    messages: list[str] = field(default_factory=list)
    expected: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def text(self) -> str:
        texts = list(self.messages)
        for value, branches in self.expected.items():
            (verb, first), *others = dict.fromkeys(branches)
            accepted = ", or ".join([verb + first, *(other for _, other in others)])
            texts.append(f"{accepted} (found {value})")
        return "; ".join(dict.fromkeys(texts))


def _expected(message: str) -> tuple[str, str]:
    """Return pydantic's 'Input should be X' as verb and X, and the message of our own validators.

    Pydantic gives no other access to these words.
    """
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    verb = "should be "
    return (verb, text.removeprefix(verb)) if text.startswith(verb) else ("", text)


def _short(value: Any) -> str:
    text = repr(plain(value))
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class _References:
    """The coordinates of a spec's rows with their values, which other parts may name."""

    values: dict[str, list[str]]

    def check_name(self, key: str | None, path: Path_) -> Iterator[Mistake]:
        """Yield a mistake if no row has this coordinate."""
        if key and key not in self.values:
            yield path, f"no coordinate {key!r}{did_you_mean(key, list(self.values))}"

    def check(self, where: Mapping[str, Any], path: Path_) -> Iterator[Mistake]:
        """Yield the coordinates and values that no row has."""
        for key, value in where.items():
            if key not in self.values:
                yield from self.check_name(key, (*path, key))
                continue
            known = sorted(set(self.values[key]))
            for v in value if isinstance(value, list) else [value]:
                if str(v) not in known:
                    yield (*path, key), f"no row has {key} {str(v)!r}{did_you_mean(str(v), known)}"


def reference_problems(spec: Spec, document: Located, file: str) -> Iterator[Problem]:
    """Yield duplicate or unknown coordinates and names in rows, claims, profiles and layout."""
    values: dict[str, list[str]] = {key: [] for key in spec.rows[0].at}
    for row in spec.rows:
        for key, value in row.at.items():
            values.setdefault(key, []).append(str(value))
    references = _References(values)
    for path, message in (
        *_row_mistakes(spec.rows),
        *_quoted_mistakes(spec.quoted, references),
        *_claim_mistakes(spec.claims, references),
        *_layout_mistakes(spec, references),
    ):
        yield Problem(file, document.line_at(path), dotted(path), message)


def _row_mistakes(rows: Sequence[Row]) -> Iterator[Mistake]:
    """Yield rows with duplicate or unordered coordinates, or with a name too long for a folder."""
    order = list(rows[0].at)
    numbers: dict[str, int] = {}
    for i, row in enumerate(rows):
        path: Path_ = ("rows", i, "at")
        if row.name in numbers:
            first = numbers[row.name]
            yield path, f"same coordinates as rows[{first}] (as a file name: {row.name})"
        numbers.setdefault(row.name, i)
        if len(row.name) > LONGEST_NAME:
            found = f"{len(row.name)} characters, at most {LONGEST_NAME}"
            yield path, f"too long to name a folder ({found})"
        if list(row.at) != order:
            yield path, f"every row has the same coordinates in the same order: {', '.join(order)}"


def _quoted_mistakes(quoted: Sequence[Quoted], references: _References) -> Iterator[Mistake]:
    """Yield models that are quoted twice at the same place, and places without rows."""
    seen: set[tuple[str, str]] = set()
    for i, value in enumerate(quoted):
        yield from references.check(value.at, ("quoted", i, "at"))
        place = value.model, label(value.at)
        if place in seen:
            yield ("quoted", i, "model"), f"{value.model!r} is quoted twice at the same place"
        seen.add(place)


def _claim_mistakes(claims: Sequence[Claim], references: _References) -> Iterator[Mistake]:
    """Yield duplicate ids, and rows of claims that do not exist."""
    numbers: dict[str, int] = {}
    for i, claim in enumerate(claims):
        if claim.id in numbers:
            yield (
                ("claims", i, "id"),
                f"{claim.id!r} is already the id of claims[{numbers[claim.id]}]",
            )
        numbers.setdefault(claim.id, i)
        yield from references.check(claim.where, ("claims", i, "where"))
        for key, values in (claim.order or {}).items():
            yield from references.check({key: values}, ("claims", i, "order"))
            if len(set(map(str, values))) < len(values):
                yield ("claims", i, "order", key), "a value appears twice"
        if claim.gap:
            yield from references.check(claim.gap.better, ("claims", i, "gap", "better"))
            yield from references.check(claim.gap.worse, ("claims", i, "gap", "worse"))
        if claim.within:
            yield from references.check(claim.within.a, ("claims", i, "within", "a"))
            yield from references.check(claim.within.b, ("claims", i, "within", "b"))


def _layout_mistakes(spec: Spec, references: _References) -> Iterator[Mistake]:
    """Yield coordinates that do not exist in profiles, calibration, table layout and figures."""
    for profile, blocks in spec.profiles.items():
        for i, where in enumerate(blocks.rows or []):
            yield from references.check(where, ("profiles", profile, "rows", i))
    if spec.calibrate:
        yield from references.check(spec.calibrate.by, ("calibrate", "by"))
        yield from references.check_name(spec.calibrate.coordinate, ("calibrate", "coordinate"))
    for key in spec.show.rows:
        yield from references.check_name(key, ("show", "index"))
    yield from references.check_name(spec.show.columns, ("show", "columns"))
    yield from references.check_name(spec.show.split, ("show", "split"))
    for i, figure in enumerate(spec.figures):
        yield from references.check(figure.where, ("figures", i, "where"))
        yield from references.check_name(figure.series, ("figures", i, "series"))
        if figure.kind == "rows":
            yield from references.check_name(figure.x, ("figures", i, "x"))


def completeness(spec: Spec, document: Located, file: str) -> Iterator[Problem]:
    """Yield what a row lacks when the defaults are added."""
    for i, row in enumerate(spec.rows):
        line = document.line_at(("rows", i))
        if spec.judged(row) is not None and spec.margin(row) is None:
            yield Problem(
                file,
                line,
                f"rows[{i}].margin",
                "a published number needs a margin here or in defaults",
            )
        if spec.deterministic(row) and seeds_of(spec, row, "full") > 1:
            yield Problem(
                file,
                line,
                f"rows[{i}].deterministic",
                "no seed changes such a row, so it needs `seeds: 1`",
            )
        blocks = resolve(spec, row, "full")
        for missing in [k for k in ("data", "model", "evaluate") if not blocks.get(k)]:
            yield Problem(
                file, line, f"rows[{i}].{missing}", "is given neither in the row nor in defaults"
            )
        if bool(blocks.get("train")) == bool(blocks.get("fit")):
            yield Problem(
                file, line, f"rows[{i}].train", "give either train or fit, here or in defaults"
            )


UNKNOWN = "?"  # placeholder for a rejected name, so that later checks skip it
_HARMLESS: dict[str, Any] = {
    "id": "x/x", "title": "", "source": "", "metric": UNKNOWN, "better": "higher",
    "show": {"index": []},
}  # fmt: skip


def salvage(document: Located, error: ValidationError, file: str) -> tuple[Spec, Located] | None:
    """Return the spec without the rejected values, so that other mistakes can be found in it.

    None if nothing valid remains.
    """
    out = copy.deepcopy(document)
    for item in error.errors():
        match _path(item):
            case ("claims", int(i), *_):
                out["claims"][i] = {
                    "id": f"claims[{i}]",
                    "text": "",
                    "gap": {"better": {}, "worse": {}},
                }
            case ("figures", int(i), *_):
                out["figures"][i] = {"title": "", "kind": "curve", "curve": UNKNOWN}
            case ("rows", int(i), str(key), *_) if key != "at":
                out["rows"][i].pop(key, None)
            case ("defaults" | "profiles" as part, str(key), *_):
                out[part].pop(key, None)
            case (str(key), *_) if key in _HARMLESS:
                out[key] = _HARMLESS[key]
            case (str(key), *_) if key != "rows":
                out.pop(key, None)
    try:
        return Spec.from_document(out, file), out
    except ValidationError:
        return None
