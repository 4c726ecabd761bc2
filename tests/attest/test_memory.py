"""A comparison that was stopped resumes; what is the same run is run once; how long it takes."""

import math
import signal

import pytest

from hwbench.attest.judge import Change, Spread
from hwbench.attest.memory import Answer, Memory, Question
from hwbench.attest.pace import ALIKE, SMOKE, START, STEPS_UNKNOWN, Pace, Rates
from hwbench.cli.main import terminable
from hwbench.spec import variants
from hwbench.store import Result

A, B, C = (letter * 16 for letter in "abc")
MOVED = Change(math.inf, Spread(2.0, 0.5, 2, (1e-3, 2e-3)))
FOUND = Answer({"metric nll": MOVED}, {"device": "CPU (here)", "torch": "2.13"})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def case(spec):
    return variants(spec, spec.rows[0], "full", 0)[0]


def refuse():
    raise AssertionError("it is known")


def stopped():
    raise KeyboardInterrupt


def test_an_answer_outlives_its_process(case):
    question = Question("steps", case, (A, B))
    memory = Memory("cpu")
    with pytest.raises(KeyboardInterrupt):
        memory.answer(question, stopped)
    assert memory.recall(question) is None
    assert memory.answer(question, lambda: FOUND) == FOUND
    assert memory.answer(question, refuse) == FOUND
    assert Memory("cpu").answer(question, refuse) == FOUND


def test_rows_of_the_same_training_share_an_answer(case):
    """Spec, row and profile are names; the key is what decides the numbers."""
    other = case.model_copy(update={"spec": "other/table", "at": {"x": 1}, "profile": "quick"})
    memory = Memory("cpu")
    memory.answer(Question("steps", case, (A, B)), lambda: FOUND)
    assert memory.answer(Question("steps", other, (A, B)), refuse) == FOUND


def test_other_code_runs_points_or_devices_are_other_questions(case):
    Memory("cpu").answer(Question("steps", case, (A, B)), lambda: FOUND)
    others = [
        Question("steps", case, (A, C)),
        Question("steps", case, (C, B)),
        Question("smoke", case, (A, B), 2),
        Question("steps", case, (A, B), 1, 1000),
        Question("steps", case.model_copy(update={"seed": 1}), (A, B)),
    ]
    assert [Memory("cpu").recall(question) for question in others] == [None] * 5
    assert Memory("cuda").recall(Question("steps", case, (A, B))) is None


def test_sigterm_interrupts_as_ctrl_c_does():
    before = signal.getsignal(signal.SIGTERM)
    with terminable(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_start_says_how_much_there_is_by_the_rates_on_file(case):
    steps = case.model_copy(update={"train": [{**case.train[0], "steps": 200}]})
    questions = [Question("smoke", case, (A, B), 2), Question("steps", steps, (A, B))]
    unknown = ALIKE * (2 * SMOKE + START + STEPS_UNKNOWN)
    pace = Pace([*questions, questions[1]], Rates())  # the same question is run once
    assert pace.start(1).startswith("1 rows to compare, 2 runs by both codes: ")
    assert unknown < 60
    rates = Rates()
    on_file = {"case": case, "key": case.key, "fingerprint": A, "metrics": {}}
    rates.learn([Result(**on_file, steps_per_second=0.02)])  # 10 000 s for 200 steps, twice
    assert "5.6 h if their numbers are alike" in Pace(questions, rates).start(1)
    assert Pace([], rates).start(3) == "3 rows to compare: nothing left to run"


def test_the_news_say_what_is_left(case):
    questions = [Question("smoke", case, (A, B), 2), Question("steps", case, (A, B))]
    pace = Pace(questions, Rates())
    assert pace.next("first", questions[0]).startswith("first (1 of 2, ")
    assert pace.next("second", questions[1]) == "second (2 of 2, 1 min left)"
