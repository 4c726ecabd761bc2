"""The computation of a case: its data and model, its training stages, its evaluation.

Everything that decides a number is here, in `learner`, or in the classes that the case's blocks
name. `runner` does the rest (jobs, locks, files). A code change here flags all stored results.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from hwbench import build, contract, products
from hwbench.numerics import set_arithmetic, stream
from hwbench.protocols import (
    Dataset,
    Evaluation,
    Hooks,
    Interrupted,
    Model,
    Scratch,
    Splits,
)
from hwbench.spec import Block, Case, Stage
from hwbench.store import write_atomically

if TYPE_CHECKING:  # Lightning takes seconds to import, so only workers import it.
    from hwbench.learner import Checkpoint, Learner, Progress


def dataset_of(block: Block) -> Dataset:
    """Return the data set that a block describes."""
    return cast(Dataset, build.make("data", block))


class FileScratch(Scratch):
    """Storage of evaluation state in the run's folder."""

    def __init__(self, folder: Path, every: float = 30.0) -> None:
        self.folder = folder
        self.every = every
        self._saved: dict[str, float] = {}
        self._latest: dict[str, dict[str, np.ndarray]] = {}

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays saved under a name, or None."""
        try:
            content = (self.folder / f"{name}.npz").read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            return None  # A damaged file is as good as none: the evaluation starts anew.

    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep the arrays, and write them to disk if the last write is `every` seconds old."""
        self._latest[name] = arrays
        now = time.monotonic()
        if now - self._saved.setdefault(name, now) >= self.every:
            self.flush()

    def flush(self) -> None:
        """Write everything that is not on disk yet."""
        for name, arrays in self._latest.items():
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
            write_atomically(self.folder / f"{name}.npz", buffer.getvalue(), overwrite=True)
            self._saved[name] = time.monotonic()
        self._latest.clear()


@dataclass
class Built:
    """A case's objects on their device."""

    dataset: Dataset
    splits: Splits
    model: Model
    device: torch.device


def construct(case: Case, device: torch.device) -> Built:
    """Load the data and build the model of a case; the seed determines the initial parameters."""
    set_arithmetic()
    dataset = dataset_of(case.data)
    train, validation, test = dataset.load(case.seed)
    on_device = validation if validation is None else validation.to(device)
    splits = Splits(train.to(device), on_device, test.to(device))
    torch.manual_seed(stream(case.seed, "init"))
    context = {"visible": splits.train.visible, "classes": dataset.classes, "shape": dataset.shape}
    model = cast(Model, build.make("model", case.model, **context))
    splits = contract.admit(splits, dataset, model)
    model.adapt(splits.train.to("cpu"))
    return Built(dataset, splits, model.to(device), device)


def learner_of(
    case: Case, built: Built, index: int, progress: Progress, checkpoint: Checkpoint, hooks: Hooks
) -> Learner:
    """Return the learner of one stage; the stage's own random stream initialises the rule."""
    from hwbench.learner import Learner, optimizer_groups

    stage = Stage.model_validate(case.train[index])
    torch.manual_seed(stream(case.seed, "init", "rule", index))
    rule = build.make(
        "rule", stage.rule, visible=built.splits.train.visible, classes=built.dataset.classes
    )
    rule = rule.to(built.device)
    rule.check(built.model)
    rule.begin(built.model, built.splits.train)
    optimizer_class = build.find_class("optimizer", stage.optimizer["use"])
    options = build.arguments(optimizer_class, stage.optimizer)
    own = {k: v for k, v in options.items() if k not in build.RATES}
    if optimizer_class in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        own.setdefault("fused", True)
    optimizer = optimizer_class(optimizer_groups(built.model, rule, options), **own)
    validate = build.make("validate", stage.validate_) if stage.validate_ else None
    return Learner(
        built.model,
        rule,
        cast(torch.optim.Optimizer, optimizer),
        stage,
        built.splits.train,
        built.splits.validation,
        validate,
        case.seed,
        progress,
        checkpoint,
        hooks,
    )


