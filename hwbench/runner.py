"""Jobs: a case to its stored result, under a lock; its cost; and many through an executor."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import filelock
import numpy as np
import torch
from safetensors.torch import save_file

from hwbench import build, pipeline, products
from hwbench.numerics import stream
from hwbench.protocols import (
    DataMissing,
    Diverged,
    Evaluation,
    Evaluator,
    GenerativeModel,
    HeldOut,
    Hooks,
    Interrupted,
    Model,
)
from hwbench.spec import Block, Case
from hwbench.store import Failure, Result, Store, StoredCurve, StoredMetric, write_atomically

if TYPE_CHECKING:
    from hwbench.learner import Learner

PACKAGE = Path(__file__).parent
TIMED = 1.0  # seconds of an evaluation that an estimate of its duration rests on
ABSURD = 1e9  # nats, or shares, of a point: no fit that means anything comes near
SAMPLES = 25  # images of each row's first seed, for the report
Report = Callable[[dict[str, Any]], None]


def cache_folder() -> Path:
    """Return where checkpoints, weights and locks go: $HWBENCH_CACHE or the user's cache folder."""
    named = os.environ.get("HWBENCH_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hwbench"


def pick_device(name: str = "auto") -> torch.device:
    """Return the device named, or for `auto` a CUDA GPU where there is one, else the CPU.

    Raises:
        build.BuildError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise build.BuildError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}"
        ) from None
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def have(block: Block, download: bool = True) -> bool:
    """Say whether a data block's files are here or can be had; fetches them unless told not to."""
    from hwbench.datasets import files

    try:
        names = pipeline.dataset_of(block).files
    except build.BuildError:
        return False
    return files.available(names) if download else files.obtainable(names)


def is_here(block: Block) -> bool:
    """Say whether a data block's files are on this machine."""
    from hwbench.datasets import files

    return files.available(pipeline.dataset_of(block).files, download=False)


def machine(device: torch.device) -> dict[str, Any]:
    """Return what a number may depend on besides the case: device, threads, precision, versions."""
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
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hwbench": metadata.version("hwbench"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str | None:
    """Return the git commit of the code, `-dirty` where its sources differ; None outside git."""

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


@dataclass(frozen=True)
class Job:
    """One case and where it runs; picklable."""

    case: Case
    results: Path
    cache: Path
    device: str = "auto"
    plugins: tuple[str, ...] = ()
    banner: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    case: Case
    status: Literal["done", "on file", "failed", "missing", "interrupted"]
    message: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def _tame_lightning() -> None:
    """Keep Lightning quiet, and from taking a batch job of SLURM for a cluster of its own."""
    import pytorch_lightning  # noqa: F401 - sets its log level when first imported

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    if "SLURM_NTASKS" in os.environ:
        os.environ["SLURM_JOB_NAME"] = "interactive"


def work(job: Job, report: Report, should_stop: Callable[[], bool]) -> Outcome:
    """Run one job to its stored result; never raises for what is the case's own fault."""
    _tame_lightning()
    store = Store(job.results)
    case = job.case
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    lock = filelock.FileLock(job.cache / "locks" / f"{case.key}.lock")
    lock_path = Path(lock.lock_file)
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except filelock.Timeout:
            report({"waiting": "another process runs this case"})
            if should_stop():
                return Outcome(case, "interrupted")
    try:
        if store.read(case) is not None:
            return Outcome(case, "on file")
        build.allow_plugins(job.plugins)
        result, per_point = run_case(job, report, should_stop, started)
        store.write(result, per_point)
        clean(job)
        values = {name: metric.value for name, metric in result.metrics.items()}
        seconds, warned = time.monotonic() - clock, tuple(result.warnings)
        return Outcome(case, "done", metrics=values, seconds=seconds, warnings=warned)
    except Interrupted:
        return Outcome(case, "interrupted")
    except DataMissing as error:
        _record_failure(store, case, "missing", str(error), started)
        return Outcome(case, "missing", str(error))
    except Exception as error:
        reason = (
            f"{type(error).__name__}: {error}" if not isinstance(error, Diverged) else str(error)
        )
        _record_failure(store, case, "failed", reason, started)
        return Outcome(case, "failed", reason)
    finally:
        lock.release()


def _record_failure(
    store: Store, case: Case, kind: Literal["failed", "missing"], reason: str, started: str
) -> None:
    store.write_failure(
        Failure(
            case=case,
            key=case.key,
            kind=kind,
            reason=reason,
            traceback=traceback.format_exc(),
            started=started,
        )
    )


def run_folder(job: Job) -> Path:
    """Return the folder of a run's checkpoints; code that computes other numbers gets another."""
    name = f"{job.case.key[:16]}-{build.fingerprint(job.case)}-{pick_device(job.device).type}"
    return job.cache / "runs" / name


def stage_file(job: Job, stages: int) -> Path:
    """Return where the state after so many stages stands for every case that trains them alike.

    Such cases have the same data, from the same files, and the same model, seed and stages up to
    there, by the same code on the same machine.
    """
    first = job.case.model_copy(update={"train": job.case.train[:stages], "evaluate": []})
    here = (
        machine(pick_device(job.device)),
        torch.backends.cpu.get_cpu_capability(),
        pipeline.dataset_of(job.case.data).files,
    )
    where = hashlib.sha256(repr(here).encode()).hexdigest()
    name = f"{first.key[:16]}-{build.fingerprint(first)}-{where[:8]}"
    return job.cache / "stages" / f"{name}.safetensors"


def borrow(job: Job, state: Path) -> None:
    """Begin with the stages that another case has trained, where this one has no state yet."""
    for stages in range(len(job.case.train), 0, -1):
        if state.exists():
            return
        _link(stage_file(job, stages), state)


def lend(job: Job, state: Path) -> None:
    """Keep the state for other cases where a stage has just ended, unless it is one whole fit."""
    from hwbench.learner import Checkpoint

    saved = Checkpoint(state).load()
    stages = 0 if saved is None or saved[0].step else saved[0].stage
    if stages and "rule" in job.case.train[stages - 1]:
        _link(state, stage_file(job, stages))


def _link(file: Path, to: Path) -> None:
    """Give a file a second name; both are only ever replaced whole. No run fails for want of it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        name = to.with_name(f".{to.name}.{os.getpid()}")
        name.unlink(missing_ok=True)
        name.hardlink_to(file)
        name.replace(to)


def lending(job: Job, state: Path, report: Report) -> Report:
    """Return a report that lends the state of each stage once the next has begun.

    A stage's first news come before it saves anything: the state is still that of the one before.
    """
    stage = 0

    def reported(news: dict[str, Any]) -> None:
        nonlocal stage
        if news.get("stage", stage) != stage:
            stage = news["stage"]
            lend(job, state)
        report(news)

    return reported


def clean(job: Job) -> None:
    """Remove a finished run's checkpoints; its weights stay."""
    for path in run_folder(job).glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "model.safetensors":
            path.unlink(missing_ok=True)


def run_case(
    job: Job, report: Report, should_stop: Callable[[], bool], started: str = ""
) -> tuple[Result, dict[str, np.ndarray]]:
    """Train and evaluate one case; returns its result and per-point arrays, not yet stored."""
    case = job.case
    device = pick_device(job.device)
    folder = run_folder(job)
    _forget_peak_memory()
    state = folder / "state.safetensors"
    borrow(job, state)
    if state.exists():
        report({"resumed": True})
    hooks = Hooks(report=lending(job, state, report), stop=should_stop)
    built = pipeline.construct(case, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with products.fast(device, _low(case)) as rounded:
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
        if name != "log_px_mean_weights"
    }
    if (
        case.seed == 0
        and isinstance(built.model, GenerativeModel)
        and len(built.dataset.shape) == 2
    ):
        torch.manual_seed(stream(case.seed, "samples"))
        images = (built.model.sample(SAMPLES).clamp(0, 1) * 255).round().to(torch.uint8)
        per_point["samples"] = images.cpu().numpy()
        height, width = built.dataset.shape
        found.diagnostics |= {"image_height": float(height), "image_width": float(width)}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak = _peak_memory()
    curves = {name: curve for name, curve in progress.curves.items() if name != "stage_ends"}
    result = Result(
        case=case,
        key=case.key,
        fingerprint=build.fingerprint(case),
        metrics={
            name: StoredMetric(**_finite(vars(metric))) for name, metric in found.metrics.items()
        },
        diagnostics={
            name: value if math.isfinite(value) else None
            for name, value in found.diagnostics.items()
        },
        curves={
            **{name: StoredCurve(**_thin(points)) for name, points in curves.items()},
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
        plugins=build.plugins(),
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
            if name != "train/objective" and not abs(y) <= ABSURD:  # also NaN
                raise Diverged(
                    f"{name} became {y:.4g} at {x:g}; beyond ±{ABSURD:.0g} it has diverged"
                )


def _low(case: Case) -> bool:
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


def _forget_peak_memory() -> None:
    """Let the peak count from here: a worker runs many cases (Linux; elsewhere it cannot)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_memory() -> float:
    """Return the peak resident memory since `_forget_peak_memory`, in MiB."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 2**10
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) and k != "value" else v
        for k, v in values.items()
    }


def _thin(points: Sequence[Sequence[float]], most: int = 200) -> dict[str, list[float]]:
    """Return at most `most` points of a curve, evenly spread, with its last."""
    keep = points
    if len(points) > most:
        keep = [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
    return {"x": [round(float(p[0]), 4) for p in keep], "y": [float(p[1]) for p in keep]}


# --- how long will it take ------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Seconds of one case on one worker: of each stage, None for a fit, and of the evaluation."""

    stages: tuple[float | None, ...]
    evaluate: float

    @property
    def train(self) -> float:
        """Return the seconds of all stages that are no fits."""
        return sum(seconds for seconds in self.stages if seconds is not None)

    @property
    def total(self) -> float:
        """Return the seconds of the whole, but for fits."""
        return self.train + self.evaluate


def probe(job: Job, report: Report, should_stop: Callable[[], bool]) -> Cost | None:
    """Time a few steps of a case, and the first second of a validation and of its evaluation.

    None where its training cannot be timed (a fit), or was not. What it raises, the run would.
    """
    _tame_lightning()
    try:
        from hwbench.learner import Checkpoint, Progress

        build.allow_plugins(job.plugins)
        built = pipeline.construct(job.case, pick_device(job.device))
        stages: list[float | None] = [None] * len(job.case.train)
        for index, raw in enumerate(job.case.train):
            if should_stop():
                return None
            if "fit" in raw:
                continue
            learner = pipeline.learner_of(
                job.case, built, index, Progress(stage=index), Checkpoint(None), Hooks()
            )
            batch = torch.arange(learner.batch_size, device=built.device)
            x = built.splits.train.batch(batch)[None]
            with products.fast(built.device, _low(job.case)):
                seconds = _pace(learner, x) * learner.steps
            if learner.validate_ is not None and learner.validation is not None:
                every = learner.steps_per_epoch * learner.stage.validate_every
                one = _seconds(learner.validate_, built.model, learner.validation, should_stop)
                seconds += -(-learner.steps // every) * one
            stages[index] = seconds
        if stages and not any("rule" in stage for stage in job.case.train):
            return None
        return Cost(tuple(stages), _evaluation_cost(job.case, built, should_stop))
    except Interrupted:
        return None


def _pace(learner: Learner, x: Tensor) -> float:
    """Return the seconds of a step on x [1, B, D]: a mean over its stage, since steps may grow."""
    learner.run_steps(x)
    clock = time.monotonic()
    for quarter in range(4):
        learner.rule.advance((quarter + 0.5) / 4)
        learner.run_steps(x)
    return (time.monotonic() - clock) / 4


def stage_files(
    job: Job, report: Report, should_stop: Callable[[], bool]
) -> list[tuple[str, bool] | None]:
    """Return the name of what each stage leaves for other cases, and whether it is on file.

    None for a fit, which leaves nothing. Names hold for the process that trains, with its threads.
    """
    files = [
        stage_file(job, number) if "rule" in stage else None
        for number, stage in enumerate(job.case.train, 1)
    ]
    return [None if file is None else (file.name, file.exists()) for file in files]


def foresee(
    asked: tuple[Literal["probe", "stage_files"], Job],
    report: Report,
    should_stop: Callable[[], bool],
) -> Cost | list[tuple[str, bool] | None] | None:
    """Return what `probe` or `stage_files` returns: one worker answers both, and starts once."""
    question, job = asked
    answer = {"probe": probe, "stage_files": stage_files}[question]
    return answer(job, report, should_stop)


def net_costs(
    costs: Sequence[Cost | None],
    left: Sequence[Sequence[tuple[str, bool] | None]],
    at_once: int,
) -> list[Cost | None]:
    """Return the costs of jobs without stages that are on file or that a job before has trained.

    Args:
        costs: of each job by itself, in the order of the run; None where it is not known.
        left: for each job what `stage_files` returns.
        at_once: number of workers: jobs that begin together do not wait for each other.
    """
    net: list[Cost | None] = []
    trained: set[str] = set()
    for number, (cost, mine) in enumerate(zip(costs, left, strict=True)):
        if number >= at_once:
            trained.update(file[0] for file in left[number - at_once] if file is not None)
        have = [n for n, f in enumerate(mine, 1) if f is not None and (f[1] or f[0] in trained)]
        first = max(have, default=0)
        if cost is not None:
            cost = Cost((0.0,) * first + cost.stages[first:], cost.evaluate)
        net.append(cost)
    return net


class _Timed(Exception):
    """Enough of an evaluation was seen; the argument is the seconds that the whole takes."""


def _evaluation_cost(case: Case, built: pipeline.Built, should_stop: Callable[[], bool]) -> float:
    """Return the seconds that the evaluation of a case takes, by its beginning."""
    evaluators = (
        build.make("evaluate", block, classes=built.dataset.classes) for block in case.evaluate
    )
    return math.fsum(
        _seconds(evaluator, built.model, built.splits.test, should_stop) for evaluator in evaluators
    )


def _seconds(
    evaluator: Evaluator[Any], model: Model, points: HeldOut, should_stop: Callable[[], bool]
) -> float:
    """Return the seconds that an evaluation takes, by its beginning."""
    clock = time.monotonic()
    seen: list[tuple[float, float]] = []  # the pace is that from the first of these on

    def progress(fraction: float) -> None:
        if should_stop():
            raise Interrupted
        seen.append((time.monotonic(), fraction))
        (begun, at), (now, there) = seen[0], seen[-1]
        if there > at and now - begun > TIMED:
            raise _Timed(now - clock + (now - begun) * (1 - there) / (there - at))

    training = model.training
    model.eval()
    try:
        evaluator(model, points, seed=0, progress=progress)
        return time.monotonic() - clock
    except _Timed as timed:
        return float(timed.args[0])
    finally:
        model.train(training)


# --- many cases -----------------------------------------------------------------------------------


def todo(cases: Sequence[Case], store: Store, retry_failed: bool) -> tuple[list[Case], list[Case]]:
    """Return the cases to run, and those that failed before and are left alone."""
    run, left = [], []
    for case in cases:
        if store.read(case) is not None:
            continue
        failure = store.read_failure(case)
        if failure is not None and failure.kind == "failed" and not retry_failed:
            left.append(case)
        else:
            run.append(case)
    return run, left


def run_all(
    jobs: Sequence[Job], executor: Any, on_news: Callable[[int, Any], None]
) -> Iterator[Outcome]:
    """Run jobs through an executor; a worker that dies leaves a failure on file."""
    for done in executor.map("hwbench.runner:work", list(jobs), on_news):
        job = jobs[done.index]
        if done.error is None:
            yield done.outcome
            continue
        reason = done.error.strip().splitlines()[-1]
        if executor.stopping:  # a worker ended with everything else has not failed
            yield Outcome(job.case, "interrupted", reason)
            continue
        _record_failure(Store(job.results), job.case, "failed", reason, "")
        yield Outcome(job.case, "failed", reason)
