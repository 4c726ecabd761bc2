"""Facts about the machine: its folders, devices, memory and batch system."""

import mmap
from pathlib import Path

import pytest
import torch

from hwbench.build import BuildError
from hwbench.cache import cache_folder
from hwbench.numerics import set_arithmetic
from hwbench.runner.machine import machine, peak_memory, pick_device, reset_peak_memory
from hwbench.runner.result import run_case
from hwbench.runner.work import work
from tests.runner.jobs import never, quiet


def test_peak_memory_is_the_case_s_own():
    """A worker runs many cases: what an earlier one used does not count."""
    size = 64 << 20
    with mmap.mmap(-1, size) as large:  # what malloc frees may stay with the process
        for page in range(0, size, mmap.PAGESIZE):
            large[page] = 1
    before = peak_memory()
    reset_peak_memory()
    after = peak_memory()
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a peak")
    assert after < before - 32


def test_a_batch_job_of_slurm_is_one_process_here(job, monkeypatch):
    """Lightning refuses `--ntasks` without `--ntasks-per-node` where it takes it for its own."""
    for name, value in (("SLURM_NTASKS", "4"), ("SLURM_JOB_NAME", "train")):
        monkeypatch.setenv(name, value)
    assert work(job, quiet, never).status == "done"


def test_the_cache_folder_is_the_same_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for named in ("~/there", "there"):
        monkeypatch.setenv("HWBENCH_CACHE", named)
        assert cache_folder() == tmp_path / "there"


def test_a_run_flushes_subnormals_and_says_so(job):
    torch.set_flush_denormal(False)
    try:
        assert machine(torch.device("cpu"))["subnormals"] == "kept"
        result, _ = run_case(job, quiet, never)
    finally:
        set_arithmetic()
    assert result.machine["subnormals"] == "flushed to zero"
    assert torch.tensor([-100.0, 0.0]).softmax(0)[0] == 0  # e^−100 is subnormal


def test_an_unknown_device_is_one_message():
    with pytest.raises(BuildError, match="device 'cuda:99' cannot be used"):
        pick_device("cuda:99")
