"""One case from its blocks to its result: train, evaluate, record."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from hwbench import pipeline, products, vocabulary
from hwbench.build import plugins
from hwbench.datasets import files
from hwbench.numerics import stream
from hwbench.protocols import Diverged, Evaluation, GenerativeModel, Hooks
from hwbench.runner import onednn
from hwbench.runner.job import Job, Report, run_folder
from hwbench.runner.machine import commit, machine, peak_memory, pick_device, reset_peak_memory
from hwbench.runner.stages import reuse_stages, share_stage, sharing_report
from hwbench.sources import fingerprint
from hwbench.spec import Case
from hwbench.store import Result, StoredCurve, StoredMetric, write_atomically

if TYPE_CHECKING:  # Lightning takes seconds to import, so only workers import it
    from hwbench.learner import Progress

ABSURD = 1e9  # a fit whose curve exceeds this has diverged
SAMPLES = 25  # images of each row's first seed, for the report


def run_case(
    job: Job, report: Report, should_stop: Callable[[], bool], started: str = ""
) -> tuple[Result, dict[str, np.ndarray]]:
    """Train and evaluate one case; returns its result and per-point arrays, not yet stored."""
    device = pick_device(job.device)
    folder = run_folder(job)
    reset_peak_memory()
    state = folder / "state.safetensors"
    reuse_stages(job, state)
    if state.exists():
        report({"resumed": True})
    hooks = Hooks(report=sharing_report(job, state, report), stop=should_stop)
    built = pipeline.construct(job.case, device)
    checksums = files.checksums(built.dataset.files)  # now: a file may be replaced during the run
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    progress = _train(job.case, built, folder, hooks)
    share_stage(job, state)
    _save_weights(built, folder)
    found, seconds = _evaluate(job.case, built, folder, hooks)
    refuse_no_number(found)
    result, per_point = _record(job, built, progress, found, seconds, started)
    result.checksums = checksums
    return result, per_point


def _train(case: Case, built: pipeline.Built, folder: Path, hooks: Hooks) -> Progress:
    """Train all stages; returns the progress.

    Raises:
        Diverged: a curve of a fit left all bounds.
    """
    progress = pipeline.train(case, built, folder, hooks)
    if any("fit" in stage for stage in case.train):
        refuse_diverged(progress.curves)
    return progress


def _save_weights(built: pipeline.Built, folder: Path) -> None:
    state = built.model.state_dict()  # may name one tensor twice: each gets its own copy
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    write_atomically(folder / "model.safetensors", save(weights), overwrite=True)


def _record(
    job: Job,
    built: pipeline.Built,
    progress: Progress,
    found: Evaluation,
    evaluating: float,
    started: str,
) -> tuple[Result, dict[str, np.ndarray]]:
    """Return the result of a case and its arrays, with all that a number may depend on.

    Args:
        job: the case and where it ran.
        built: its objects, trained.
        progress: progress of the training.
        found: results of the evaluators.
        evaluating: seconds of the evaluation.
        started: when the run began.
    """
    per_point = {
        name: np.asarray(values)
        for name, values in found.per_point.items()
        if name != vocabulary.LOG_PX_MEAN_WEIGHTS
    }
    diagnostics = dict(found.diagnostics)
    shape = built.dataset.shape
    if job.case.seed == 0 and isinstance(built.model, GenerativeModel) and len(shape) == 2:
        per_point[vocabulary.SAMPLES] = _samples(built.model)
        diagnostics |= {
            vocabulary.IMAGE_HEIGHT: float(shape[0]),
            vocabulary.IMAGE_WIDTH: float(shape[1]),
        }
    rounded = pipeline.wants_bfloat16(job.case) and not products.native(built.device)
    how = {"bfloat16": "by way of float32"} if rounded else {}
    if onednn.active() and built.device.type == "cpu":
        how["products"] = "by oneDNN"
    steps, seconds = progress.steps_total, progress.seconds
    result = Result(
        case=job.case,
        key=job.case.key,
        fingerprint=fingerprint(job.case),
        metrics={name: StoredMetric(**_finite(vars(m))) for name, m in found.metrics.items()},
        diagnostics={k: v if math.isfinite(v) else None for k, v in diagnostics.items()},
        curves=_curves(progress, found),
        seconds={"train": seconds, "evaluate": evaluating},
        steps_per_second=steps / seconds if seconds > 0 else None,
        peak_memory_mb=round(_peak_memory(built.device), 1),
        machine=machine(built.device) | how,
        commit=commit(),
        started=started,
        warnings=found.warnings,
        plugins=plugins(),
        files=list(built.dataset.files),
        banner=job.banner,
        steps=steps,
        parameters=sum(p.numel() for p in built.model.parameters() if p.requires_grad),
        resumed=progress.resumed,
    )
    return result, per_point


def _samples(model: GenerativeModel) -> np.ndarray:
    """Return images [SAMPLES, D] of what the model generates, as bytes.

    Values of both signs are scaled so that zero is grey, and the largest is white or black.
    """
    torch.manual_seed(stream(0, "samples"))
    images = model.sample(SAMPLES)
    if images.min() < 0:
        images = 0.5 + 0.5 * images / images.abs().max()
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _curves(progress: Progress, found: Evaluation) -> dict[str, StoredCurve]:
    """Return the curves of training, thinned, and those of the evaluation."""
    trained = {
        n: StoredCurve(**thin(c)) for n, c in progress.curves.items() if n != vocabulary.STAGE_ENDS
    }
    evaluated = {
        name: StoredCurve(x=list(c.x), y=list(c.y), se=list(c.se))
        for name, c in found.curves.items()
    }
    return trained | evaluated


def _peak_memory(device: torch.device) -> float:
    """Return the peak memory of the run in MiB: that of the GPU where it ran on one."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    return peak_memory()


