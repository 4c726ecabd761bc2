"""Faults of the surroundings while a case runs: told, not stored, and the next run goes on."""

import contextlib
import dataclasses
import errno
import math
import os
import resource
import shutil
import subprocess

import pytest
import torch

import hwbench.runner.work as work_module
import hwbench.store as store_module
from hwbench.build import BuildError
from hwbench.executors.local import Done
from hwbench.protocols import Evaluation, Metric
from hwbench.runner import machine as machine_module
from hwbench.runner.job import run_folder
from hwbench.runner.machine import commit, machine, pick_device, quiet_lightning
from hwbench.runner.plan import state
from hwbench.runner.result import refuse_no_number
from hwbench.runner.stages import _link
from hwbench.runner.work import run_all, work
from hwbench.store import Store
from tests.runner.jobs import never, quiet


def told(job):
    """Run a job that ends by a fault: nothing is stored, and a plain run would run it again."""
    outcome = work(job, quiet, never)
    assert outcome.status == "failed"
    assert "the next run tries again" in outcome.message
    store = Store(job.results)
    assert store.read_failure(job.case) is None
    assert state(job.case, store).runs()
    return outcome.message


@contextlib.contextmanager
def largest_file(size):
    """Let no file grow beyond a size, as a quota does; a full disk fails in the same calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(  # weights do not fit; only the result does not
    "size", [pytest.param(100, marks=pytest.mark.slow), 3000]
)
def test_a_full_disk_is_told_and_the_next_run_goes_on(job, size):
    with largest_file(size):
        told(job)
    assert work(job, quiet, never).status == "done"


@pytest.fixture
def disk(tmp_path):
    """A file system of one megabyte, where the user may mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "hwbench-test", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("full", ["results", "cache"])
@pytest.mark.parametrize("left", [0, 4096, 20_000])
def test_a_file_system_that_is_full_is_told_and_the_next_run_goes_on(job, disk, full, left, tried):
    job = dataclasses.replace(job, **{full: disk / full})
    (disk / full).mkdir()
    filler = disk / "filler"
    filler.write_bytes(bytes(disk_space(disk) - left))
    outcome = work(job, quiet, never)
    if outcome.status != "done":  # what was left sufficed
        assert "No space left on device" in outcome.message
        assert "the next run tries again" in outcome.message
    assert outcome.status == "failed" or left > 0
    assert Store(job.results).read_failure(job.case) is None
    filler.unlink()
    assert work(job, quiet, never).status in ("done", "on file")
    assert Store(job.results).per_point(Store(job.results).read(job.case))
    tried(f"{left} bytes left for {full}: {outcome.status}, and done by the next run")


def disk_space(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.EROFS, "Read-only file system"),
        NotImplementedError("FileSystem does not appear to support flock"),
    ],
)
def test_locks_that_cannot_be_had_are_told(job, monkeypatch, error):
    def refuse(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(work_module.filelock.FileLock, "acquire", refuse)
    assert str(error) in told(job)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_memory_that_cannot_be_had_is_told(job, monkeypatch, error):
    def refuse(*args):
        raise error

    monkeypatch.setattr(work_module, "run_case", refuse)
    assert (str(error) or "MemoryError") in told(job)


def test_a_device_that_went_away_is_told(job):
    assert "cuda:99" in told(dataclasses.replace(job, device="cuda:99"))


def test_a_device_without_numbers_is_refused():
    with pytest.raises(BuildError, match="device 'meta' cannot be used"):
        pick_device("meta")


def test_a_killed_worker_counts_for_nothing(job):
    class Dying:
        stopping = False

        def map(self, function, items, on_news):
            yield Done(0, error="the worker process was ended by SIGKILL (out of memory?)")

    (outcome,) = run_all([job], Dying(), lambda index, news: None)
    assert "SIGKILL" in outcome.message
    assert Store(job.results).read_failure(job.case) is None


@pytest.mark.parametrize("in_training", [True, False])
def test_code_that_ends_python_is_a_failed_case(job, monkeypatch, in_training):
    """Lightning's answer to Ctrl-C is a SystemExit, too; that one interrupts."""

    def ends(*arguments, **options):
        raise SystemExit(7)

    place = "rules.bounds.IWAE.forward" if in_training else "runner.result._evaluate"
    monkeypatch.setattr(f"hwbench.{place}", ends)
    outcome = work(job, quiet, never)
    assert (outcome.status, outcome.message) == ("failed", "its code called sys.exit(7)")
    assert "SystemExit: 7" in Store(job.results).read_failure(job.case).traceback


def test_ctrl_c_is_no_failure_of_a_case(job, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hwbench.rules.bounds.IWAE.forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work(job, quiet, never)
    assert Store(job.results).read_failure(job.case) is None


def test_a_reason_is_told_where_it_cannot_be_stored(job, monkeypatch):
    """The case's own failure, on a full disk."""
    monkeypatch.setattr(
        work_module, "run_case", lambda *args: (_ for _ in ()).throw(ValueError("its own"))
    )

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module.tempfile, "mkstemp", full)
    outcome = work(job, quiet, never)
    assert (outcome.status, outcome.message) == ("failed", "ValueError: its own")


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 half",
        pytest.param(b"", marks=pytest.mark.slow),
        pytest.param(b"nonsense", marks=pytest.mark.slow),
    ],
)
def test_damaged_files_of_the_cache_are_as_good_as_none(job, content):
    """Cut in half, they made every later run fail."""
    folder = run_folder(job)
    for name in ("evaluate-seconds", "evaluate-0/importance.npz", "state.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    assert work(job, quiet, never).status == "done"


@pytest.mark.parametrize("value", [math.nan, pytest.param(math.inf, marks=pytest.mark.slow)])
def test_a_metric_that_is_no_number_is_a_failure(job, monkeypatch, value):
    found = Evaluation({"elbo": Metric(-1.0), "other": Metric(value)})
    with pytest.raises(RuntimeError, match=r"other is .*, which is no number"):
        refuse_no_number(found)
    monkeypatch.setattr(
        "hwbench.runner.result._evaluate", lambda case, built, folder, hooks: (found, 0.0)
    )
    outcome = work(job, quiet, never)
    assert outcome.status == "failed"
    assert Store(job.results).read(job.case) is None
    assert Store(job.results).read_failure(job.case) is not None


def test_linking_twice_leaves_nothing_behind(tmp_path):
    (tmp_path / "state").write_text("x")
    for _ in range(2):
        _link(tmp_path / "state", tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "state"]


# --- provenance -----------------------------------------------------------------------------------


def repository(folder):
    folder.mkdir(exist_ok=True)
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def test_the_commit_is_that_of_the_package_s_own_repository(tmp_path, monkeypatch):
    here = commit()
    repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert commit() == here


def test_a_package_installed_inside_another_repository_has_no_commit(tmp_path, monkeypatch):
    repository(tmp_path)
    package = tmp_path / "site-packages/hwbench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(machine_module, "PACKAGE", package)
    assert commit() is None


def test_what_decides_how_torch_computes_is_recorded(monkeypatch):
    cpu = torch.device("cpu")
    for name in [name for name in os.environ if name.startswith(machine_module.DECISIVE)]:
        monkeypatch.delenv(name)
    assert "environment" not in machine(cpu)
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert machine(cpu)["environment"] == {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}


def test_no_variable_of_lightning_is_left(monkeypatch):
    monkeypatch.setenv("PL_TRAINER_MAX_TIME", "00:00:00:01")
    quiet_lightning()
    assert "PL_TRAINER_MAX_TIME" not in os.environ
