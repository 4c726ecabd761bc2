"""What a person sees while cases run."""

import io

import pytest
from rich.console import Console

from hwbench.cli.progress import Display, describe, phases
from hwbench.numbers import rough_duration
from hwbench.runner.cost import Cost
from hwbench.runner.job import Job, Outcome
from hwbench.spec import cases


def display(folder, spec, costs=()):
    jobs = [Job(c, folder / "r", folder / "c") for c in cases(spec, "full")[:2]]
    console = Console(file=io.StringIO(), width=200)
    return Display(console, jobs, costs or [None, None]), jobs, console


def test_one_line_for_the_table_and_one_for_each_run(folder, spec):
    shown, jobs, console = display(folder, spec, [Cost((80.0,), 20.0), Cost((10.0,), 0.0)])
    step = {"stage": 0, "step": 30, "steps": 60, "epoch": 1.5, "objective": -7.25}
    shown.news(0, step)
    shown.news(1, {"evaluate": 0.5, "evaluator": "importance.LogLikelihood"})
    first, second, third = shown._lines()
    assert first.startswith("0/2 cases done")
    assert "step 30/60, epoch 1.5, objective -7.25" in second
    assert "evaluating (importance.LogLikelihood), 50%" in third
    shown.done(Outcome(jobs[0].case, "done", metrics={"log_likelihood": -6.5}, seconds=3.0))
    assert shown._lines()[0].startswith("1/2")
    assert "log_likelihood -6.50 (3 s)" in console.file.getvalue()
    shown.done(Outcome(jobs[1].case, "done", metrics={"error": 0.0162}, seconds=3.0))
    assert "error 0.0162 (3 s)" in console.file.getvalue()


def test_time_left_follows_the_share_of_the_cost(folder, spec):
    shown, jobs, _ = display(folder, spec, [Cost((90.0,), 0.0), Cost((10.0,), 0.0)])
    shown.started -= 50.0
    step = {"stage": 0, "step": 30, "steps": 60, "epoch": 1.5, "objective": -7.25}
    for index in (0, 1):
        shown.news(index, step)
    assert shown._left() == ", 2 min left"  # half of 90 on one worker, when the other is idle
    shown.done(Outcome(jobs[0].case, "done"))
    assert shown._left() == ", 3 s left"


def test_time_left_knows_where_training_is_expected_to_stop(folder, spec):
    """In the middle of the steps, and no later once it goes on."""
    cost = Cost((90.0,), 10.0, steps=(60,), shares=(0.5,))
    shown, *_ = display(folder, spec, [cost, Cost((), 0.0)])
    step = {"stage": 0, "steps": 60, "epoch": 1.5, "objective": -7.25}
    shown.started -= 50.0
    left = []
    for reached in (15, 30, 40):
        shown.news(0, step | {"step": reached})
        left.append(shown._left())
    assert left == [", 61 s left", ", 6 s left", ", 6 s left"]


def test_time_left_knows_a_long_stage_from_a_short_one(folder, spec):
    """And an evaluation; what is on file, at no cost, says nothing of the pace."""
    shown, *_ = display(folder, spec, [Cost((0.0, 10.0, 70.0), 20.0), Cost((), 0.0)])
    step = {"step": 30, "steps": 60, "epoch": 1.5, "objective": -7.25}
    shown.started -= 100.0
    left = []
    for news in (step | {"stage": 1}, {"stage": 2, "fit": 0.5}, {"evaluate": 0.5}):
        shown.news(0, news)
        left.append(shown._left())
    assert left == [", 32 min left", ", 2 min left", ", 11 s left"]  # 95, 55, 10 in 100 seconds
    shown.news(0, step | {"stage": 0})
    assert shown._left() == ""


def test_time_left_does_not_take_what_earlier_runs_did_for_the_pace(folder, spec):
    shown, *_ = display(folder, spec, [Cost((100.0,), 0.0), Cost((100.0,), 0.0)])
    shown.started -= 10.0
    shown.news(0, {"resumed": True})
    step = {"stage": 0, "steps": 100, "epoch": 1.5, "objective": -7.25}
    shown.news(0, step | {"step": 80})
    assert shown._left() == ""
    shown.news(0, step | {"step": 90})
    assert shown._left() == ", 2 min left"  # 10 in 10 seconds, 110 to go


