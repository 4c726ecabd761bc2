"""Answers questions about one checkout's code, a JSON object per line; a script, never imported.

It is started as `python -P driver.py ROOT [PLUGIN...]` and imports the package from ROOT only. The
same script serves both sides, so it must get along with older layouts of the package: names are
looked up where they are today, then where they were.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

HELD_OUT = 20  # points of validation and test: enough to reach the code of an evaluator
REPORTS = 1  # a fit is stopped at the report after this one, so that its loop has turned twice


class OnlyBelow(MetaPathFinder):
    """Finds the package's modules below a root and nowhere else.

    An editable installation would serve its own modules where the checkout has none of that name.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's spec; None for modules of other packages."""
        if fullname.partition(".")[0] != "hwbench":
            return None
        found = PathFinder.find_spec(fullname, path or [self.root])
        if found is None:
            raise ModuleNotFoundError(f"{self.root} has no {fullname}", name=fullname)
        return found


def find(name: str, *modules: str) -> Any:
    """Return a name from the first of these modules that has it."""
    for module in modules:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def case_of(content: dict[str, Any]) -> Any:
    """Return a case of this checkout's own class."""
    return find("Case", "hwbench.spec").model_validate(content)


@contextlib.contextmanager
def production_paths() -> Iterator[None]:
    """Let the code take the paths of `full` (compiled steps, chunks), however small the case is.

    Code that has such paths declares a context `forced()` in `hwbench.fast`; code without it has
    one path only.
    """
    try:
        forced = find("forced", "hwbench.fast")
    except ImportError:
        forced = contextlib.nullcontext
    with forced():
        yield


def numbers_of(result: Any, arrays: dict[str, Any], weights: Path) -> dict[str, Any]:
    """Return every number of a result by name, with its arrays and the model's weights."""
    from safetensors.torch import load_file

    out: dict[str, Any] = {f"array {name}": values for name, values in arrays.items()}
    for name, metric in result.metrics.items():
        out[f"metric {name}"] = metric.value
        out |= {f"{part} of {name}": getattr(metric, part) for part in ("se", "mc_se")}
    out |= {f"diagnostic {name}": value for name, value in result.diagnostics.items()}
    for name, curve in result.curves.items():
        out |= {f"curve {name} (x)": curve.x, f"curve {name}": curve.y}
    for file in weights.rglob("model.safetensors"):
        out |= {f"weight {name}": tensor for name, tensor in load_file(file).items()}
    return out


