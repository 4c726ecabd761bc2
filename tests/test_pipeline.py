"""Stages that follow each other, stopped and resumed."""

import pytest
import torch

from hwbench import pipeline
from hwbench.protocols import Hooks, Interrupted
from hwbench.spec import Case

CPU = torch.device("cpu")
CASE = Case(
    spec="tiny/net",
    at={"method": "DBM"},
    profile="smoke",
    seed=0,
    data={"use": "digits.Digits", "pixels": "grey"},
    model={"use": "finetuned.FineTunedDBM", "layers": [4, 3]},
    train=[
        {"rule": {"use": "pretraining.GreedyCD", "layer": 1}, "steps": 5},
        {"rule": {"use": "boltzmann.MeanFieldPCD"}, "steps": 5},
        {"fit": {"use": "supervised.Backpropagation", "epochs": 3}},
    ],
    evaluate=[{"use": "classification.ErrorRate"}],
)


def trained(folder, hooks=None):
    built = pipeline.construct(CASE, CPU)
    pipeline.train(CASE, built, folder, hooks or Hooks())
    return built.model.state_dict()


@pytest.mark.parametrize("fitted", [1 / 3, 2 / 3])
def test_a_fit_stopped_after_other_stages_goes_on_from_their_model(tmp_path, fitted):
    """As an unbroken run, to the bit: the fit begins anew, from where the stage before ended."""
    whole = trained(tmp_path / "whole")
    heard: list[float] = []
    stop = Hooks(
        report=lambda news: heard.append(news.get("fit", 0.0)),
        stop=lambda: bool(heard) and max(heard) >= fitted - 1e-9,
    )
    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", stop)
    resumed = trained(tmp_path / "stopped")
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