@pytest.mark.parametrize("status", ["missing", "failed", "on file", "interrupted"])
def test_time_left_does_not_take_what_did_not_run_for_the_pace(folder, spec, status):
    shown, jobs, _ = display(folder, spec, [Cost((100.0,), 0.0), Cost((100.0,), 0.0)])
    shown.started -= 10.0
    shown.done(Outcome(jobs[0].case, status))
    assert shown._left() == ""
    step = {"stage": 0, "steps": 100, "epoch": 1.5, "objective": -7.25}
    shown.news(1, step | {"step": 10})
    assert shown._left() == ", 2 min left"  # 10 in 10 seconds, 90 to go


def test_what_a_case_does_now_replaces_what_it_did(folder, spec):
    shown, *_ = display(folder, spec)
    step = {"stage": 1, "step": 3, "steps": 60, "epoch": 1.5, "objective": -7.25}
    said = []
    for news in (
        {"waiting": "another process runs this case"},
        {"stage": 0, "fit": 1.0},
        step,
        {"evaluate": 0.5, "evaluator": "ais.AIS"},
    ):
        shown.news(0, news)
        said.append(shown._lines()[1].split(": ")[1])
    assert said == [
        "another process runs this case",
        "fitting, 100%",
        "step 3/60, epoch 1.5, objective -7.25",
        "evaluating (ais.AIS), 50%",
    ]


def test_what_is_not_known_counts_as_the_mean_of_what_is(folder, spec):
    """A fit as a stage, a case as its stages and a sixth of them for its evaluation."""
    jobs = [Job(c, folder / "r", folder / "c") for c in cases(spec, "full")[:2]]
    assert [len(job.case.train) for job in jobs] == [1, 1]
    assert phases(jobs, [Cost((4.0, 8.0, None), 2.0), None]) == [[4.0, 8.0, 6.0, 2.0], [6.0, 1.0]]
    assert phases(jobs, [Cost((0.0,), 0.0), Cost((0.0, 3.0), 0.0)]) == [[0.0, 0.0], [0.0, 3.0, 0.0]]
    assert phases(jobs, [None, None]) == [[1.0, 1 / 6]] * 2


def test_a_terminal_shows_lines_at_once_cut_and_in_their_own_colour(folder, spec):
    """Before any worker has started; a finished case does not colour what stands below it."""
    jobs = [Job(c, folder / "r", folder / "c") for c in cases(spec, "full")[:2]]
    file = io.StringIO()
    console = Console(file=file, width=50, force_terminal=True, color_system="standard")
    with Display(console, jobs, [None, None]) as shown:
        assert "0/2 cases done, 0 s elapsed; starting workers" in file.getvalue()
        step = {"stage": 0, "step": 30, "steps": 60, "epoch": 1.5, "objective": -7.25}
        shown.news(1, step)
        assert "starting workers" not in shown._lines()[0]
        file.seek(0)
        file.truncate()
        shown.done(Outcome(jobs[0].case, "done", metrics={"log_likelihood": -6.5}))
    lines = file.getvalue().splitlines()
    (finished,) = [line for line in lines if "✓" in line]
    assert "\x1b[32m" in finished
    live = [line for line in lines if "cases done" in line or "step 30/60" in line]
    assert live
    assert not any("\x1b[32m" in line.split("cases done")[0] for line in live)
    cut = [line for line in lines if "step 30/60" in line]
    assert all(line.rstrip("\x1b[0m").endswith("…") for line in cut)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "starting"),
        ({"waiting": "another process runs this case"}, "another process runs this case"),
        ({"fit": 0.25, "note": "EM"}, "fitting, 25% EM"),
        (
            {"step": 1, "steps": 2, "epoch": 0.5, "objective": -1.0, "validation": -2.0},
            "step 1/2, epoch 0.5, objective -1.00, validation -2.00",
        ),
        (
            {"step": 1, "steps": 2, "epoch": 0.5, "objective": -21.5, "validation": 0.0153},
            "step 1/2, epoch 0.5, objective -21.50, validation 0.0153",
        ),
    ],
)
def test_states_in_words(state, text):
    assert describe(state) == text


def test_durations_for_people():
    assert [rough_duration(s) for s in (1.0, 89.0, 600.0, 7200.0, 3e5)] == [
        "1 s",
        "89 s",
        "10 min",
        "2.0 h",
        "3.5 days",
    ]