def wants_bfloat16(case: Case) -> bool:
    """Return whether a rule of the case asks for products in bfloat16."""
    return any(stage.get("rule", {}).get("precision") == "bfloat16" for stage in case.train)


def train(case: Case, built: Built, folder: Path | None, hooks: Hooks) -> Progress:
    """Train all stages, starting from the last checkpoint if there is one.

    Raises:
        Interrupted, Diverged: see `learner.fit`.
    """
    with products.fast(built.device, wants_bfloat16(case)):
        return _train(case, built, folder, hooks)


def _train(case: Case, built: Built, folder: Path | None, hooks: Hooks) -> Progress:
    from hwbench.learner import Checkpoint, Progress, fit

    checkpoint = Checkpoint(folder / "state.safetensors" if folder else None)
    saved = checkpoint.load()
    progress = saved[0] if saved else Progress()
    if saved:
        progress.resumed += 1
    for index in range(progress.stage, len(case.train)):
        if "fit" in case.train[index]:
            if saved:  # The checkpoint is the end of the previous stage.
                built.model.load_state_dict(saved[1]["model"])
                saved = None
            _fit_whole(case, built, index, progress, hooks)
        else:
            learner = learner_of(case, built, index, progress, checkpoint, hooks)
            if saved:
                learner.restore(saved[1], saved[2])
                saved = None
            fit(learner, built.device)
            base = progress.curves.get("stage_ends", [[0.0]])[-1][0]
            progress.note("stage_ends", base + progress.step / learner.steps_per_epoch, 0.0)
        progress.stage, progress.step = index + 1, 0
        progress.best, progress.best_epoch = -math.inf, -1
        checkpoint.save(progress, {"model": built.model.state_dict()}, {})
    if saved:  # All stages were complete, and only the evaluation was not.
        built.model.load_state_dict(saved[1]["model"])
    return progress


def _fit_whole(case: Case, built: Built, index: int, progress: Progress, hooks: Hooks) -> None:
    fitter = build.make("fit", case.train[index]["fit"], classes=built.dataset.classes)
    torch.manual_seed(stream(case.seed, "noise", index))
    clock = time.monotonic()

    def report(fraction: float, note: str) -> None:
        if hooks.stop():
            raise Interrupted
        hooks.report({"stage": index, "fit": fraction, "note": note})

    curves = fitter(built.model, built.splits.train, built.splits.validation, case.seed, report)
    for name, points in curves.items():
        progress.curves.setdefault(name, []).extend([float(x), float(y)] for x, y in points)
    progress.seconds += time.monotonic() - clock


def evaluate(case: Case, built: Built, folder: Path | None, hooks: Hooks) -> Evaluation:
    """Run the case's evaluators on the test points and merge their results."""
    out = Evaluation()
    built.model.eval()
    for i, block in enumerate(case.evaluate):
        evaluator = build.make("evaluate", block, classes=built.dataset.classes)

        def progress(fraction: float, i: int = i, use: str = block["use"]) -> None:
            if hooks.stop():
                raise Interrupted
            hooks.report({"evaluate": (i + fraction) / len(case.evaluate), "evaluator": use})

        scratch = None
        if evaluator.resumable and folder is not None:
            scratch = FileScratch(folder / f"evaluate-{i}")
        extra: dict[str, Any] = {} if scratch is None else {"scratch": scratch}
        try:
            found = evaluator(
                built.model, built.splits.test, seed=case.seed, progress=progress, **extra
            )
        except Interrupted:
            if scratch is not None:
                scratch.flush()
            raise
        out.metrics |= found.metrics
        out.per_point |= found.per_point
        out.curves |= found.curves
        out.diagnostics |= found.diagnostics
        out.warnings += found.warnings
    contract.refuse_absurd(out, built.model, built.splits.train.visible)
    return out
