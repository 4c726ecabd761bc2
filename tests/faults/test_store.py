"""Results and their arrays under kills and races: together or not at all, and never lost."""

import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwbench.store as store_module
from hwbench.store import Store, StoreError
from tests.test_store import make_case, make_result

ARRAYS = {"log_px": np.arange(4.0)}


class Killed(BaseException):
    """As SIGKILL: no handler of the code catches it."""


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def killed_at(monkeypatch):
    """killed_at(n, error): the n-th call that changes the folder raises, and so do later ones."""

    def arm(n, error=Killed):
        count = 0

        def wrap(function):
            def called(*args, **kwargs):
                nonlocal count
                count += 1
                if count >= n:
                    raise error
                return function(*args, **kwargs)

            return called

        monkeypatch.setattr(store_module.tempfile, "mkstemp", wrap(store_module.tempfile.mkstemp))
        for name in ("fsync", "link"):
            monkeypatch.setattr(store_module.os, name, wrap(getattr(os, name)))
        for name in ("replace", "rename", "unlink", "touch"):
            monkeypatch.setattr(Path, name, wrap(getattr(Path, name)))

    return arm


@pytest.mark.parametrize("older", ["nothing", "another schema", "result"])
@pytest.mark.parametrize("step", range(1, 13))
@pytest.mark.parametrize("error", [Killed, FULL], ids=["killed", "full"])
def test_a_fault_at_any_step_of_a_write_loses_nothing(
    tmp_path, killed_at, monkeypatch, step, older, error
):
    """Afterwards the case has a result with its own arrays, or none and is written again."""
    store, case = Store(tmp_path), make_case()
    if older != "nothing":
        assert store.write(make_result(case, -95.0), {"log_px": np.full(4, 7.0)})
    if older == "another schema":
        path = store.path(case)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 0}))
    killed_at(step, error)
    with contextlib.suppress(Killed, StoreError):
        store.write(make_result(case, -90.0), ARRAYS)
    monkeypatch.undo()
    store.write(make_result(case, -90.0), ARRAYS)
    found = store.read(case)
    assert found is not None
    value, arrays = (-95.0, np.full(4, 7.0)) if older == "result" else (-90.0, ARRAYS["log_px"])
    assert found.metrics["log_likelihood"].value == value
    np.testing.assert_array_equal(store.per_point(found)["log_px"], arrays)
    if older == "another schema":  # its arrays are beside it, under its name, and no copy is lost
        (aside,) = tmp_path.rglob("*.old-*.json")
        assert aside.with_suffix(".npz").is_file()
        with np.load(aside.with_suffix(".npz")) as kept:
            np.testing.assert_array_equal(kept["log_px"], np.full(4, 7.0))


def test_arrays_that_were_never_named_are_adopted(tmp_path):
    """The JSON was linked, and the process killed before its arrays had their name."""
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case), ARRAYS)
    named = store.path(case).with_suffix(".npz")
    named.rename(named.with_name(f".{named.name}.123-456"))
    found = store.read(case)
    np.testing.assert_array_equal(store.per_point(found)["log_px"], ARRAYS["log_px"])
    assert named.is_file()


def test_arrays_of_another_run_do_not_count(tmp_path):
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case), ARRAYS)
    named = store.path(case).with_suffix(".npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, log_px=np.full(4, -1.0))
    named.write_bytes(buffer.getvalue())
    assert store.per_point(store.read(case)) == {}


def test_a_number_changed_by_hand_is_no_result(tmp_path):
    """As verdicts.md says: the numbers are under the seal, not only the case."""
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case, -90.0))
    path = store.path(case)
    path.write_text(path.read_text().replace("-90.0", "-80.0"))
    results, warnings = store.results()
    assert results == []
    assert "it was changed by hand" in warnings[0]


def test_a_result_without_a_seal_is_an_old_one(tmp_path):
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case, -90.0))
    path = store.path(case)
    old = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("seal", "arrays")}
    path.write_text(json.dumps(old))
    assert store.read(case).metrics["log_likelihood"].value == -90.0


@pytest.mark.slow
def test_a_kill_at_a_random_moment_of_many_writes_loses_nothing(tmp_path, tried):
    """A real SIGKILL: what is on file has its arrays, and no run after it is in the way."""
    script = """
import sys, numpy as np
from pathlib import Path
from tests.test_store import make_case, make_result
from hwbench.store import Store, StoreError
print("ready", flush=True)
for seed in range(10_000):
    arrays = {"log_px": np.full(64, float(seed))}
    Store(Path(sys.argv[1])).write(make_result(make_case(seed), -seed), arrays)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert process.stdout is not None
    process.stdout.readline()
    while (
        not (tmp_path / "demo/table/MNIST-50").is_dir()
        or len(list((tmp_path / "demo/table/MNIST-50").glob("*.json"))) < 20
    ):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = Store(tmp_path)
    results, warnings = store.results()
    assert len(results) >= 20
    assert warnings == []
    for result in results:
        assert set(store.per_point(result)["log_px"]) == {float(result.case.seed)}
    tried(f"a kill during writes: {len(results)} results on file, each with its arrays")