def refuse_diverged(curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Check that no curve of a fit has diverged.

    Stages with a rule have their own bounds, which depend on the batch (see `learner.Learner`).

    Raises:
        Diverged: y of a point [x, y, …] of a curve is NaN or beyond `ABSURD`.
    """
    for name, points in curves.items():
        for x, y, *_ in points:
            if name != vocabulary.TRAIN_OBJECTIVE and not abs(y) <= ABSURD:  # also NaN
                raise Diverged(
                    f"{name} became {y:.4g} at {x:g}; beyond ±{ABSURD:.0g} it has diverged"
                )


def refuse_no_number(found: Evaluation) -> None:
    """Check that all metrics are finite numbers, as those of a stored result are.

    Raises:
        Diverged: a metric is not a number, or infinite.
    """
    for name, metric in found.metrics.items():
        if not math.isfinite(metric.value):
            raise Diverged(f"{name} is {metric.value}, which is no number")


def _evaluate(
    case: Case, built: pipeline.Built, folder: Path, hooks: Hooks
) -> tuple[Evaluation, float]:
    """Return the evaluation and its seconds, including those of earlier, interrupted runs."""
    path = folder / "evaluate-seconds"
    earlier = 0.0
    with contextlib.suppress(OSError, ValueError):  # a damaged file is as good as none
        earlier = float(path.read_text(encoding="ascii"))
    clock = time.monotonic()
    try:
        return pipeline.evaluate(case, built, folder, hooks), earlier + time.monotonic() - clock
    finally:
        seconds = earlier + time.monotonic() - clock
        write_atomically(path, f"{seconds:.3f}".encode(), overwrite=True)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) and k != "value" else v
        for k, v in values.items()
    }


def thin(points: Sequence[Sequence[float]], most: int = 200) -> dict[str, list[float]]:
    """Return at most `most` points of a curve, evenly spread, including its ends."""
    keep = points
    if len(points) > most:
        keep = [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
    return {"x": [round(float(p[0]), 4) for p in keep], "y": [float(p[1]) for p in keep]}
