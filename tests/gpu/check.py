"""Does a GPU train as the CPU does? 200 steps of each row on both, with the same random numbers.

`make gpu-check` prints a table in Markdown: the largest difference of the losses (as a share of the
first loss), and steps per second on both. Exit
1 where the losses part by more than rounding. Draws are made on the CPU and copied, so the speed is
measured in a second run, whose draws are the device's own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from hwbench import pipeline
from hwbench.learner import Checkpoint, Learner, Progress
from hwbench.protocols import Hooks
from hwbench.runner.machine import machine, pick_device
from hwbench.spec import Case, variants
from hwbench.spec.files import benchmarks_folder, load_specs

STEPS = 200
ROUNDING = 1e-3  # of the first loss, after 200 steps: each adds its rounding to the weights
ROWS = {
    "iwaer/table1": ("IWAE", "IWAER", "IWAER_rec"),
    "hm2012/mnist": ("wake-sleep", "SBP", "REINFORCE", "CD-1", "PCD"),
}
DRAWS: set[Any] = {
    torch.rand,
    torch.randn,
    torch.rand_like,
    torch.randn_like,
    torch.bernoulli,
    torch.randint,
    torch.Tensor.uniform_,
    torch.Tensor.normal_,
    torch.Tensor.bernoulli_,
    torch.Tensor.bernoulli,
}


class DrawsOfTheCPU(TorchFunctionMode):
    """Draw on the CPU, whatever the device, and copy."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a torch function."""
        kwargs = dict(kwargs or {})
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        device = kwargs.get("device") or (tensors[0].device if tensors else None)
        if func not in DRAWS or device is None or torch.device(device).type == "cpu":
            return func(*args, **kwargs)
        if "device" in kwargs or func.__name__.endswith("_like"):
            kwargs["device"] = "cpu"
        there = [value.cpu() if isinstance(value, torch.Tensor) else value for value in args]
        drawn = func(*there, **kwargs)
        return args[0].copy_(drawn) if func.__name__.endswith("_") else drawn.to(device)


def cases() -> Iterator[Case]:
    """Yield the rows with the nets of `quick` on the small images of `smoke`, which are here."""
    specs = {spec.id: spec for spec in load_specs(list(ROWS), benchmarks_folder(None))}
    for name, methods in ROWS.items():
        for method in methods:
            row = next(r for r in specs[name].rows if r.at.get("method") == method)
            small, large = (variants(specs[name], row, p, 0)[-1] for p in ("smoke", "quick"))
            stages = [{**s, "validate": None, "stop": None} for s in large.train]
            yield large.model_copy(update={"data": small.data, "train": stages})


def learner_on(case: Case, device: torch.device) -> Learner:
    """Return the learner of a case's first stage."""
    built = pipeline.construct(case, device)
    return pipeline.learner_of(case, built, 0, Progress(), Checkpoint(None), Hooks())


def train(case: Case, device: torch.device, steps: int) -> list[float]:
    """Return the losses of the first steps, in blocks of 50 as in a run."""
    learner = learner_on(case, device)
    order = torch.cat([learner.order(epoch) for epoch in range(1 + steps)])
    batches = order[: steps * learner.batch_size].view(steps, learner.batch_size)
    losses: list[float] = []
    torch.manual_seed(0)
    for block in batches.split(50):
        losses += learner.run_steps(learner.train_split.batch(block))
    return losses


def pace(case: Case, device: torch.device, steps: int) -> float:
    """Return steps per second."""
    train(case, device, min(50, steps))
    clock = time.monotonic()
    train(case, device, steps)
    return steps / (time.monotonic() - clock)


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rows", type=int, help="only the first so many rows")
    given = parser.parse_args()
    device, cpu = pick_device(given.device), torch.device("cpu")
    print(f"{machine(device)['device']}, torch {torch.__version__}; {machine(cpu)['device']}\n")
    print("| row | losses apart | steps/s, CPU | steps/s, device |\n|---|---|---|---|")
    apart = []
    for case in list(cases())[: given.rows]:
        own = train(case, cpu, given.steps)
        with DrawsOfTheCPU():
            other = train(case, device, given.steps)
        apart.append(max(abs(a - b) for a, b in zip(own, other, strict=True)) / abs(own[0]))
        paces = [pace(case, where, given.steps) for where in (cpu, device)]
        print(f"| {case.spec} {case.row} | {apart[-1]:.2g} | {paces[0]:.0f} | {paces[1]:.0f} |")
    return int(not max(apart) <= ROUNDING)


if __name__ == "__main__":
    sys.exit(main())
