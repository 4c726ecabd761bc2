"""The estimate of a campaign, and what its observer hears."""

import pytest
import torch

from hwbench import executors
from hwbench.executors.local import Done
from hwbench.runner.campaign import LONG, Observer, estimate, refuse_unshortened
from hwbench.runner.cost import Cost
from hwbench.runner.plan import Plan
from hwbench.runner.work import work
from hwbench.spec import SpecError
from hwbench.store import Store
from tests.runner.jobs import STAGES, failing, never, quiet, trained


@pytest.mark.slow
def test_an_estimate_knows_the_stages_of_workers_with_other_threads(job):
    """Their names hold the number of threads; the process that plans has its own."""

    jobs = [trained(job, STAGES[:1]), trained(job, STAGES[:2])]
    executor = executors.make("local", 1, torch.get_num_threads() + 1)
    assert [done.outcome.status for done in executor.map("hwbench.runner.work:work", jobs[:1])] == [
        "done"
    ]
    found = estimate(jobs, executor, 1, True, Observer())
    assert [cost.stages[0] for cost in found] == [0, 0]
    assert found[1].stages[1] > 0


def test_an_estimate_tells_of_an_evaluation_that_cannot_work(job, monkeypatch):
    """Before the training that it would come after."""

    bad = failing(
        job,
        data={"use": "digits.Digits", "pixels": "grey"},
        model={"use": "rbm.RBM", "hidden": 2, "grey": True},
        train=[{"rule": {"use": "contrastive.ContrastiveDivergence"}, "epochs": 1}],
        evaluate=[{"use": "completion.BoltzmannCompletion", "size": [16, 8]}],
    )
    told = []
    observer = Observer()
    monkeypatch.setattr(observer, "trial_failed", lambda *news: told.append(news))
    left, right = estimate([bad, job], executors.make("inline", 1, 1), 1, True, observer)
    assert left is None
    assert right.total > 0
    ((case, reason),) = told
    assert case == bad.case
    assert reason.startswith("ValueError: ")
    assert "of 64 units are not of 16 x 8" in reason


def test_an_estimate_knows_where_other_seeds_stopped_early(job):
    """Not those of a row with other training."""
    (stage,) = job.case.train
    stage = stage | {"epochs": 40, "stop": {"patience": 1}, "optimizer": {"use": "SGD", "lr": 1e-9}}
    longer = stage | {"stop": {"patience": 2}}
    first, second, other = (
        trained(job, [stages], seed=seed) for stages, seed in ((stage, 0), (stage, 1), (longer, 1))
    )
    assert work(first, quiet, never).status == "done"
    ran = Store(job.results).read(first.case).steps
    known, unknown = estimate([second, other], executors.make("inline", 1, 1), 1, True, Observer())
    assert ran < known.steps[0]
    assert known.shares == (ran / known.steps[0],)
    assert unknown.shares == ()
    assert unknown.steps == known.steps


def test_a_trial_that_is_ended_on_request_has_not_failed(job, monkeypatch):
    """The worker of a step of minutes is killed, and not because memory is short."""
    executor = executors.make("inline", 1, 1)

    def killed(function, items, on_news=None):
        executor.stop()
        yield Done(0, error="the worker process was ended by SIGKILL (out of memory?)")

    monkeypatch.setattr(executor, "map", killed)
    told = []
    observer = Observer()
    monkeypatch.setattr(observer, "trial_failed", lambda *news: told.append(news))
    assert estimate([job], executor, 1, True, observer) == [None]
    assert not told


@pytest.mark.parametrize("fetched", [True, False])
def test_a_case_without_its_data_costs_nothing_once_they_could_not_be_had(
    job, monkeypatch, fetched
):
    """Before, its cost is not known."""

    other = failing(job, data={"use": "mnist.MNIST", "pixels": "fixed"})
    is_here = "hwbench.runner.campaign.is_here"
    monkeypatch.setattr(is_here, lambda data: data["use"] != "mnist.MNIST")
    executor = executors.make("inline", 1, 1)
    here, gone = estimate([job, other], executor, 1, fetched, Observer())
    assert here.total > 0
    assert gone == (Cost((0.0,), 0.0) if fetched else None)


@pytest.mark.parametrize(
    ("stages", "seconds", "says"),
    [
        ([{"rule": {}, "epochs": 9}], [LONG + 1], "{train: {epochs: null, steps: 50}}"),
        ([{"rule": {}, "steps": 9}], [LONG + 1], "{train: {steps: 50}}"),
        (
            [{"rule": {}, "steps": 9}, {"fit": {}}, {"rule": {}, "epochs": 9}],
            [1.0, None, LONG],
            "{train: [{steps: 50}, {}, {epochs: null, steps: 50}]}",
        ),
        ([{"rule": {}, "epochs": 9}], [LONG], None),
        ([{"fit": {}}], [None], None),
    ],
)
def test_a_profile_below_full_has_to_shorten_a_long_training(job, stages, seconds, says):
    """Unless it is known to be short, or is a fit; the message has what to add."""
    own = trained(job, stages, profile="smoke")
    whole = {own.case.key: [i for i, stage in enumerate(stages) if "rule" in stage]}
    plan = Plan("smoke", [own.case], whole=whole)
    costs = [Cost(tuple(seconds), 1e6)]
    if says is None:
        refuse_unshortened(plan, [own], costs)
        return
    with pytest.raises(SpecError) as refused:
        refuse_unshortened(plan, [own, own], costs * 2)
    message = str(refused.value)
    assert message.startswith("tiny/table IWAE: training at smoke is as long as at full, about 6")
    assert f"`profiles: {{smoke: {says}}}`" in message
    refuse_unshortened(Plan("smoke", [own.case]), [own], costs)  # what a shortened plan says
