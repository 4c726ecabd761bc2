"""A world of its own for each test: no folder of the user's, no cache, no network."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hwbench.datasets import files


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder in which no file can be had from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HWBENCH_DATA", raising=False)
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(files, "_answers", lambda address: False)
    files.forget()
    return tmp_path


@pytest.fixture
def declare(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., files.File]:
    """Declare a file by its content (None: no checksum is known), in place of `checksums.yaml`."""
    table: dict[str, files.File] = {}
    monkeypatch.setattr(files, "declared", lambda: table)

    def add(
        name: str,
        content: bytes | None,
        addresses: tuple[str, ...] = (),
        packed: bool = False,
        md5: bool = False,
    ) -> files.File:
        def form(raw: bytes | None) -> files.Form:
            if raw is None:
                return files.Form()
            if md5:
                return files.Form(md5=hashlib.md5(raw).hexdigest())
            return files.Form(sha256=hashlib.sha256(raw).hexdigest(), bytes=len(raw))

        gz = form(None if content is None else gzip.compress(content, mtime=0)) if packed else None
        table[name] = files.File(
            name, form(content), gz, addresses, "about", "origin", "free", "none"
        )
        return table[name]

    return add


@pytest.fixture
def place(declare: Callable[..., files.File], alone: Path) -> Callable[[str, bytes], Path]:
    """Declare a file and put it into `data/` of the working folder."""

    def put(name: str, content: bytes) -> Path:
        declare(name, content)
        path = alone / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return put


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skip where real files are not on this machine; nothing is downloaded for a test."""

    def check(*names: str) -> None:
        if not files.available(names, download=False):
            pytest.skip(f"not on this machine: {', '.join(names)}")

    return check
