"""Every evaluator of the shelf obeys its protocol on every model that it says it can measure."""

from __future__ import annotations

import copy
import dataclasses
import math
import typing
from fnmatch import fnmatchcase

import numpy as np
import pytest
import torch

from hwbench import build
from hwbench.protocols import (
    Evaluation,
    Interrupted,
    Metric,
    PairedValidationSplit,
    Pairs,
    PicturingEvaluator,
    PlottingEvaluator,
    Scratch,
    TestSplit,
    ValidationSplit,
)

EVALUATORS = build.shelf("evaluate")
MODELS = build.shelf("model")
PAIRS = {
    f"{name}-{model_name}": (evaluator, model)
    for name, evaluator in EVALUATORS.items()
    for model_name, model in MODELS.items()
    if issubclass(model, evaluator.trains())
}
KINDS = typing.get_args(typing.get_type_hints(Metric)["kind"])


class Trial:
    """An evaluator, a tiny model and points, with what is found at seed 0 on all of them."""

    def __init__(self, evaluator_class, model, points) -> None:
        self.evaluator, self.model, self.points = evaluator_class.tiny(), model, points
        if hasattr(self.evaluator, "points"):
            self.evaluator.points = 10**6  # more than there are: all of them
        self.state = copy.deepcopy(model.state_dict())
        self.progress: list[float] = []
        torch.manual_seed(1)
        self.stream = torch.get_rng_state()
        self.found = self.evaluator(model, points, seed=0, progress=self.progress.append)
        self.stream_after = torch.get_rng_state()


@pytest.fixture
def trial(tried, unchecked) -> Trial:
    return tried


@pytest.fixture(scope="module", params=PAIRS.values(), ids=PAIRS.keys())
def tried(request, away, points_for) -> Trial:
    """Shapes are checked here.

    Skipped where the evaluator says that the model lacks what its protocol does not promise.
    """
    evaluator_class, model_class = request.param
    model = away(model_class).eval()
    try:
        return Trial(evaluator_class, model, points_for(model, TestSplit, n=12))
    except ValueError as error:
        if type(model).__name__ not in str(error):
            raise
        pytest.skip(str(error))


def same(a, b) -> bool:
    """Return whether two evaluations are equal to the bit; NaN is equal to NaN."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def drawn(evaluator) -> set[str]:
    """Return the names of arrays that are for figures."""
    return {
        n for kind in ("images", "lines", "clouds", "lists") for n in getattr(evaluator, kind, ())
    }


def test_the_shelf_is_not_empty():
    assert {"importance.LogLikelihood", "ais.AIS", "exact.ExactLogLikelihood"} <= set(EVALUATORS)


@pytest.mark.parametrize("name", EVALUATORS)
def test_there_is_a_model_for_it(name, away, points_for):
    """And one of them at least can be measured."""
    cls = EVALUATORS[name]
    answers = []
    for model_class in MODELS.values():
        if issubclass(model_class, cls.trains()):
            model = away(model_class).eval()
            try:
                cls.tiny()(model, points_for(model, TestSplit, n=4), seed=0)
                return
            except ValueError as error:
                answers.append(str(error))
    pytest.fail(f"no model of the shelf is a {cls.trains().__name__} that it measures: {answers}")


def test_what_is_found_can_be_stored(trial):
    """Finite numbers with errors that are not negative, arrays by point, curves over rising x."""
    found, points = trial.found, len(trial.points)
    assert isinstance(found, Evaluation)
    assert found.metrics or found.curves
    declared = trial.evaluator.metrics
    assert fnmatchcase(next(iter(found.metrics)), declared[0])
    assert all(any(fnmatchcase(name, d) for d in declared) for name in found.metrics), declared
    assert found.curves.keys() == set(trial.evaluator.curves)
    for name, metric in found.metrics.items():
        assert type(metric.value) is float, name
        assert math.isfinite(metric.value), name
        for error in (metric.se, metric.mc_se):
            assert type(error) is float, name
            assert math.isnan(error) or 0 <= error < math.inf, name
        assert type(metric.n) is int, name
        assert type(metric.k) is int, name
        assert 0 < metric.n <= points, name
        assert metric.kind in KINDS, name
    for name, values in found.per_point.items():
        assert isinstance(values, np.ndarray), name
        assert np.isfinite(values).all(), name
        assert len(values) == points or name.removesuffix("_captions") in drawn(trial.evaluator), (
            name
        )
    for name, curve in found.curves.items():
        assert len(curve.x) == len(curve.y) > 0, name
        assert len(curve.se) in (0, len(curve.y)), name
        assert all(type(v) is float and math.isfinite(v) for v in curve.x + curve.y), name
        assert curve.x == sorted(curve.x), name
    assert all(type(v) is float for v in found.diagnostics.values())
    assert all(isinstance(warning, str) for warning in found.warnings)


def test_images_are_bytes_of_some_points(trial):
    """As declared, of the shape that the diagnostics give; −1 is where there is nothing.

    They are all of a point, or what comes first in it.
    """
    if not isinstance(trial.evaluator, PicturingEvaluator):
        pytest.skip("keeps no images")
    found = trial.found
    assert trial.evaluator.images
    height, width = (found.diagnostics[f"image_{side}"] for side in ("height", "width"))
    assert height * width <= trial.points.visible
    arrays = [found.per_point[name] for name in trial.evaluator.images]
    assert len({array.shape for array in arrays}) == 1
    assert arrays[0].shape[1] == height * width
    assert 0 < len(arrays[0]) <= len(trial.points)
    for array in arrays:
        assert array.dtype in (np.uint8, np.int16)
        assert -1 <= array.min() <= array.max() <= 255


def test_what_can_be_measured_is_not_refused(trial):
    assert trial.evaluator.refuse(trial.model, (trial.points.visible,)) is None


def test_lines_and_clouds_are_numbers(trial):
    """Lines [n, T]; points [n, 3], the last column of which counts classes."""
    if not isinstance(trial.evaluator, PlottingEvaluator):
        pytest.skip("keeps nothing to plot")
    assert trial.evaluator.lines or trial.evaluator.clouds
    for name in (*trial.evaluator.lines, *trial.evaluator.clouds):
        array = trial.found.per_point[name]
        assert array.dtype == np.float32, name
        assert array.ndim == 2, name
        assert len(array), name
    for name in trial.evaluator.clouds:
        points = trial.found.per_point[name]
        assert points.shape[1] == 3, name
        assert (points[:, 2] == points[:, 2].round().clip(0)).all(), name


def test_log_likelihood_and_nll_are_one_number(trial):
    """NLL = −log-likelihood with the same errors; the values by point have it for their mean."""
    value = trial.found.metrics.get("log_likelihood")
    if value is None:
        pytest.skip("measures no log-likelihood")
    nll = trial.found.metrics.get("nll")
    if nll is not None:
        assert nll.value == pytest.approx(-value.value, rel=1e-12)
        assert same([nll.se, nll.mc_se, nll.n, nll.k], [value.se, value.mc_se, value.n, value.k])
    if "log_px" in trial.found.per_point:
        log_px = trial.found.per_point["log_px"].astype(np.float64)
        assert log_px.mean() == pytest.approx(value.value, abs=1e-5)  # they are kept as float32
        assert log_px.std(ddof=1) / math.sqrt(len(log_px)) == pytest.approx(value.se, abs=1e-5)


def test_a_seed_fixes_what_is_found(trial):
    """To the bit, wherever torch's own stream is, and for either kind of held-out points."""
    torch.manual_seed(2)
    p = trial.points
    if isinstance(p, Pairs):
        other = PairedValidationSplit(**vars(p))
    else:
        other = ValidationSplit(p.values, p.labels, p.scale, p.resample)
    assert same(trial.found, trial.evaluator(trial.model, other, seed=0))


