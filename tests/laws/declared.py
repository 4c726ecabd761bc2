"""What the tests of rules declare to the laws: where a rule differs from others of its protocol."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from hwbench.protocols import Dreamer

Parts = Callable[..., Iterator[Tensor]]  # functions of a model that depend on what a rule learns


def declared(name: str) -> dict[str, Any]:
    """Return the mappings under a name in `tests/rules/test_*.py`, by the rule's name, as one.

    `WAITS`: why the host has to wait for a step of the rule. `LEARNS`: `Parts`, where a rule
    learns less than others of its protocol.
    """
    found: dict[str, Any] = {}
    for path in sorted((Path(__file__).parents[1] / "rules").glob("test_*.py")):
        if re.search(rf"^{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            found |= getattr(importlib.import_module(f"tests.rules.{path.stem}"), name)
    return found


def joint_density(model: Dreamer, x: Tensor) -> Iterator[Tensor]:
    """Dreams train what they come from; a recognition net has no part in log p(x, h)."""
    dreamt, h = model.dream(len(x))
    yield model.log_joint(dreamt, h)
