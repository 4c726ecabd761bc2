"""Which versions of the code compute the same numbers: attestations beside the results.

`hwbench gate --attest` measures how far numbers move between two commits and writes a file into
`attested/` of the results folder, so that a copy of the results includes it. Files are never
overwritten, and the name of each ends in a hash of its content.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwbench.spec import Case, Profile, UserError
from hwbench.store import Result, write_atomically

FOLDER = "attested"
HASH = 12  # characters of a content's hash in the name of its file
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Covered(_Record):
    """A row at a profile whose numbers were compared.

    Attributes:
        content: hash of the row's case without its seed, see `content_of`.
        share: the largest movement of any of its numbers, as a share of what rounding explains.
    """

    spec: str
    row: str
    profile: Profile
    content: str
    share: Share


class Equivalent(_Record):
    """Two fingerprints between which no number moved farther than rounding explains."""

    old: Fingerprint
    new: Fingerprint
    rows: Annotated[list[Covered], Field(min_length=1)]

    @model_validator(mode="after")
    def _two(self) -> Equivalent:
        if self.old == self.new:
            raise ValueError("old and new are the same code")
        return self


class Attestation(_Record):
    """What one comparison of two commits showed.

    Attributes:
        date: day of the comparison, as 2026-11-28.
        machine: the device's name, as in a result.
        kernels: environment of the runs that measured what rounding does.
    """

    schema_version: Literal[1] = 1
    old: str
    new: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    machine: str
    torch: str
    threads: Annotated[int, Field(ge=1)]
    kernels: dict[str, str]
    equivalent: Annotated[list[Equivalent], Field(min_length=1)]


def kind_of_device(name: str) -> str:
    """Return 'CPU' or 'GPU' of a device's name; draws differ between the two."""
    return "CPU" if name.startswith("CPU") else "GPU"


def content_of(case: Case) -> str:
    """Return a hash of what decides a case's numbers besides its seed."""
    return case.model_copy(update={"seed": 0}).key[:16]


def write(folder: Path, attestation: Attestation) -> Path:
    """Store an attestation below a results folder; returns its file.

    Raises:
        StoreError: the folder cannot be written.
    """
    text = _json(attestation)
    name = f"{attestation.old}-{attestation.new}-{_hash(text)}.json"
    path = folder / FOLDER / name
    write_atomically(path, text.encode())
    return path


def _json(attestation: Attestation) -> str:
    """Return an attestation as JSON for people, with each row on one line."""
    text = json.dumps(attestation.model_dump(), indent=1)
    innermost = re.compile(r"\{\n\s*([^][{}]*?)\s*\}")  # a bracket in a string only leaves it long
    return innermost.sub(lambda m: "{" + re.sub(r"\n\s*", " ", m[1]) + "}", text) + "\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH]


def attestations(folder: Path) -> list[Path]:
    """Return the files of attestations of a results folder."""
    return sorted((folder / FOLDER).glob("*.json"))


def read(path: Path) -> Attestation:
    """Read an attestation.

    Raises:
        UserError: the file is not a whole attestation, or was changed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = Attestation.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
    else:
        if path.stem.rpartition("-")[2] == _hash(text):
            return found
        reason = "its name does not end in the hash of its content: it was changed by hand"
    raise UserError(f"{path}: skipped: not an attestation as it was written ({reason})")


@dataclass
class Equivalences:
    """All attestations of a results folder.

    Attributes:
        warnings: one for each file that cannot be used.
    """

    warnings: list[str] = field(default_factory=list)
    _links: defaultdict[tuple[str, str], dict[frozenset[str], float]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    @classmethod
    def read(cls, folder: Path) -> Equivalences:
        """Read the attestations of a results folder; files that are damaged give warnings."""
        out = cls()
        for path in attestations(folder):
            try:
                out.add(read(path))
            except UserError as error:
                out.warnings.append(str(error))
        return out

    def add(self, attestation: Attestation) -> None:
        """Add what an attestation covers; of two measurements of one step the larger counts."""
        kind = kind_of_device(attestation.machine)
        for pair in attestation.equivalent:
            step = frozenset((pair.old, pair.new))
            for row in pair.rows:
                links = self._links[kind, row.content]
                links[step] = max(row.share, links.get(step, 0.0))

    def share(self, result: Result, fingerprint: str) -> float | None:
        """Return how far a result's numbers have moved from its code to that of `fingerprint`.

        It is a share of what rounding explains, added up along the steps between the two (those
        with the smallest sum). None where no steps join the two, or their sum exceeds 1.
        """
        kind = kind_of_device(str(result.machine.get("device", "")))
        links = self._links.get((kind, content_of(result.case)), {})
        found = _shortest(links.items(), result.fingerprint, fingerprint)
        return found if found is not None and found <= 1 else None


def _shortest(links: Iterable[tuple[frozenset[str], float]], start: str, end: str) -> float | None:
    """Return the smallest sum of lengths from start to end, None where they are not joined."""
    near: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for step, length in links:
        a, b = step
        near[a].append((b, length))
        near[b].append((a, length))
    queue, seen = [(0.0, start)], set[str]()
    while queue:
        total, at = heapq.heappop(queue)
        if at == end:
            return total
        if at not in seen:
            seen.add(at)
            for other, length in near[at]:
                heapq.heappush(queue, (total + length, other))
    return None
