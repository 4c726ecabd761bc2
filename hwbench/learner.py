"""The one LightningModule: any model, any rule.

Lightning runs blocks of optimisation steps, not single steps, because its cost per call is large
compared with such small steps. Data are on the device, and a minibatch is an index. Every random
stream is derived from the seed, a purpose and the number of the block, so a run that was killed and
resumed draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hwbench.numerics import generator, stream
from hwbench.protocols import (
    Diverged,
    Evaluator,
    Hooks,
    Interrupted,
    Model,
    Rule,
    TrainSplit,
    ValidationSplit,
)
from hwbench.spec import Stage

BLOCK = 50  # steps; with 50 steps of 1 ms, Lightning's 0.3 to 0.9 ms per block is about 2 %
INSANE = 1000.0  # times worse than fair coins for every point of a batch; beyond, it has diverged


class Block(NamedTuple):
    """Consecutive steps of one epoch: `first` counts from the start of the stage."""

    epoch: int
    first: int
    steps: int


@dataclass
class Progress:
    """The progress of a run, which is part of a checkpoint."""

    stage: int = 0
    step: int = 0
    seconds: float = 0.0
    steps_total: int = 0
    resumed: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    curves: dict[str, list[list[float]]] = field(default_factory=dict)

    def note(self, curve: str, x: float, y: float) -> None:
        """Add a point to a curve."""
        self.curves.setdefault(curve, []).append([x, y])


class Checkpoint:
    """State of a run as one safetensors file, written completely or not at all.

    It contains the tensors of model, rule, optimizer and best model so far; the rest is JSON in the
    file's header.
    """

    def __init__(self, path: Path | None, every: float = 30.0) -> None:
        self.path = path
        self.every = every
        self.saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Return whether the last save is at least `every` seconds ago."""
        return self.path is not None and time.monotonic() - self.saved_at >= self.every

    def save(
        self, progress: Progress, parts: dict[str, dict[str, Tensor]], extra: dict[str, Any]
    ) -> None:
        """Write the state."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{part}/{k}": v.detach().contiguous().cpu().clone()
            for part, kv in parts.items()
            for k, v in kv.items()
        }
        partial = self.path.with_suffix(".partial")
        save_file(
            tensors,
            partial,
            metadata={"progress": json.dumps(vars(progress)), "extra": json.dumps(extra)},
        )
        partial.replace(self.path)
        self.saved_at = time.monotonic()

    def load(self) -> tuple[Progress, dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """Return the state, or None if there is none that can be read completely."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:  # type: ignore[no-untyped-call]
                header = file.metadata()
                parts: dict[str, dict[str, Tensor]] = {}
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    part, name = key.split("/", 1)
                    parts.setdefault(part, {})[name] = file.get_tensor(key)
            return Progress(**json.loads(header["progress"])), parts, json.loads(header["extra"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Delete the state; call this once its result is stored."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def optimizer_groups(model: Model, rule: Rule, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return parameter groups: generative, recognition and the rest.

    The first two have their own rates if these are given.
    """
    groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for name in ("generative", "recognition"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            own = [p for p in part.parameters() if p.requires_grad and id(p) not in seen]
            seen |= {id(p) for p in own}
            rate = options.get(f"lr_{name}", options.get("lr"))
            groups.append({"params": own, "name": name} | ({} if rate is None else {"lr": rate}))
    rest = [
        p
        for part in (model, rule)
        for p in part.parameters()
        if p.requires_grad and id(p) not in seen
    ]
    groups.append({"params": rest, "name": "rest"})
    return [g for g in groups if g["params"]]


class Learner(pl.LightningModule):
    """Trains one stage: a model by a rule, in blocks of steps.

    Args:
        model: the model, already on the device, like `train` and `validation`.
        rule: the rule, after its `begin` or with restored state.
        optimizer: an optimizer over `optimizer_groups`.
        stage: length, batches and rates.
        train: training points.
        validation: points for the stage's `validate`.
        validate: evaluator of the validation curve.
        seed: the case's seed; with the number of the stage it determines every draw.
        progress: the run's progress, updated in place.
        checkpoint: the file for the state.
        hooks: callbacks to report progress and to ask whether to stop.
    """

    def __init__(
        self,
        model: Model,
        rule: Rule,
        optimizer: torch.optim.Optimizer,
        stage: Stage,
        train: TrainSplit,
        validation: ValidationSplit | None,
        validate: Evaluator | None,
        seed: int,
        progress: Progress,
        checkpoint: Checkpoint,
        hooks: Hooks,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.rule = rule
        self.optimizer_ = optimizer
        self.stage = stage
        self.train_split = train
        self.validation = validation
        self.validate_ = validate
        self.seed = seed
        self.progress = progress
        self.checkpoint = checkpoint
        self.hooks = hooks
        if stage.stop is not None and (validate is None or validation is None):
            raise ValueError(
                "stop: this data set has no validation points to stop by; "
                "give the length in epochs or steps alone"
            )
        # Losses may be sums over a batch, and a fair coin per unit costs log 2 nats.
        self.sane_loss = INSANE * math.log(2) * train.visible * min(stage.batch_size, len(train))
        self.batch_size = min(stage.batch_size, len(train))
        self.steps_per_epoch = (
            len(train) // self.batch_size
        )  # The order changes each epoch, so all points are used in time.
        self.steps = stage.steps or cast(int, stage.epochs) * self.steps_per_epoch
        self.best_state: dict[str, Tensor] = {}
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._started = time.monotonic()
        self._epoch_losses: list[float] = []
        self._base_rates = [group["lr"] for group in optimizer.param_groups]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the stage's optimizer."""
        return self.optimizer_

    def train_dataloader(self) -> Any:
        """Return the blocks that remain."""
        return torch.utils.data.DataLoader(
            cast(Any, list(self.blocks())), batch_size=None, shuffle=False
        )

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks from the current step on; no block crosses the end of an epoch."""
        first = self.progress.step
        while first < self.steps:
            epoch, within = divmod(first, self.steps_per_epoch)
            steps = min(BLOCK - within % BLOCK, self.steps_per_epoch - within, self.steps - first)
            yield Block(epoch, first, steps)
            first += steps

    def order(self, epoch: int) -> Tensor:
        """Return the epoch's order of the training points."""
        if self._order[0] != epoch:
            order = torch.randperm(
                len(self.train_split),
                generator=generator(self.seed, "order", self.progress.stage, epoch),
            )
            self._order = (epoch, order.to(self.train_split.values.device))
        return self._order[1]

    def set_rates(self, epoch: int, first: int) -> None:
        """Set the block's learning rate and momentum from the stage's schedule."""
        schedule = self.stage.schedule
        if schedule is None:
            return

        def at(steps: dict[str, float] | None) -> float | None:
            past = {int(e): v for e, v in (steps or {}).items() if int(e) <= epoch}
            return past[max(past)] if past else None

        scale = 1.0
        if schedule.anneal is not None:
            scale = 1.0 + (schedule.anneal - 1.0) * first / self.steps
        rate, momentum = at(schedule.lr), at(schedule.momentum)
        for group, base in zip(self.optimizer_.param_groups, self._base_rates, strict=True):
            group["lr"] = (base if rate is None else rate) * scale
            if momentum is not None:
                group["momentum"] = momentum

    def training_step(self, block: Block, batch_idx: int) -> None:
        """Take the steps of one block; at its end check, report, save and stop as necessary."""
        epoch, first, steps = block
        self.set_rates(epoch, first)
        self.rule.advance(first / self.steps)
        purpose = (self.progress.stage, first)
        order = self.order(epoch)
        start = (first % self.steps_per_epoch) * self.batch_size
        index = order[start : start + steps * self.batch_size].view(steps, self.batch_size)
        pixels = generator(self.seed, "pixels", *purpose, device=index.device)
        x = self.train_split.batch(index, pixels)
        torch.manual_seed(stream(self.seed, "noise", *purpose))
        losses = self.run_steps(x)
        self._after(block, losses)

    def run_steps(self, x: Tensor) -> list[float]:
        """Take one step for each batch of x [S, B, D]; return the losses, by a single transfer."""
        optimizer = self.optimizer_
        losses = []
        for batch in x:
            optimizer.zero_grad(set_to_none=True)
            losses.append(self.rule.backward(self.model, batch))
            if self.stage.clip_gradient is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.stage.clip_gradient)
            optimizer.step()
        return cast(list[float], torch.stack(losses).tolist())

    def _after(self, block: Block, losses: list[float]) -> None:
        for i, loss in enumerate(losses):
            if not abs(loss) <= self.sane_loss:  # This form is also true for NaN.
                raise Diverged(
                    f"the loss became {loss:.4g} at step {block.first + i + 1} of stage "
                    f"{self.progress.stage + 1}; beyond ±{self.sane_loss:.2g} it has diverged"
                )
        progress = self.progress
        progress.step = block.first + block.steps
        progress.steps_total += block.steps
        self._epoch_losses += losses
        now = time.monotonic()
        progress.seconds += now - self._started
        self._started = now
        epochs = progress.step / self.steps_per_epoch
        end_of_epoch = progress.step % self.steps_per_epoch == 0 or progress.step == self.steps
        news: dict[str, Any] = {
            "stage": progress.stage,
            "step": progress.step,
            "steps": self.steps,
            "epoch": epochs,
            "objective": -sum(losses) / len(losses),
        }
        stop = False
        if end_of_epoch:
            progress.note(
                "train/objective",
                self._epoch_base() + epochs,
                -sum(self._epoch_losses) / len(self._epoch_losses),
            )
            self._epoch_losses = []
            stop = self._validate(block.epoch, epochs, news)
        self.hooks.report(news)
        if stop:
            self.trainer.should_stop = True
            progress.step = self.steps
        asked = self.hooks.stop()
        if asked or self.checkpoint.due:
            self.save()
        if asked:
            raise Interrupted

    def _epoch_base(self) -> float:
        """Return where the stage's curves start: the epochs of earlier stages, as planned.

        A stage that stopped early counts with all that it could have had.
        """
        points = self.progress.curves.get("stage_ends", [])
        return points[-1][0] if points else 0.0

    def _validate(self, epoch: int, epochs: float, news: dict[str, Any]) -> bool:
        """Evaluate on the validation points if it is due; return whether to stop early."""
        stage, progress = self.stage, self.progress
        last = progress.step == self.steps
        if (
            self.validate_ is None
            or self.validation is None
            or not (last or (epoch + 1) % stage.validate_every == 0)
        ):
            return False
        self.model.eval()
        found = self.validate_(self.model, self.validation, seed=self.seed)
        self.model.train()
        name, metric = next(iter(found.metrics.items()))
        better = metric.value if self.validate_.better == "higher" else -metric.value
        progress.note(f"validation/{name}", self._epoch_base() + epochs, metric.value)
        news["validation"] = metric.value
        if not abs(metric.value) <= self.sane_loss:
            raise Diverged(
                f"the validation {name} became {metric.value:.4g} after epoch {epoch + 1}"
            )
        if better > progress.best:
            progress.best, progress.best_epoch = better, epoch
            if stage.stop is not None and stage.stop.keep == "best":
                self.best_state = {
                    k: v.detach().clone() for k, v in self.model.state_dict().items()
                }
        if stage.stop is None or last:
            return False
        waited = epoch - progress.best_epoch
        return waited >= stage.stop.patience and epoch + 1 >= stage.stop.at_least

    def finish(self) -> None:
        """Restore the best model if the stage keeps it."""
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    def save(self) -> None:
        """Write a checkpoint of the stage in its current state."""
        tensors, scalars = flatten_optimizer(self.optimizer_)
        parts = {
            "model": self.model.state_dict(),
            "rule": self.rule.state_dict(),
            "optimizer": tensors,
            "best": self.best_state,
            "losses": {"epoch": torch.tensor(self._epoch_losses, dtype=torch.float64)},
        }
        self.checkpoint.save(self.progress, parts, scalars)

    def restore(self, parts: dict[str, dict[str, Tensor]], scalars: dict[str, Any]) -> None:
        """Restore a checkpoint of this stage, or only the model from one of the previous stage."""
        self.model.load_state_dict(parts["model"])
        if "losses" not in parts:
            return
        self.rule.load_state_dict(parts.get("rule", {}))
        self.best_state = {
            k: v.to(self.train_split.values.device) for k, v in parts.get("best", {}).items()
        }
        self._epoch_losses = parts["losses"]["epoch"].tolist()
        restore_optimizer(self.optimizer_, parts.get("optimizer", {}), scalars)


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimizer's state as named tensors and JSON scalars (no pickle)."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            elif value is not None:
                scalars[f"{index}.{key}"] = value
    return tensors, scalars


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]
) -> None:
    """Restore an optimizer's state from the output of `flatten_optimizer`."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **scalars}.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    if state:
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )


def trainer_arguments(device: torch.device) -> dict[str, Any]:
    """Return every argument of Lightning's Trainer, so that no PL_TRAINER_* variable sets one.

    The environment plugin is given as well: Lightning looks for no cluster and no launcher.
    """
    defaults = {n: p.default for n, p in inspect.signature(pl.Trainer).parameters.items()}
    return defaults | {
        "accelerator": "gpu" if device.type == "cuda" else device.type,
        "devices": [device.index or 0] if device.type == "cuda" else 1,
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "inference_mode": False,
        "num_sanity_val_steps": 0,
        "plugins": [LightningEnvironment()],
    }


def fit(learner: Learner, device: torch.device) -> None:
    """Run the remaining blocks of a stage under Lightning's Trainer.

    Raises:
        Interrupted: a stop was requested; the run can resume from the last save.
        Diverged: the loss or the validation metric is NaN or far out of range.
        RuntimeError: Lightning ended the training before its last step.
    """
    if learner.progress.step >= learner.steps:  # The stage was complete when it was saved.
        learner.finish()
        return
    trainer = pl.Trainer(**trainer_arguments(device))
    try:
        trainer.fit(learner)
    except SystemExit as error:  # Lightning's own answer to Ctrl-C
        raise KeyboardInterrupt from error
    finally:
        learner.to(device)  # Lightning moves it back to the CPU.
    if learner.progress.step != learner.steps:
        raise RuntimeError(
            f"training ended after {learner.progress.step} of {learner.steps} steps; "
            "the stage is not complete"
        )
    learner.finish()
