"""What is run of a row: smoke seeds, 200 steps, and which evaluators smoke does not reach."""

import pytest

from hwbench.attest.cases import (
    STEPS,
    affected,
    all_cases,
    shortened,
    smoke_cases,
    stops_early,
    switches,
    synthetic_points,
)
from hwbench.spec import load, variants


def case_at(spec, profile):
    return variants(spec, spec.rows[0], profile, 0)[0]


def test_all_profiles_of_all_rows_are_looked_at(spec):
    found = [(row.name, case.profile) for row, case in all_cases(spec)]
    assert found == [(r, p) for r in ("IWAE", "VAE") for p in ("smoke", "quick", "full")]


@pytest.mark.parametrize(("seeds", "run"), [(1, [0, 1]), (3, [0, 1, 2])])
def test_smoke_runs_at_its_seeds_and_at_least_two(folder, tiny_text, seeds, run):
    path = folder / "benchmarks" / "tiny" / "table.yaml"
    path.write_text(tiny_text.replace("smoke: {", f"smoke: {{seeds: {seeds}, "))
    spec = load(path)
    assert [c.seed for c in smoke_cases(spec, case_at(spec, "smoke"))] == run


def test_a_stage_is_cut_to_200_steps_and_keeps_the_rest(spec):
    full = case_at(spec, "full")
    short = shortened(full, case_at(spec, "smoke"))
    (stage,), (whole,) = short.train, full.train
    assert stage == {**{k: v for k, v in whole.items() if k != "epochs"}, "steps": STEPS}
    assert (short.data, short.model) == (full.data, full.model)
    assert short.evaluate == []  # smoke evaluates in the same way


def test_a_stage_of_fewer_steps_keeps_them_and_a_fit_stays(spec):
    full = case_at(spec, "full")
    stage = {k: v for k, v in full.train[0].items() if k != "epochs"}
    stages = [{**stage, "steps": 7}, {"fit": {"use": "em.EM"}}]
    short = shortened(full.model_copy(update={"train": stages}), full)
    assert short.train == stages


def test_evaluators_with_other_switches_are_run_after_the_steps(spec):
    smoke = case_at(spec, "smoke")
    extra = {"use": "importance.LogLikelihood", "k": 5000, "points": 100}
    full = case_at(spec, "full").model_copy(update={"evaluate": [*smoke.evaluate, extra]})
    (at_smoke,) = smoke.evaluate
    assert shortened(full, smoke).evaluate == [{**extra, "k": at_smoke["k"]}]


def test_such_evaluators_take_their_sizes_from_smoke(spec):
    """A chain of 14 500 temperatures takes the same path with 100."""
    own = {"use": "ais.AIS", "chains": 100, "schedule": [[0, 0.5, 500], [0.5, 1, 4000]]}
    at_smoke = {"use": "ais.AIS", "chains": 20, "schedule": [[0, 1, 100]], "points": 30}
    smoke = case_at(spec, "smoke").model_copy(update={"evaluate": [at_smoke]})
    full = case_at(spec, "full").model_copy(update={"evaluate": [{**own, "reverse": True}]})
    (found,) = shortened(full, smoke).evaluate
    assert found == {
        "use": "ais.AIS",
        "chains": 20,
        "schedule": [[0, 1, 100]],
        "reverse": True,
    }


def test_switches_are_names_and_truth_values():
    block = {"use": "a.B", "k": 5, "deep": {"on": True, "x": 1.5}, "ks": [1, 2], "names": ["c", 1]}
    assert switches(block) == {
        "use": "a.B",
        "k": 0,
        "deep": {"on": True, "x": 0},
        "ks": 0,
        "names": ["c", 0],
    }
    assert switches([True]) == [True]
    assert switches({"k": None}) == {"k": None}


def test_early_stopping_is_seen(spec):
    full = case_at(spec, "full")
    assert not stops_early(full)
    stage = {**full.train[0], "stop": {"patience": 3}}
    assert stops_early(full.model_copy(update={"train": [stage]}))


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({}, 50 * STEPS),
        ({"data": {"use": "real.Faces"}}, None),
        ({"train": [{"fit": {"use": "em.EM"}}]}, None),
    ],
)
def test_synthetic_points_suffice_for_the_steps(spec, changes, points):
    assert synthetic_points(case_at(spec, "full").model_copy(update=changes)) == points


def test_cases_that_differ_are_told_from_those_that_cannot_be_compared(spec):
    rows = list(all_cases(spec))[:5]
    old = [("k", "a"), ("k", "a"), ("j", "a"), "ValueError: no", ("k", "a")]
    new = [("k", "a"), ("k", "b"), ("k", "b"), ("k", "b"), "ImportError: no"]
    found, barred = affected(rows, old, new)
    assert [(a.row.name, a.profile, a.old, a.new) for a in found] == [("IWAE", "quick", "a", "b")]
    assert [reason for _, reason in barred] == [
        "its key differs between the two",
        "the old code does not take it (ValueError: no)",
        "the new code does not take it (ImportError: no)",
    ]