def test_nothing_is_left_behind(trial, points_for):
    """Neither in the model nor in the points nor in torch's random stream and modes."""
    assert torch.equal(trial.stream, trial.stream_after)
    for name, value in trial.model.state_dict().items():
        assert torch.equal(value, trial.state[name]), name
    for name, p in trial.model.named_parameters():
        assert p.grad is None, name
        assert p.requires_grad, name
    assert not any(module.training for module in trial.model.modules())
    fresh = points_for(trial.model, TestSplit, n=12)
    assert torch.equal(trial.points.values, fresh.values)
    if isinstance(fresh, Pairs):
        assert torch.equal(trial.points.targets, fresh.targets)
    else:
        assert torch.equal(trial.points.labels, fresh.labels)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_grey_pixels_give_a_score(trial, points_for):
    """In a formula for binary pixels grey ones give no likelihood, and the metric says so."""
    if "log_likelihood" not in trial.found.metrics:
        pytest.skip("measures no log-likelihood")
    grey = points_for(trial.model, TestSplit, n=6, grey=True)
    metrics = trial.evaluator(trial.model, grey, seed=0).metrics
    names = {"log_likelihood", "nll"} & metrics.keys()
    assert {metrics[name].kind for name in names} == {"score"}


def test_a_subset_is_what_was_asked_for(trial):
    """`points` counts the points used; more than there are is all of them."""
    if not hasattr(trial.evaluator, "points"):
        pytest.skip("takes all points")
    assert {metric.n for metric in trial.found.metrics.values()} == {len(trial.points)}
    few = copy.copy(trial.evaluator)
    few.points = 5
    found = few(trial.model, trial.points, seed=0)
    assert {metric.n for metric in found.metrics.values()} == {5}
    kept = {k: v for k, v in found.per_point.items() if k not in drawn(trial.evaluator)}
    assert all(len(values) == 5 for values in kept.values())


def test_progress_rises_to_1(trial):
    assert trial.progress
    assert trial.progress == sorted(trial.progress)
    assert trial.progress[0] >= 0
    assert trial.progress[-1] == pytest.approx(1.0)


class Memory(Scratch):
    """Keeps copies, as a file would."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        return copy.deepcopy(self.kept.get(name))

    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        self.kept[name] = copy.deepcopy(arrays)


def test_an_interrupted_evaluation_goes_on_from_there(trial, points_for):
    """Stopped at its first news, begun again and stopped at the second: what is found at once."""
    if not trial.evaluator.resumable:
        pytest.skip("not resumable")
    points = points_for(trial.model, TestSplit, n=150)
    whole = trial.evaluator(trial.model, points, seed=0, scratch=Memory())
    scratch = Memory()
    for last in (1, 2):
        news: list[float] = []

        def stop(fraction: float, news: list[float] = news, last: int = last) -> None:
            news.append(fraction)
            if len(news) == last:
                raise Interrupted

        with pytest.raises(Interrupted):
            trial.evaluator(trial.model, points, seed=0, scratch=scratch, progress=stop)
    assert scratch.kept
    assert same(whole, trial.evaluator(trial.model, points, seed=0, scratch=scratch))
