"""YAML as a document in which every value has its line, and the merging of blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hwbench.spec.problems import Path_, Problem, SpecError, display_path


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


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$")
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 13 times as fast
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_VERBATIM = {
    ("rows", "published"),
    ("rows", "source"),
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
            name = str(getattr(key_node, "value", ""))
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
    value = loader.construct_object(node)
    if (
        not isinstance(node, yaml.ScalarNode) or node.style or value is None
    ):  # the C loader's plain style is ''
        return value
    text = str(node.value)
    if keys in _VERBATIM:
        return text
    if _FLOAT.match(text):
        value = float(text)  # YAML 1.1 would read 1e-3 as a word
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem(*place, f"expected a finite number; found {text}"))
        return None
    if isinstance(value, bool):  # on, off, yes, no, dates and 1:30 stay words
        return value if text.lower() in ("true", "false") else text
    return value if isinstance(value, int | float) and ":" not in text else text


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


def plain(value: Any) -> Any:
    """Return `value` with located mappings as ordinary ones (for hashing and JSON)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value
