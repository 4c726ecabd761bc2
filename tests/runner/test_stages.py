"""Trained stages are shared among cases that train them alike, and among no others."""

import dataclasses
from pathlib import Path

import pytest
import torch

from hwbench import learner
from hwbench.runner.stages import stage_file
from hwbench.runner.work import work
from hwbench.store import Store
from tests.runner.jobs import STAGES, never, quiet, trained


@pytest.mark.parametrize("begun", [STAGES[:1], STAGES[:2], STAGES])
def test_stages_that_another_case_has_trained_are_not_trained_again(folder, job, begun):
    """A case that begins like one before, or is measured otherwise, has the same numbers."""
    alone = dataclasses.replace(trained(job, STAGES), cache=folder / "alone")
    expected = work(alone, quiet, never).metrics
    assert work(trained(job, begun, evaluate=[]), quiet, never).status == "done"
    news = []
    again = dataclasses.replace(trained(job, STAGES), results=folder / "again")
    assert work(again, news.append, never).metrics == expected
    assert {item["stage"] for item in news if "stage" in item} == set(range(len(begun), 3))
    assert Store(again.results).read(again.case).steps == 180  # all that the numbers rest on


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"data": {"use": "digits.Digits", "pixels": "fixed"}},
        {"model": {"use": "vae.VAE", "latent": 3, "hidden": [5]}},
    ],
)
def test_stages_of_other_seeds_data_and_models_are_not_borrowed(job, changes):
    work(trained(job, STAGES[:1]), quiet, never)
    news = []
    work(trained(job, STAGES[:2], **changes), news.append, never)
    assert {item["stage"] for item in news if "stage" in item} == {0, 1}


@pytest.mark.parametrize("changed", ["machine", "sources", "files"])
def test_stages_of_other_machines_code_and_files_are_not_borrowed(changed, job, monkeypatch):
    before = stage_file(job, 1)
    assert stage_file(job, 1) == before
    if changed == "machine":
        monkeypatch.setattr("hwbench.runner.stages.machine", lambda device: {"torch": "another"})
    elif changed == "sources":
        monkeypatch.setattr("hwbench.runner.stages.fingerprint", lambda case: "another")
    else:
        monkeypatch.setattr("hwbench.datasets.synthetic.Bars.files", ("bars/copy.npz",))
    assert stage_file(job, 1) != before


def test_a_new_process_looks_for_the_stage_that_it_will_write(job):
    """The file is named by how torch computes, which training sets only later."""
    assert work(trained(job, STAGES[:1]), quiet, never).status == "done"
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("high")
    news = []
    work(trained(job, STAGES[:2]), news.append, never)
    assert {item["stage"] for item in news if "stage" in item} == {1}


def test_what_is_lent_is_the_end_of_a_stage_however_often_a_run_saves(job, monkeypatch):
    monkeypatch.setattr(learner.Checkpoint, "due", property(lambda self: True))
    job = trained(job, STAGES[:2])
    assert work(job, quiet, never).status == "done"
    for stages in (1, 2):
        saved = learner.Checkpoint(stage_file(job, stages)).load()[0]
        assert (saved.stage, saved.step, saved.steps_total) == (stages, 0, 60 * stages)


def test_what_is_fitted_whole_is_not_lent_but_the_stages_before_it_are(job):
    rule = {"use": "pretraining.GreedyCD"}
    job = trained(
        job,
        [{**STAGES[0], "rule": rule}, {"fit": {"use": "supervised.Backpropagation", "epochs": 1}}],
        data={"use": "digits.Digits", "pixels": "grey"},
        model={"use": "finetuned.FineTunedDBM", "layers": [4, 3]},
        evaluate=[{"use": "classification.ErrorRate"}],
    )
    assert work(job, quiet, never).status == "done"
    assert stage_file(job, 1).exists()
    assert not stage_file(job, 2).exists()


def test_a_run_does_not_fail_where_nothing_can_be_lent(job, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", full)
    assert work(trained(job, STAGES[:2]), quiet, never).status == "done"
    assert not list(job.cache.glob("stages/*"))


def test_a_stage_that_was_not_finished_is_not_lent(job):
    news = []
    first = trained(job, STAGES[:2])
    assert work(first, news.append, lambda: len(news) >= 4).status == "interrupted"
    assert {item["stage"] for item in news} == {0, 1}
    assert stage_file(first, 1).exists()
    assert not stage_file(first, 2).exists()


def test_a_broken_file_of_a_stage_is_trained_anew(folder, job):
    expected = work(trained(job, STAGES[:2]), quiet, never).metrics
    again = dataclasses.replace(trained(job, STAGES[:2]), results=folder / "again")
    for stages in (1, 2):
        stage_file(again, stages).write_bytes(b"cut off")
    assert work(again, quiet, never).metrics == expected
