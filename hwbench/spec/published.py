"""Published values, with their uncertainty and rounding, and how they are known."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from hwbench.spec.coordinates import Coordinates

LONGEST_NUMBER = 80  # characters of a published value
Known = Literal["document", "code", "memory"]
Confidence = Literal["high", "medium", "low"]


class Strict(BaseModel):
    """Unknown keys are errors, values are not coerced, objects do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Published(Strict):
    """A published value with its uncertainty, if it has one, and its rounding.

    Attributes:
        text: the value as published.
        value: the number, in the metric's unit.
        error: the uncertainty.
        rounding: half a unit of the last digit.
    """

    text: str
    value: float
    error: float | None = None
    rounding: float = 0.0

    @classmethod
    def parse(cls, text: str | int | float) -> Published:
        """Parse '-95.182 ± 0.022', '≈85.5' or '12.0'.

        >>> Published.parse("-95.182 ± 0.022").error
        0.022
        >>> Published.parse("85.5").rounding
        0.05
        """
        words = str(text).strip()
        if len(words) > LONGEST_NUMBER:
            raise ValueError(f"expected a number of at most {LONGEST_NUMBER} characters")
        number = r"[-+−]?\d+(?:\.(\d+))?(?:[eE]([-+]?\d+))?"
        match = re.fullmatch(rf"[≈~]?\s*({number})\s*(?:(?:±|\+/-|\+-)\s*({number}))?", words)
        if match is None:
            raise ValueError(
                f"{words!r} is not a number, nor a number ± its uncertainty (like -95.182 ± 0.022)"
            )
        value, decimals, exponent, error = match.groups()[:4]
        rounding = float(f"0.5e{int(exponent or 0) - len(decimals or '')}")
        number_value = float(value.replace("−", "-"))
        error_value = float(error.replace("−", "-")) if error else None
        if error_value is not None and error_value < 0:
            raise ValueError(f"{words!r}: an uncertainty cannot be negative")
        if not all(math.isfinite(v) for v in (number_value, error_value or 0.0, rounding)):
            raise ValueError(f"{words!r}: expected a finite number")
        return cls(text=words, value=number_value, error=error_value, rounding=rounding)


def _parsed(value: Any) -> Any:
    return Published.parse(value) if isinstance(value, str | int | float) else value


_IN_A_FILE = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})
AsPublished = Annotated[Published, BeforeValidator(_parsed), _IN_A_FILE]


class Quoted(Strict):
    """The published value of a model without a run here, for comparison with the rows.

    Attributes:
        model: its name.
        at: coordinates of the rows beside which the value is shown; all rows if empty.
    """

    model: Annotated[str, Field(min_length=1, max_length=LONGEST_NUMBER)]
    at: Coordinates = {}
    published: AsPublished
    known: Known | None = None
    confidence: Confidence | None = None
    note: str | None = None
