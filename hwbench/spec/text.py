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
