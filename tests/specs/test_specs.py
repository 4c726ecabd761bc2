"""Every YAML file of benchmarks/, found by itself: it loads, builds, and runs offline."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest

from hwbench import pipeline
from hwbench.build import check_arguments, find_class
from hwbench.check import check
from hwbench.runner.job import Job
from hwbench.runner.work import work
from hwbench.spec import (
    PROFILES,
    Case,
    Profile,
    Row,
    Spec,
    cases,
    find,
    load,
    parse,
    plain,
    resolve,
    runs_at,
)
from hwbench.store import Store
from hwbench.verdict.claim import parts_of
from hwbench.verdict.table import compare

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = find(BENCHMARKS)
STEPS = 3  # of each training stage

specs = pytest.mark.parametrize("name", FILES)


@functools.cache
def spec_of(name: str) -> Spec:
    return load(FILES[name])


def short(case: Case) -> Case:
    """Return the case with its training cut to a few steps, and fits to a few iterations."""
    stages = []
    for stage in case.train:
        if "fit" in stage:
            fit = stage["fit"]
            cls = find_class("fit", fit["use"])
            known = not check_arguments(cls, {"iterations": STEPS})
            stages.append({"fit": {**fit, "iterations": STEPS} if known else fit})
        else:
            stages.append({k: v for k, v in stage.items() if k != "epochs"} | {"steps": STEPS})
    return case.model_copy(update={"train": stages})


def evaluators(spec: Spec, row: Row, profile: Profile) -> list[dict[str, Any]]:
    """Return the blocks of a row's evaluators."""
    evaluate = resolve(spec, row, profile)["evaluate"]
    return evaluate if isinstance(evaluate, list) else [evaluate]


def parts(spec: Spec, row: Row) -> str:
    """Return what decides which curves a row has: its kinds of training and its evaluators."""
    blocks = plain(resolve(spec, row, "smoke"))
    train = blocks.get("train") or {}
    stages = train if isinstance(train, list) else [train]
    uses = [block["use"] for block in evaluators(spec, row, "smoke")]
    return str(([bool(s.get("validate")) for s in stages], uses))


def test_there_are_specs():
    assert "iwaer/table1" in FILES


@specs
def test_it_loads_without_a_problem(name):
    spec, _, problems = parse(FILES[name])
    assert [str(problem) for problem in problems] == []
    assert spec is not None
    assert spec.id == name


@pytest.mark.slow  # `make check` does the same
@specs
def test_names_and_arguments_fit_at_every_profile(name):
    """Builds the model of every row, without data, and sees that rule and evaluators can use it."""
    assert [str(problem) for problem in check(spec_of(name))] == []


@specs
def test_it_says_what_the_paper_leaves_open(name):
    spec = spec_of(name)
    assert spec.assumptions
    assert all(text.strip() for text in (spec.title, spec.source, spec.metric, *spec.assumptions))


def named(block) -> bool:
    """Return whether an evaluator gives its net a random stream of its own."""
    return block["use"].startswith("independent.") and "net" in block


@functools.cache
def evaluators_of(name: str, profile: Profile) -> list[list[dict[str, Any]]]:
    """Return the blocks of the evaluators of each row of a spec."""
    return [evaluators(spec_of(name), row, profile) for row in spec_of(name).rows]


@specs
@pytest.mark.parametrize("profile", PROFILES)
def test_nets_on_streams_of_their_own_have_names_of_their_own(name, profile):
    """No two rows name the same stream; where a paper has such nets, none shares the plain one."""
    blocks = evaluators_of(name, profile)
    nets = [{block["net"] for block in row if named(block)} for row in blocks]
    assert len(set().union(*nets)) == sum(map(len, nets))
    paper = [other for other in FILES if spec_of(other).paper == spec_of(name).paper]
    if any(named(b) for other in paper for row in evaluators_of(other, profile) for b in row):
        shared = [b["use"] for row in blocks for b in row if b["use"] == "importance.LogLikelihood"]
        assert shared == []


@specs
def test_its_claims_compare_rows(name):
    """Each claim has a combination of coordinates at which two sides have rows."""
    spec = spec_of(name)
    for claim in spec.claims:
        parts = parts_of(spec, claim)
        assert parts, claim.id
        for _, sides in parts:
            first, *others = ({row.name for row in side.rows} for side in sides)
            assert not any(first & other for other in others), claim.id


@specs
@pytest.mark.parametrize("profile", PROFILES)
def test_it_resolves_at_each_profile(name, profile):
    """Into cases with a file of their own each; cases alike in content are alike in key."""
    spec = spec_of(name)
    found = cases(spec, profile)
    assert found
    assert len({case.path for case in found}) == len(found)
    for row in spec.rows:
        mine = [case for case in found if case.at == row.at]
        assert bool(mine) == runs_at(spec, row, profile)
        assert [case.seed for case in mine] == list(range(len(mine)))
        assert len({case.key for case in mine}) == len(mine)


@specs
def test_what_was_published_can_be_judged(name):
    """A row with a number runs at `full`, on the data that it names."""
    spec = spec_of(name)
    for row in spec.rows:
        if row.published is not None and row.incomparable is None:
            assert runs_at(spec, row, "full"), row.name
    assert not any(case.stands_in_for for case in cases(spec, "full"))


@specs
def test_smoke_needs_no_files(name):
    """The preferred data set of every row is in a wheel or generated."""
    for case in cases(spec_of(name), "smoke"):
        assert pipeline.dataset_of(case.data).files == (), case.label


@specs
def test_a_smoke_case_runs_to_its_result(name, tmp_path, monkeypatch):
    """The first row at seed 0, training cut short: what the table and its claims ask is there."""
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    spec = spec_of(name)
    case = short(cases(spec, "smoke")[0])
    store = Store(tmp_path / "results")
    job = Job(case, store.folder, tmp_path / "cache", "cpu")
    outcome = work(job, lambda news: None, lambda: False)
    assert outcome.status == "done", outcome.message
    result = store.read(case)
    assert result is not None
    row = next(row for row in spec.rows if row.at == case.at)
    wanted = {spec.metric, *(row.also or {})}
    wanted |= {claim.metric for claim in spec.claims if claim.metric and row.matches(claim.where)}
    assert wanted <= result.metrics.keys()
    assert all(math.isfinite(metric.value) for metric in result.metrics.values())
    for figure in spec.figures:
        shown = [r for r in spec.rows if figure.kind == "curve" and r.matches(figure.where)]
        if row in shown and len({parts(spec, r) for r in shown}) == 1:
            assert figure.curve in result.curves, figure.title
        if figure.kind == "images" and row.matches(figure.where):
            assert set(figure.images or []) & store.per_point(result).keys(), figure.title
    assert store.path(case).stat().st_size < 50_000
    comparison = compare(spec, store, profile="smoke")
    assert {outcome.row.name for outcome in comparison.rows} == {row.name for row in spec.rows}
