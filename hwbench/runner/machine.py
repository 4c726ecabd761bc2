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

# Variables that decide how torch and its libraries compute; Lightning's have no effect at all.
DECISIVE = (
    "ATEN_CPU_CAPABILITY",
    "BLAS_CORETYPE",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_",
    "TORCH_CUDNN_V8_API_",
    "TORCH_LINALG_PREFER_",
)


class DeviceError(BuildError):
    """A device is unavailable, or cannot compute."""


def pick_device(name: str = "auto") -> torch.device:
    """Return the named device; `auto` is a CUDA GPU if there is one, else the CPU.

    Raises:
        DeviceError: the device is unavailable, or holds no numbers, as `meta`.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        float(torch.ones(1, device=device).sum())
    except (RuntimeError, AssertionError, ImportError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeviceError(f"device {name!r} cannot be used: {why}") from None
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def machine(device: torch.device) -> dict[str, Any]:
    """Return what numbers may depend on besides the case: device, threads, precision, versions.

    `environment` holds those of the `DECISIVE` variables that are set, if any is.
    """
    name = processor("model name") or platform.processor() or platform.machine()
    found = {k: v for k, v in sorted(os.environ.items()) if k.startswith(DECISIVE)}
    dtype = str(torch.get_default_dtype()).removeprefix("torch.")
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({name})",
        "threads": torch.get_num_threads(),
        "precision": f"{dtype}, matmul {torch.get_float32_matmul_precision()}",
        "subnormals": "kept" if keeps_subnormals() else "flushed to zero",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hwbench": metadata.version("hwbench"),
        "system": f"{platform.system()} {platform.machine()}",
        **({"environment": found} if found else {}),
    }


def processor(fact: str) -> str | None:
    """Return a fact about the processor by its name in /proc/cpuinfo; None if it is not listed."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(fact):
                return line.split(":", 1)[1].strip()
    return None


def keeps_subnormals() -> bool:
    """Return whether this thread computes with subnormal numbers instead of zeros."""
    return bool(torch.full((), torch.finfo(torch.float32).tiny) / 2 != 0)


def commit() -> str | None:
    """Return the git commit of the code, with `-dirty` if its sources differ; None outside git.

    Only a repository that tracks the package's own files counts, whatever GIT_DIR says.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20, env=own
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", str(PACKAGE / "__init__.py"))
        head = git("rev-parse", "--short=12", "HEAD")
        return f"{head}-dirty" if git("status", "--porcelain", "--", str(PACKAGE)) else head
    except (OSError, subprocess.SubprocessError):
        return None


def quiet_lightning() -> None:
    """Silence Lightning, and drop the variables that would give its classes other defaults."""
    import pytorch_lightning  # noqa: F401 - sets its log level when first imported

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in [name for name in os.environ if name.startswith("PL_")]:
        del os.environ[name]


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
