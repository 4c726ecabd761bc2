"""Trained models: a module with the weights of a case, and its data set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hwbench import pipeline
from hwbench.cache import cache_folder
from hwbench.protocols import Dataset, Evaluation, Hooks, Model, Splits
from hwbench.runner.job import Job, data_mark
from hwbench.runner.machine import pick_device
from hwbench.runner.plan import check_rows
from hwbench.runner.stages import stages_anywhere
from hwbench.sources import fingerprint
from hwbench.spec import (
    PROFILES,
    Block,
    Case,
    Profile,
    Spec,
    SpecError,
    UserError,
    label,
    variants,
)
from hwbench.store import Store


@dataclass(frozen=True)
class Trained:
    """A trained model in evaluation mode.

    Attributes:
        case: the trained case.
        model: the module.
        dataset: its data set.
        data: the training, validation and test points.
    """

    case: Case
    model: Model
    dataset: Dataset
    data: Splits = field(repr=False)

    def evaluate(self, *blocks: Block) -> Evaluation:
        """Evaluate the model on the test points, by default with the evaluators of the spec.

        Args:
            blocks: evaluator blocks, such as {"use": "importance.LogLikelihood", "k": 5000}.

        Raises:
            BuildError: a name or an argument is wrong.
        """
        case = self.case.model_copy(update={"evaluate": list(blocks) or self.case.evaluate})
        device = self.data.train.values.device
        built = pipeline.Built(self.dataset, self.data, self.model, device)
        return pipeline.evaluate(case, built, None, Hooks())


def trained_model(
    spec: Spec,
    at: Mapping[str, Any],
    seed: int,
    store: Store,
    profile: Profile | None = None,
    device: str = "cpu",
) -> Trained:
    """Return the trained model of a row and seed.

    Weights trained by today's code are preferred to those by the code of the stored result.

    Args:
        spec: the table.
        at: coordinates of one row.
        seed: seed of the run.
        store: the stored results.
        profile: profile of the run; by default the fullest that has weights.
        device: device for the model and its data.

    Raises:
        SpecError: no row or several rows have these coordinates, or the seed is no whole number.
        UserError: the cache has no weights; the message gives the call that trains them.
    """
    if not isinstance(seed, int) or seed < 0:
        raise SpecError(f"seed: expected a whole number from 0; found {seed!r}")
    check_rows([at], [spec])
    row, *others = spec.select([at])
    if others:
        names = "; ".join(label(r.at) for r in (row, *others))
        raise SpecError(f"{spec.id}: several rows have these coordinates: {names}")
    profiles: Sequence[Profile] = [profile] if profile else PROFILES[::-1]
    asked = [case for p in profiles for case in variants(spec, row, p, seed)]
    for case in asked:
        weights = _weights(case, device, store)
        if weights is not None:
            built = pipeline.construct(case, pick_device(device))
            built.model.load_state_dict(weights)
            built.model.eval()
            return Trained(case, built.model, built.dataset, built.splits)
    case = asked[0]
    again = ', rerun="all"' if store.read(case) is not None else ""
    name = label(row.at)
    raise UserError(
        f"{spec.id} {name}, seed {seed}: no weights in the cache {cache_folder()}. To train: "
        f"hwbench.run({spec.id!r}, {case.profile!r}, [{dict(row.at)!r}], seeds={seed + 1}{again})"
    )


def _weights(case: Case, device: str, store: Store) -> dict[str, Tensor] | None:
    """Return the weights after a case or, failing that, after its last stage; None without any."""
    from hwbench.learner import Checkpoint

    for file in _files(case, store):
        with contextlib.suppress(SafetensorError, OSError):  # damaged, or just deleted
            return load_file(file)
    job = Job(case, store.folder, cache_folder(), device)
    for file in stages_anywhere(job, len(case.train)):
        saved = Checkpoint(file).load()
        if saved is not None:
            return saved[1]["model"]
    return None


def _files(case: Case, store: Store) -> Iterator[Path]:
    """Yield the weight files of a case: by today's code, then by that of the stored result."""
    stored = store.read(case)
    codes: dict[str, Any] = {fingerprint(case): None}
    if stored is not None:
        codes[stored.fingerprint] = None
    for code in codes:
        start = f"{case.key[:16]}-{code}-"
        for folder in sorted((cache_folder() / "runs").glob(f"{start}*")):
            kind = folder.name.removeprefix(start).split("-")[0]
            file = folder / "model.safetensors"
            if folder.name == f"{start}{kind}{data_mark(case)}" and file.is_file():
                yield file
