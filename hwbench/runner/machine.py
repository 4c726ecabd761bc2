"""Facts about the machine and the code that a result records."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import resource
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hwbench.build import BuildError
from hwbench.sources import PACKAGE


def pick_device(name: str = "auto") -> torch.device:
    """Return the named device; `auto` is a CUDA GPU if there is one, else the CPU.

    Raises:
        build.BuildError: the device is unavailable.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BuildError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def machine(device: torch.device) -> dict[str, Any]:
    """Return what numbers may depend on besides the case: device, threads, precision, versions."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({name})",
        "threads": torch.get_num_threads(),
        "precision": f"float32, matmul {torch.get_float32_matmul_precision()}",
        "subnormals": "kept" if keeps_subnormals() else "flushed to zero",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hwbench": metadata.version("hwbench"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def keeps_subnormals() -> bool:
    """Return whether this thread computes with subnormal numbers instead of zeros."""
    return bool(torch.full((), torch.finfo(torch.float32).tiny) / 2 != 0)


def commit() -> str | None:
    """Return the git commit of the code, with `-dirty` if its sources differ; None outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return f"{head}-dirty" if git("status", "--porcelain", "--", str(PACKAGE)) else head
    except (OSError, subprocess.SubprocessError):
        return None


def quiet_lightning() -> None:
    """Silence Lightning, and keep it from treating a SLURM batch job as its own cluster."""
    import pytorch_lightning  # noqa: F401 - sets its log level when first imported

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    if "SLURM_NTASKS" in os.environ:
        os.environ["SLURM_JOB_NAME"] = "interactive"


def reset_peak_memory() -> None:
    """Start counting the peak anew, because a worker runs many cases; works on Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> float:
    """Return the peak resident memory since `reset_peak_memory`, in MiB."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
