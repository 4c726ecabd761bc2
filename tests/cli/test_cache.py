"""hwbench cache: checkpoints of unfinished cases are packed and unpacked."""

import shutil

import pytest
import torch

from hwbench.runner.job import Job
from hwbench.runner.work import work
from hwbench.spec import cases

from .conftest import run

FULL = ("cache", "export", "tiny", "--profile", "full", "--to", "half.tar")


@pytest.fixture
def unfinished(folder, spec):
    """The label of a case that has begun to train on the CPU."""
    news = []
    job = Job(cases(spec, "full")[0], folder / "results", folder / "cache", "cpu")
    assert work(job, news.append, lambda: len(news) >= 2).status == "interrupted"
    return job.case.label


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_checkpoints_are_packed_and_unpacked_quietly_if_asked(unfinished, folder, capsys, quiet):
    def told(*arguments):
        capsys.readouterr()
        assert run(*arguments, *quiet) == 0
        return capsys.readouterr().err

    texts = [told(*FULL), told("cache", "import", "half.tar")]
    shutil.rmtree(folder / "cache" / "runs")
    texts.append(told("cache", "import", "half.tar"))
    words = ("packed", "kept the existing checkpoints of", "placed")
    assert texts == [("" if quiet else f"{word} {unfinished}\n") for word in words]


def test_checkpoints_of_another_device_are_packed_by_its_name(unfinished, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    capsys.readouterr()
    assert run(*FULL) == 2
    assert "nothing to pack" in capsys.readouterr().err
    assert run(*FULL, "--device", "cpu") == 0
    assert f"packed {unfinished}" in capsys.readouterr().err
