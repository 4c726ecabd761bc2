"""One of the two codes in a process of its own."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwbench.executors.local import environment
from hwbench.spec import Case, UserError

# Plain kernels in place of vectorised ones: what they change is what rounding may change. The
# Makefile takes baselines with the same.
KERNELS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
DRIVER = Path(__file__).with_name("driver.py")
THREADS = 1
Numbers = dict[str, np.ndarray]


class SideError(UserError):
    """A side could not answer; the message is the reason in one line."""


def as_sent(case: Case) -> dict[str, Any]:
    """Return a case as it is sent, without defaults: older code may not know their fields."""
    return case.model_dump(exclude_defaults=True)


class Side:
    """A process that runs the code of a checkout.

    Args:
        root: the checkout.
        scratch: an existing folder for what it computes.
        device: where cases run.
        extra: environment variables besides those of every worker.
        limit: seconds that an answer may take.
        plugins: packages whose classes cases may name, the same for both codes.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        device: str = "cpu",
        extra: Mapping[str, str] | None = None,
        limit: float = 600.0,
        plugins: Sequence[str] = (),
    ) -> None:
        self.root, self.scratch, self.device, self.limit = root, scratch, device, limit
        self.extra, self.plugins = dict(extra or {}), tuple(plugins)
        self._process: subprocess.Popen[str] | None = None
        self._log = scratch / "log"

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def identities(self, cases: list[Case]) -> list[tuple[str, str] | str]:
        """Return key and fingerprint of each case, or why there is none."""
        said = self._ask({"ask": "identities", "cases": [as_sent(c) for c in cases]})
        return [i if isinstance(i, str) else (i[0], i[1]) for i in said["identities"]]

    def here(self, cases: list[Case]) -> list[bool]:
        """Return of each case whether its data are on this machine."""
        texts = [json.dumps(case.data, sort_keys=True) for case in cases]
        blocks = {text: case.data for text, case in zip(texts, cases, strict=True)}
        said = self._ask({"ask": "here", "blocks": list(blocks.values())})["here"]
        found = dict(zip(blocks, said, strict=True))
        return [found[text] for text in texts]

    def run(self, case: Case) -> tuple[Numbers, dict[str, Any]]:
        """Run a whole case; returns its numbers by name, and the `machine`.

        Raises:
            SideError: it failed, or took too long.
        """
        cache = self.scratch / "cache"
        cache.mkdir(exist_ok=True)
        return self._numbers({"ask": "run", "case": as_sent(case), "cache": str(cache)})

    def steps(self, case: Case, points: int) -> tuple[Numbers, dict[str, Any]]:
        """Train a shortened case; returns its numbers by name, and how far it came.

        Args:
            case: see `cases.shortened`.
            points: number of synthetic training points, 0 to take the real ones.

        Raises:
            SideError: it failed, or took too long.
        """
        return self._numbers({"ask": "steps", "case": as_sent(case), "points": points})

    def _numbers(self, question: dict[str, Any]) -> tuple[Numbers, dict[str, Any]]:
        to = self.scratch / "numbers.npz"
        said = self._ask({**question, "device": self.device, "to": str(to)})
        with np.load(to, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        to.unlink()
        return found, said

    def _start(self) -> subprocess.Popen[str]:
        # in a batch job Lightning would take SLURM for a cluster of its own
        own = {"PYTHONDONTWRITEBYTECODE": "1", "SLURM_JOB_NAME": "interactive"}
        with self._log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-P", str(DRIVER), str(self.root), *self.plugins],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment(THREADS), **self.extra, **own},
                encoding="utf-8",
            )

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(stdout, selectors.EVENT_READ)
                ready = selector.select(self.limit)
            line = stdout.readline() if ready else None
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            why = "its process died" if line == "" else f"it took more than {self.limit:g} s"
            last = self._log.read_text(encoding="utf-8").strip().splitlines()[-1:]
            raise SideError("; ".join([why, *last]))
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise SideError(said["error"])
        return said
