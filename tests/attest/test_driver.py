"""What a side answers, called in this process."""

import numpy as np
import pytest

from hwbench import pipeline
from hwbench.attest import driver
from hwbench.attest.cases import shortened
from hwbench.attest.side import as_sent
from hwbench.runner.result import run_case
from hwbench.spec import Case, variants


@pytest.fixture
def smoke(spec):
    return variants(spec, spec.rows[0], "smoke", 0)[0]


@pytest.fixture
def full(spec):
    return variants(spec, spec.rows[0], "full", 0)[0]


def test_a_run_gives_every_number_of_the_result(smoke, monkeypatch, tmp_path):
    kept = []

    def kept_too(*arguments):
        kept.append(run_case(*arguments))
        return kept[-1]

    monkeypatch.setattr("hwbench.runner.result.run_case", kept_too)
    found, told = driver.run(smoke, "cpu", tmp_path)
    ((result, arrays),) = kept
    assert found["metric log_likelihood"] == result.metrics["log_likelihood"].value
    assert found["se of log_likelihood"] == result.metrics["log_likelihood"].se
    assert {f"array {name}" for name in arrays} <= set(found)
    assert {f"curve {name}" for name in result.curves} <= set(found)
    assert {f"diagnostic {name}" for name in result.diagnostics} <= set(found)
    assert any(name.startswith("weight ") for name in found)
    assert told == {"machine": result.machine}
    assert all(driver.plain(value).dtype == np.float64 for value in found.values())


def test_steps_are_those_of_the_learner(full, smoke):
    """An epoch of 20 steps is the whole of this run, so its weights are those of a run."""
    (stage,) = full.train
    stage = {k: v for k, v in stage.items() if k not in ("epochs", "validate")} | {"steps": 20}
    full = full.model_copy(update={"train": [stage]})
    found, told = driver.steps(shortened(full, smoke), "cpu", 0)
    assert len(found["loss"]) == 20
    assert told == {"idle": False}
    whole = pipeline.construct(full, driver.construct(full, "cpu", 0).device)
    pipeline.train(full, whole, None, driver.find("Hooks", "hwbench.protocols")())
    for name, value in whole.model.state_dict().items():
        assert (found[f"weight {name}"] == value).all()


def test_evaluators_that_smoke_lacks_see_few_points(full, smoke):
    extra = {"use": "importance.LogLikelihood", "k": 3, "points": 10}
    short = shortened(full.model_copy(update={"evaluate": [extra], "train": []}), smoke)
    found, _ = driver.steps(short, "cpu", 0)
    assert "metric log_likelihood" in found
    assert len(found["array log_px"]) == 10


@pytest.mark.parametrize("iterations", [1, 5])
def test_a_fit_is_stopped_when_its_loop_has_turned_twice(iterations):
    case = Case(
        spec="a/b",
        at={},
        profile="full",
        seed=0,
        data={"use": "synthetic.Bars", "pixels": "fixed"},
        model={"use": "mixture.BernoulliMixture", "components": 2},
        train=[{"fit": {"use": "em.EM", "iterations": iterations}}],
        evaluate=[],
    )
    found, told = driver.steps(case, "cpu", 0)
    if iterations == 1:
        assert told == {"idle": False}
        assert "curve train/objective" in found
    else:
        assert told == {"idle": False, "stopped": 0}
        assert "curve train/objective" not in found


@pytest.mark.parametrize("pixels", ["fixed", "dynamic", "grey", "threshold"])
def test_synthetic_points_have_the_shape_the_pixels_and_the_number(full, pixels):
    data = {"use": "digits.Digits", "pixels": pixels}
    case = full.model_copy(update={"data": data})
    real, made = (driver.construct(case, "cpu", points) for points in (0, 300))
    assert len(made.splits.train) == 300
    assert made.dataset.shape == real.dataset.shape
    assert made.dataset.classes == real.dataset.classes
    for a, b in zip(real.splits, made.splits, strict=True):
        if a is not None:
            assert (a.visible, a.scale, a.resample) == (b.visible, b.scale, b.resample) or (
                pixels == "dynamic" and a is not real.splits.train
            )
            assert a.values.dtype == b.values.dtype
            assert (a.labels is None) == (b.labels is None)


def test_code_without_production_paths_has_one_path():
    entered = False
    with driver.production_paths():
        entered = True
    assert entered


def test_fields_that_older_code_lacks_are_sent_only_if_they_say_something(smoke):
    sent = as_sent(smoke)
    assert "overrides" not in sent
    variant = smoke.model_copy(update={"overrides": {"seed": 1}})
    assert as_sent(variant)["overrides"] == {"seed": 1}
    assert Case.model_validate(sent) == smoke


def test_a_case_that_the_code_does_not_take_has_no_identity(smoke):
    good, bad = driver.identities([smoke.model_dump(), {"spec": "a/b"}])
    assert good[0] == smoke.key
    assert bad.startswith("ValidationError: ")
