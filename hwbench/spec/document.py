"""YAML as a document in which every value has its line, and the merging of blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hwbench.spec.problems import Path_, Problem, SpecError, display_path, visible


class Located(dict[str, Any]):
    """A mapping that remembers the line of each key, also after merging."""

    def __init__(self, *args: Any, line: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line
        self.lines: dict[str, int] = {}

    def line_at(self, path: Path_) -> int:
        """Return the line of the value at `path`, or of its nearest parent."""
        value: Any = self
        line = self.line
        for step in path:
            if isinstance(value, Located) and step in value:
                line = value.lines.get(str(step), value.line) or line
                value = value[str(step)]
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
                line = getattr(value, "line", line) or line
            else:
                break
        return line


LENGTHS = ("epochs", "steps")  # a stage has exactly one of them
BYTES, NODES, DEPTH = 2**20, 12_000, 50  # of a file; the largest spec has 41 kB, 6000 and 10
DIGITS = 18  # of an integer, which then fits 64 bits
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$")
_DECIMAL = re.compile(r"[-+]?\d+\.\d*$|[-+]?\.\d+$")
_INTEGER = re.compile(r"[-+]?\d+$")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|nan)$", re.IGNORECASE)
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 13 times as fast
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_VERBATIM = {
    ("rows", "published"),
    ("rows", "source"),
    ("quoted", "published"),
    ("claims", "gap", "published"),
}  # 86.70 has two decimals


def _construct(
    loader: yaml.constructor.SafeConstructor,
    node: yaml.Node,
    file: str,
    problems: list[Problem],
    keys: tuple[str, ...] = (),
    above: tuple[yaml.Node, ...] = (),
) -> Any:
    place = (file, node.start_mark.line + 1, ".".join(keys))
    if node in above:
        problems.append(Problem(*place, "an alias to a block that contains it"))
        return None
    above = (*above, node)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
        problems.append(Problem(*place, f"tags are not allowed (found {node.tag})"))
    if isinstance(node, yaml.MappingNode):
        out = Located(line=node.start_mark.line + 1)
        for key_node, value_node in node.value:
            name = visible(str(getattr(key_node, "value", "")))
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(
                    Problem(file, key_node.start_mark.line + 1, "?", "a key must be a plain word")
                )
                continue
            if name in out:
                message = f"duplicate key (first on line {out.lines[name]})"
                problems.append(Problem(file, key_node.start_mark.line + 1, name, message))
            out[name] = _construct(loader, value_node, file, problems, (*keys, name), above)
            out.lines[name] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, child, file, problems, keys, above) for child in node.value]
    return _scalar(loader, node, keys, place, problems)


def _scalar(
    loader: Any,
    node: Any,
    keys: tuple[str, ...],
    place: tuple[str, int, str],
    problems: list[Problem],
) -> Any:
    """Return a scalar: a word, unless it is plainly a decimal number, true, false or null."""
    text = str(node.value)
    implicit = (not node.style, bool(node.style))  # the C loader's plain style is ''
    if node.tag != loader.resolve(yaml.ScalarNode, text, implicit):
        message = f"tags are not allowed (found {node.tag})"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
    if node.style:
        return visible(text)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if keys in _VERBATIM:
        return text
    if _INTEGER.match(text):
        if len(text.lstrip("+-")) > DIGITS:
            problems.append(Problem(*place, f"expected a number of at most {DIGITS} digits"))
            return None
        return int(text)
    if _FLOAT.match(text) or _DECIMAL.match(text) or _NO_NUMBER.match(text):
        value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if math.isfinite(value):
            return value
        problems.append(Problem(*place, f"expected a finite number; found {text[:60]}"))
        return None
    return text.lower() == "true" if text.lower() in ("true", "false") else text


def _excess(text: str) -> str:
    """Return which limit a text exceeds, if any; aliases count as often as they stand for nodes.

    Only events are read, since the composer needs stack and memory for what it builds.
    """
    if len(text) > BYTES:
        return f"more than {BYTES} characters"
    open_: list[tuple[str | None, int]] = []  # anchor, and nodes before, of each open collection
    sizes: dict[str, int] = {}
    nodes = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if nodes > NODES:
            return f"more than {NODES} values, aliases counted as what they stand for"
        if len(open_) > DEPTH:
            return f"more than {DEPTH} blocks inside each other"
    return ""


def read_yaml(path: Path) -> tuple[Located, list[Problem]]:
    """Read one YAML mapping safely; returns it with the lines of its keys, and the mistakes.

    Raises:
        SpecError: the file cannot be read, or is not YAML, or is not a mapping.
    """
    file = display_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from None
    problems: list[Problem] = []
    loader = None
    try:
        if excess := _excess(text):
            raise SpecError([Problem(file, 1, "(file)", f"too large: {excess}")])
        loader = Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise SpecError([Problem(file, 1, "(file)", "expected a mapping of keys to values")])
        return _construct(loader, node, file, problems), problems
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        message = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        raise SpecError([Problem(file, mark.line + 1 if mark else 1, "(file)", message)]) from None
    finally:
        if loader is not None:
            loader.dispose()


def _stages(value: Any) -> bool:
    """Return whether a value is a list of training stages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, Mapping) and "use" not in v for v in value)
    )


