"""Pack the checkpoints of unfinished cases into one file, and unpack them on another machine."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, ValidationError

from hwbench.runner.job import Job, run_folder
from hwbench.spec import UserError, display_path
from hwbench.spec.published import Strict
from hwbench.store import write_atomically

MANIFEST = "manifest.json"
UNREADABLE = (  # whatever a file raises that is no archive, or a damaged one
    OSError,
    EOFError,
    KeyError,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    ValidationError,
)
NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[a-z]+(-[0-9a-f]{8})?")  # of a run's folder


class Packed(Strict):
    """An unfinished case: its label, the name of its folder, and the sha256 of each file."""

    label: str
    folder: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    files: dict[str, str]


class Manifest(Strict):
    """What an archive holds."""

    hwbench_cache: Annotated[int, Field(ge=1, le=1)] = 1
    runs: list[Packed]


def pack(jobs: Iterable[Job], file: Path) -> list[str]:
    """Write the checkpoints of unfinished jobs into an archive; returns the labels of the cases.

    Jobs without checkpoints are left out. Weights of finished cases stay where they are.

    Raises:
        UserError: no job has checkpoints.
        StoreError: the file cannot be written.
    """
    runs, contents = [], []
    for job in jobs:
        folder = run_folder(job)
        if not (folder / "state.safetensors").is_file():
            continue
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
        runs.append(Packed(label=job.case.label, folder=folder.name, files=digests))
        contents += [(f"{folder.name}/{name}", data) for name, data in found.items()]
    if not runs:
        raise UserError("nothing to pack: none of these cases has checkpoints")
    manifest = Manifest(runs=runs).model_dump_json(indent=1).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in [(MANIFEST, manifest), *contents]:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    write_atomically(file, buffer.getvalue(), overwrite=True)
    return [run.label for run in runs]


def unpack(file: Path, cache: Path) -> list[tuple[str, bool]]:
    """Unpack checkpoints into the cache; returns each label and whether it was unpacked.

    Existing checkpoints are kept. The sha256 of every file is checked, and no name in an archive
    leads out of the folder of its run.

    Raises:
        UserError: the file is not such an archive, or is damaged; then nothing is unpacked.
        StoreError: the cache cannot be written.
    """
    try:
        with tarfile.open(file) as archive:
            members = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
            contents = {name: data.read() for name, data in members.items() if data is not None}
        manifest = Manifest.model_validate_json(contents.pop(MANIFEST))
    except UNREADABLE as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{display_path(file)} is not an archive of checkpoints: {why}") from None
    for run in manifest.runs:
        for name, digest in run.files.items():
            content = contents.get(f"{run.folder}/{name}")
            if content is None or not _stays_inside(name):
                raise UserError(f"{display_path(file)}: {name!r} is missing or misplaced")
            if hashlib.sha256(content).hexdigest() != digest:
                raise UserError(f"{display_path(file)}: {name} is damaged (its sha256 differs)")
    return [(run.label, _place(run, contents, cache)) for run in manifest.runs]


def _stays_inside(name: str) -> bool:
    """Return whether a name below a folder is as `pack` writes them, and leads nowhere else."""
    path = PurePosixPath(name)
    relative = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return relative and str(path) == name and not set(name) & set("\\:\0")


def _place(run: Packed, contents: dict[str, bytes], cache: Path) -> bool:
    folder = cache / "runs" / run.folder
    if (folder / "state.safetensors").exists():
        return False
    # The state comes last: without it, the other files are ignored.
    for name in sorted(run.files, key=lambda name: name == "state.safetensors"):
        write_atomically(folder / name, contents[f"{run.folder}/{name}"], overwrite=True)
    return True
