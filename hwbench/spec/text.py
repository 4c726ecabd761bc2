"""Coordinates and blocks as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hwbench.typography import clean, minus, words


def label(at: Mapping[str, object], without: Iterable[str] = ()) -> str:
    """Return coordinates as text: words stand alone, numbers with their name.

    >>> label({"data": "MNIST", "k": 5, "method": "IWAE"}, without=["data"])
    'k = 5, IWAE'
    """
    skip = set(without)
    return ", ".join(coordinate(k, v) for k, v in at.items() if k not in skip)


def coordinate(name: str, value: object) -> str:
    """Return one coordinate as text: a word alone, a number with its name."""
    return clean(value) if isinstance(value, str) else f"{words(name)} = {clean(value)}"


def argument_text(value: Any) -> str:
    """Return an argument of a block in compact form, nested blocks included."""
    if isinstance(value, Mapping):
        return (
            block_text(value)
            if "use" in value
            else "{" + ", ".join(f"{k}: {argument_text(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(argument_text(v) for v in value) + "]" if value else "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return minus(clean(value)) if isinstance(value, int | float) else clean(value)


def block_text(block: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Return a block as one reads a call.

    >>> block_text({"use": "vae.VAE", "latent": 20, "hidden": [400]})
    'vae.VAE(latent = 20, hidden = [400])'
    """
    skip = {"use", *without}
    arguments = ", ".join(
        f"{clean(k)} = {argument_text(v)}" for k, v in block.items() if k not in skip
    )
    return clean(block.get("use", "")) + (f"({arguments})" if arguments else "")