def merge(base: Any, over: Any, *, same_stages: bool = False) -> Any:
    """Return `base` overridden by `over`; a mapping with another `use` replaces its whole block.

    One block over a list of stages changes each stage; a list over one block makes each item a
    stage; two lists are merged item by item, and have as many stages as `over` (with `same_stages`,
    as `base`).

    >>> merge({"use": "a.A", "k": 1, "b": 2}, {"k": 5})
    {'use': 'a.A', 'k': 5, 'b': 2}
    >>> merge({"use": "a.A", "k": 1}, {"use": "b.B"})
    {'use': 'b.B'}
    """
    if isinstance(base, list) and isinstance(over, Mapping):
        return [merge(item, over, same_stages=same_stages) for item in base]
    if isinstance(base, Mapping) and _stages(over):
        return [merge(base, item) for item in over]
    if _stages(base) and _stages(over):
        rest = base[len(over) :] if same_stages else over[len(base) :]
        return [merge(b, o) for b, o in zip(base, over, strict=False)] + rest
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    if "use" in over and over["use"] != base.get("use", over["use"]):
        return over
    out = Located(base, line=getattr(over, "line", 0) or getattr(base, "line", 0))
    out.lines = {**getattr(base, "lines", {}), **getattr(over, "lines", {})}
    for key, value in over.items():
        out[key] = merge(base[key], value, same_stages=same_stages) if key in base else value
    return out


def overridden(blocks: Any, path: Sequence[str], value: Any) -> Any:
    """Return blocks with the value at a path replaced.

    In a list, a number selects one item, `fit` selects all stages with a fit, and any other word
    all other items. Of `epochs` and `steps`, the one that is not set becomes null.

    Raises:
        SpecError: the path leads into a value without parts, or to a missing item of a list.

    >>> overridden({"rule": {"k": 5}, "epochs": 9}, ["steps"], 100)
    {'rule': {'k': 5}, 'epochs': None, 'steps': 100}
    """
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(blocks, list):
        numbered = step.isdecimal()
        if numbered and int(step) >= len(blocks):
            raise SpecError(f"there is no item {step} of {len(blocks)}, counted from 0")
        if not numbered and not all(isinstance(item, Mapping) for item in blocks):
            raise SpecError(f"{step!r} is no item of {blocks!r}; name one by its number, from 0")
        chosen = [
            str(i) == step if numbered else ("fit" in item) == (step == "fit")
            for i, item in enumerate(blocks)
        ]
        inner = rest if numbered else path
        return [
            overridden(item, inner, value) if c else item
            for item, c in zip(blocks, chosen, strict=True)
        ]
    if not isinstance(blocks, Mapping):
        raise SpecError(f"{step!r} is inside of {blocks!r}, which has no parts")
    if step == "use" and not rest:  # the arguments of another class would not fit
        return Located({"use": value}, line=getattr(blocks, "line", 0))
    out = Located(blocks, line=getattr(blocks, "line", 0))
    out.lines = getattr(blocks, "lines", {})
    if "rule" in blocks and not rest and step in LENGTHS:
        other = LENGTHS[1 - LENGTHS.index(step)]
        out |= {other: None} if other in blocks else {}
    out[step] = overridden(blocks.get(step, Located()) if rest else None, rest, value)
    return out


def read_value(text: str) -> Any:
    """Return one YAML value, read as in a spec.

    Raises:
        SpecError: the text is not YAML, or contains something that specs must not contain.

    >>> read_value("[50, 1e-3]")
    [50, 0.001]
    """
    problems: list[Problem] = []
    try:
        if excess := _excess(text):
            raise SpecError(f"{text[:60]!r}: too large: {excess}")
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else _construct(loader, node, "", problems)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        why = getattr(error, "problem", None) or error
        raise SpecError(f"{text[:60]!r}: not valid YAML: {why}") from None
    if problems:
        raise SpecError(f"{text[:60]!r}: {problems[0].message}")
    return value


def plain(value: Any) -> Any:
    """Return `value` with located mappings as ordinary ones (for hashing and JSON)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value