def run(case: Any, device: str, cache: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a whole case as `hwbench run` does; returns its numbers and the machine.

    Only trained stages stay in the cache, for cases that train them alike.
    """
    job_class = find("Job", "hwbench.runner.job", "hwbench.runner")
    run_case = find("run_case", "hwbench.runner.result", "hwbench.runner")
    try:
        job = job_class(case, cache, cache, device)
        result, arrays = run_case(job, lambda news: None, lambda: False)
        return numbers_of(result, arrays, cache), {"machine": result.machine}
    finally:
        for path in cache.iterdir():
            if path.name != "stages":
                shutil.rmtree(path, ignore_errors=True)


def synthetic(case: Any, points: int) -> Any:
    """Return a data set of the case's shape, classes and pixels, drawn at random.

    Only for images whose block says how pixels are presented.
    """
    import torch

    from hwbench import pipeline, protocols

    real = pipeline.dataset_of(case.data)
    pixels = case.data["pixels"]
    scale = 255.0 if pixels in ("dynamic", "grey") else 1.0

    class Synthetic(protocols.Dataset):
        shape, classes = real.shape, real.classes

        def load(self, seed: int) -> Any:
            draws = torch.Generator().manual_seed(seed)

            def part(kind: Any, n: int) -> Any:
                size = (n, int(torch.tensor(self.shape).prod()))
                values = torch.randint(0, int(scale) + 1, size, generator=draws).to(torch.uint8)
                labels = None
                if self.classes:
                    labels = torch.randint(0, self.classes, (n,), generator=draws)
                return kind(values, labels, scale)

            train = part(protocols.TrainSplit, points)
            if pixels == "dynamic":
                train = type(train)(train.values, train.labels, scale, True)
            kinds = protocols.ValidationSplit, protocols.TestSplit
            return protocols.Splits(train, *(part(kind, HELD_OUT) for kind in kinds))

    return Synthetic()


def construct(case: Any, device: str, points: int) -> Any:
    """Return a case's objects with few held-out points; on synthetic data if `points` is not 0."""
    import torch

    from hwbench import pipeline

    picked = find("pick_device", "hwbench.runner.machine", "hwbench.runner")(device)
    dataset = synthetic(case, points) if points else pipeline.dataset_of(case.data)
    with patch.object(pipeline, "dataset_of", lambda block: dataset):
        built = pipeline.construct(case, picked)
    first = torch.arange(HELD_OUT)
    train, validation, test = built.splits
    few = None if validation is None else validation.subset(first[: len(validation)])
    built.splits = type(built.splits)(train, few, test.subset(first[: len(test)]))
    return built


def steps(case: Any, device: str, points: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train the stages of a shortened case and evaluate; returns losses, weights and the rest.

    The answer's `stopped` says in which stage a fit was stopped, and `idle` whether that fit had
    left the weights as they were.
    """
    import torch

    from hwbench import learner, pipeline, protocols

    built = construct(case, device, points)
    before: dict[str, Any] = {}
    losses: list[float] = []
    reports: list[int] = []
    take_steps, fit_whole = learner.Learner.run_steps, pipeline._fit_whole

    def recorded(self: Any, x: Any) -> list[float]:
        found = take_steps(self, x)
        losses.extend(found)
        return found

    def fitted(*arguments: Any) -> None:
        before.update((k, v.clone()) for k, v in built.model.state_dict().items())
        fit_whole(*arguments)

    def heard(news: dict[str, Any]) -> None:
        if "fit" in news:
            reports.append(news["stage"])

    hooks = protocols.Hooks(report=heard, stop=lambda: len(reports) >= REPORTS)
    answer: dict[str, Any] = {}
    out: dict[str, Any] = {}
    with (
        patch.object(learner.Learner, "run_steps", recorded),
        patch.object(pipeline, "_fit_whole", fitted),
        low_precision(case, built.device),
    ):
        try:
            progress = pipeline.train(case, built, None, hooks)
            out |= {f"curve {name}": points for name, points in progress.curves.items()}
        except protocols.Interrupted:
            answer["stopped"] = reports[-1]
    if losses:
        out["loss"] = losses
    after = built.model.state_dict()
    answer["idle"] = bool(before) and all(
        k in after and torch.equal(after[k], v) for k, v in before.items()
    )
    out |= {f"weight {name}": value for name, value in after.items()}
    if case.evaluate:
        found = pipeline.evaluate(case, built, None, protocols.Hooks())
        out |= {f"metric {name}": metric.value for name, metric in found.metrics.items()}
        out |= {f"array {name}": values for name, values in found.per_point.items()}
        out |= {f"diagnostic {name}": value for name, value in found.diagnostics.items()}
        out |= {f"curve {name}": curve.y for name, curve in found.curves.items()}
    return out, answer


def low_precision(case: Any, device: Any) -> Any:
    """Return the context in which the runner trains a case."""
    try:
        fast = find("fast", "hwbench.products")
    except ImportError:
        return contextlib.nullcontext()
    rules = [stage.get("rule", {}) for stage in case.train]
    return fast(device, any(rule.get("precision") == "bfloat16" for rule in rules))


def plain(value: Any) -> Any:
    """Return a number, list or tensor as an array of float64; None is no number."""
    import numpy as np

    if value is None:
        return np.array(np.nan)
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)


def identities(contents: list[dict[str, Any]]) -> list[Any]:
    """Return key and fingerprint of each case, or why there is none."""
    fingerprint = find("fingerprint", "hwbench.sources", "hwbench.build")
    out: list[Any] = []
    for content in contents:
        try:
            case = case_of(content)
            out.append([case.key, fingerprint(case)])
        except Exception as error:
            out.append(f"{type(error).__name__}: {error}".splitlines()[0])
    return out


def here(blocks: list[dict[str, Any]]) -> list[bool]:
    """Return of each data block whether its files are on this machine."""
    from hwbench import pipeline
    from hwbench.datasets import files

    return [files.available(pipeline.dataset_of(b).files, download=False) for b in blocks]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one question."""
    kind = question["ask"]
    if kind == "identities":
        return {"identities": identities(question["cases"])}
    if kind == "here":
        return {"here": here(question["blocks"])}
    import numpy as np

    case, device = case_of(question["case"]), question["device"]
    with production_paths():
        if kind == "run":
            found, told = run(case, device, Path(question["cache"]))
        else:
            found, told = steps(case, device, question["points"])
    np.savez(question["to"], **{name: plain(value) for name, value in found.items()})
    return told


def main(root: str, *plugins: str) -> None:
    """Answer until the questions end; what the code prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.meta_path.insert(0, OnlyBelow(root))
    if plugins:
        find("allow_plugins", "hwbench.build")(plugins)
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            text = str(error).splitlines()
            kind = type(error).__name__
            said = {"error": f"{kind}: {text[0]}" if text else kind}
            traceback.print_exc()
        print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
