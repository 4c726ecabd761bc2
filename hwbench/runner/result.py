"""One case from its blocks to its result: train, evaluate, record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hwbench import pipeline, products, vocabulary
from hwbench.build import plugins
from hwbench.numerics import stream
from hwbench.protocols import Diverged, Evaluation, GenerativeModel, Hooks
from hwbench.runner.job import Job, Report, run_folder
from hwbench.runner.machine import commit, machine, peak_memory, pick_device, reset_peak_memory
from hwbench.runner.stages import borrow, lend, lending
from hwbench.sources import fingerprint
from hwbench.spec import Case
from hwbench.store import Result, StoredCurve, StoredMetric, write_atomically

ABSURD = 1e9  # nats, or shares, of a point: no fit that means anything comes near
SAMPLES = 25  # images of each row's first seed, for the report


def run_case(
    job: Job, report: Report, should_stop: Callable[[], bool], started: str = ""
) -> tuple[Result, dict[str, np.ndarray]]:
    """Train and evaluate one case; returns its result and per-point arrays, not yet stored."""
    case = job.case
    device = pick_device(job.device)
    folder = run_folder(job)
    reset_peak_memory()
    state = folder / "state.safetensors"
    borrow(job, state)
    if state.exists():
        report({"resumed": True})
    hooks = Hooks(report=lending(job, state, report), stop=should_stop)
    built = pipeline.construct(case, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with products.fast(device, wants_bfloat16(case)) as rounded:
        progress = pipeline.train(case, built, folder, hooks)
    if any("fit" in stage for stage in case.train):
        refuse_diverged(progress.curves)
    lend(job, state)
    state_dict = built.model.state_dict()  # may name one tensor twice: each gets its own copy
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in state_dict.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    found, evaluating = _evaluate(case, built, folder, hooks)
    seconds = {"train": progress.seconds, "evaluate": evaluating}
    per_point = {
        name: np.asarray(values)
        for name, values in found.per_point.items()
        if name != vocabulary.LOG_PX_MEAN_WEIGHTS
    }
    if (
        case.seed == 0
        and isinstance(built.model, GenerativeModel)
        and len(built.dataset.shape) == 2
    ):
        torch.manual_seed(stream(case.seed, "samples"))
        images = (built.model.sample(SAMPLES).clamp(0, 1) * 255).round().to(torch.uint8)
        per_point[vocabulary.SAMPLES] = images.cpu().numpy()
        height, width = built.dataset.shape
        found.diagnostics |= {
            vocabulary.IMAGE_HEIGHT: float(height),
            vocabulary.IMAGE_WIDTH: float(width),
        }
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak = peak_memory()
    curves = {
        name: curve for name, curve in progress.curves.items() if name != vocabulary.STAGE_ENDS
    }
    result = Result(
        case=case,
        key=case.key,
        fingerprint=fingerprint(case),
        metrics={
            name: StoredMetric(**_finite(vars(metric))) for name, metric in found.metrics.items()
        },
        diagnostics={
            name: value if math.isfinite(value) else None
            for name, value in found.diagnostics.items()
        },
        curves={
            **{name: StoredCurve(**thin(points)) for name, points in curves.items()},
            **{
                name: StoredCurve(x=list(c.x), y=list(c.y), se=list(c.se))
                for name, c in found.curves.items()
            },
        },
        seconds=seconds,
        steps_per_second=progress.steps_total / progress.seconds if progress.seconds > 0 else None,
        peak_memory_mb=round(peak, 1),
        machine=machine(device) | ({"bfloat16": "by way of float32"} if rounded else {}),
        commit=commit(),
        started=started,
        warnings=found.warnings,
        plugins=plugins(),
        files=list(built.dataset.files),
        banner=job.banner,
        steps=progress.steps_total,
        resumed=progress.resumed,
    )
    return result, per_point


def refuse_diverged(curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Refuse what a fit ended in where its curves say that it diverged.

    Stages with a rule have bounds of their own, by the size of a batch (see `learner.Learner`).

    Raises:
        Diverged: a point [x, y, …] of a curve is no number, or absurd.
    """
    for name, points in curves.items():
        for x, y, *_ in points:
            if name != vocabulary.TRAIN_OBJECTIVE and not abs(y) <= ABSURD:  # also NaN
                raise Diverged(
                    f"{name} became {y:.4g} at {x:g}; beyond ±{ABSURD:.0g} it has diverged"
                )


def wants_bfloat16(case: Case) -> bool:
    """Say whether a rule of the case asks for products in bfloat16."""
    return any(stage.get("rule", {}).get("precision") == "bfloat16" for stage in case.train)


def _evaluate(
    case: Case, built: pipeline.Built, folder: Path, hooks: Hooks
) -> tuple[Evaluation, float]:
    """Return the evaluation and its seconds, with those of interrupted runs before it."""
    path = folder / "evaluate-seconds"
    before = float(path.read_text(encoding="ascii")) if path.exists() else 0.0
    clock = time.monotonic()
    try:
        return pipeline.evaluate(case, built, folder, hooks), before + time.monotonic() - clock
    finally:
        seconds = before + time.monotonic() - clock
        write_atomically(path, f"{seconds:.3f}".encode(), overwrite=True)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) and k != "value" else v
        for k, v in values.items()
    }


def thin(points: Sequence[Sequence[float]], most: int = 200) -> dict[str, list[float]]:
    """Return at most `most` points of a curve, evenly spread, with its last."""
    keep = points
    if len(points) > most:
        keep = [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
    return {"x": [round(float(p[0]), 4) for p in keep], "y": [float(p[1]) for p in keep]}
