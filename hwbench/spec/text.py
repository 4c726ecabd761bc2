"""Blocks as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hwbench.typography import clean, minus


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


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested blocks as one mapping from dotted paths to values.

    >>> flat({"model": {"hidden": [400], "use": "vae.VAE"}})
    {'model.hidden': [400], 'model.use': 'vae.VAE'}
    """
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        parts = list(enumerate(value))
    else:
        return {path: value}
    return {
        name: inner
        for key, part in parts
        for name, inner in flat(part, f"{path}.{key}" if path else str(key)).items()
    }
