"""Results are whole or absent, never overwritten, never lost; other files are warned of."""

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import hwbench.store as store_module
from hwbench.frame import COLUMNS, frame
from hwbench.record import to_json
from hwbench.spec import Case
from hwbench.store import (
    Failure,
    Result,
    Store,
    StoredCurve,
    StoredMetric,
    StoreError,
    rounded,
    write_atomically,
)


def make_case(seed: int = 0, **changes) -> Case:
    content = {
        "spec": "demo/table",
        "at": {"data": "MNIST", "k": 50},
        "profile": "quick",
        "seed": seed,
        "data": {"use": "mnist.MNIST"},
        "model": {"use": "vae.VAE", "hidden": [200, 200], "scale": 1.0},
        "train": [{"rule": {"use": "bounds.ELBO"}, "epochs": 5}],
        "evaluate": [{"use": "importance.LogLikelihood", "k": 5}],
    }
    return Case.model_validate({**content, **changes})


def make_result(case: Case, value: float = -90.0, **changes) -> Result:
    metrics = {"log_likelihood": StoredMetric(value=value, se=0.5, n=100, k=7)}
    return Result(case=case, key=case.key, fingerprint="f", metrics=metrics, **changes)


def test_a_result_comes_back_as_it_was(tmp_path):
    store, case = Store(tmp_path), make_case()
    curves = {"train/loss": StoredCurve(x=[1.0, 2.0], y=[3.0, 2.0])}
    result = make_result(
        case, curves=curves, seconds={"train": 1.5}, warnings=["Grüße <b>"], steps=3
    )
    assert store.read(case) is None
    assert store.write(result, {"log_px": np.arange(3, dtype=np.float32)})
    assert store.read(case) == result
    assert store.results() == ([result], [])
    assert store.results("demo/table") == ([result], [])
    assert store.results("demo/other") == ([], [])
    np.testing.assert_array_equal(store.per_point(result)["log_px"], [0, 1, 2])
    assert store.path(case) == tmp_path / "demo/table/MNIST-50" / f"quick-seed0-{case.key[:8]}.json"
    assert {p.suffix for p in store.path(case).parent.iterdir()} == {".json", ".npz"}


def test_a_result_on_file_is_never_overwritten(tmp_path):
    store, case = Store(tmp_path), make_case()
    assert store.write(make_result(case, -90.0), {"log_px": np.full(3, -90.0)})
    assert not store.write(make_result(case, -80.0), {"log_px": np.full(3, -80.0)})
    found = store.read(case)
    assert found is not None
    assert found.metrics["log_likelihood"].value == -90.0
    assert store.per_point(found)["log_px"][0] == -90.0


def test_arrays_left_by_a_killed_run_do_not_join_another_result(tmp_path):
    """Arrays beside a result are its own: stale ones are replaced, or removed where it has none."""
    store = Store(tmp_path)
    for seed, arrays in ((0, {"log_px": np.ones(2)}), (1, None)):
        case = make_case(seed)
        path = store.path(case).with_suffix(".npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, log_px=np.zeros(2))
        result = make_result(case)
        assert store.write(result, arrays)
        assert {k: v.tolist() for k, v in store.per_point(result).items()} == (
            {"log_px": [1.0, 1.0]} if arrays else {}
        )


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 30.0, 1e4])
def test_rounding_an_array_is_bounded_by_its_unit_and_its_spread(scale):
    exact = np.random.default_rng(0).normal(-3 * scale, scale, 10_000)
    off = np.abs(rounded(exact) - exact)
    assert 0 < off.max() <= min(2.0**-11, exact.std() * 2.0**-14)
    single = exact.astype(np.float32)
    again = np.abs(rounded(single).astype(np.float64) - single)
    assert again.max() <= min(2.0**-11, exact.std() * 2.0**-14)
    assert rounded(single).dtype == np.float32
    np.testing.assert_array_equal(rounded(rounded(single)), rounded(single))


def test_what_cannot_be_rounded_stays():
    odd = np.array([np.nan, np.inf, -np.inf, 1.23456789, 2.0])
    np.testing.assert_array_equal(np.isfinite(rounded(odd)), np.isfinite(odd))
    np.testing.assert_array_equal(rounded(odd)[:3], odd[:3])
    for values in (
        np.full(4, 0.1),
        np.zeros(0),
        np.full(3, np.nan),
        np.array([-1e300, 1e300]),
        np.array([0.0, 5e-324]),
        np.arange(5),
        np.array([True, False]),
    ):
        np.testing.assert_array_equal(rounded(values), values)
        assert rounded(values).dtype == values.dtype


def test_a_full_result_is_small_and_loses_less_than_is_known(tmp_path):
    """10 000 test images, 500 epochs (200 of them kept), a K-curve, samples: below 50 kB."""
    rng = np.random.default_rng(0)
    store, case = Store(tmp_path), make_case()
    log_px = rng.normal(-95, 28, 10_000).astype(np.float32)
    epochs = np.linspace(1, 500, 200).round()
    learned = (-95 - 40 / epochs + rng.normal(0, 0.05, 200)).tolist()
    curves = {
        "train/objective": StoredCurve(x=epochs.tolist(), y=learned),
        "validation/log_likelihood": StoredCurve(x=epochs.tolist(), y=learned),
        "k_curve": StoredCurve(x=[1.0, 5.0, 5000.0], y=learned[:3], se=learned[3:6]),
    }
    image = np.exp(-((np.mgrid[-14:14, -14:14] ** 2).sum(0)) / 50).ravel()
    samples = (255 * image * rng.uniform(0.5, 1, (25, 1))).round().astype(np.uint8)
    result = make_result(case, float(log_px.mean(dtype=float)), curves=curves)
    store.write(result, {"log_px": log_px, "samples": samples})
    path = store.path(case)
    assert path.stat().st_size + path.with_suffix(".npz").stat().st_size < 50_000
    assert path.read_text().count("\n") < 100  # arrays stand on one line
    found = store.read(case)
    assert found is not None
    assert found.metrics == result.metrics  # to the last bit
    for name, curve in curves.items():
        for a, b in zip(
            (curve.x, curve.y, curve.se), vars(found.curves[name]).values(), strict=True
        ):
            np.testing.assert_allclose(b, a, rtol=5e-7)
    kept = store.per_point(found)
    assert kept["log_px"].dtype == np.float32
    assert np.abs(kept["log_px"].astype(float) - log_px).max() <= 2.0**-11
    assert abs(kept["log_px"].mean(dtype=float) - log_px.mean(dtype=float)) < 2e-5
    np.testing.assert_array_equal(kept["samples"], samples)


def test_brackets_and_breaks_in_text_are_left_alone(tmp_path):
    store, case = Store(tmp_path), make_case(at={"data": "[\n 1,\n 2]", "k": 50})
    result = make_result(case, warnings=["[\n 1,\n 2 ]", "[", "]"])
    store.write(result)
    assert store.read(case) == result


def test_files_written_before_are_read(tmp_path):
    """A number per line, all digits, arrays as they were."""
    store, case = Store(tmp_path), make_case()
    curve = {"x": [1.0, 2.0], "y": [-105.72031784649502, -1.0], "se": []}
    document = {**make_result(case).model_dump(mode="json"), "curves": {"k_curve": curve}}
    path = store.path(case)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    np.savez_compressed(path.with_suffix(".npz"), log_px=np.array([0.1], dtype=np.float32))
    found = store.read(case)
    assert found is not None
    assert found.curves["k_curve"].y[0] == -105.72031784649502
    assert store.per_point(found)["log_px"][0] == np.float32(0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_of_a_curve_that_are_none_are_kept_as_such(tmp_path, value):
    """A NaN there must not make a file that can never be read again."""
    store, case = Store(tmp_path), make_case()
    curve = StoredCurve(x=[0.0, 1.0], y=[1.0, value], se=[value, 0.0])
    result = make_result(case, curves={"c": curve}, diagnostics={"ess": value})
    assert store.write(result)
    assert "NaN" not in store.path(case).read_text()
    found = store.read(case)
    assert found is not None
    assert math.isnan(found.curves["c"].y[1])
    assert found.curves["c"].y[0] == 1.0
    assert math.isnan(found.curves["c"].se[0])
    assert found.diagnostics["ess"] is None


def _with_value(document: dict[str, object], value: float | None) -> str:
    changed = {**document, "metrics": {"log_likelihood": {"value": value}}}
    return json.dumps(changed if value == -80.0 else {**changed, "seal": ""})


def damaged(text: str) -> dict[str, str]:
    document = json.loads(text)
    return {
        "half": text[: len(text) // 2],
        "empty": "",
        "list": "[]",
        "another schema": json.dumps({**document, "schema_version": 2}),
        "no schema": json.dumps({k: v for k, v in document.items() if k != "schema_version"}),
        "unknown field": json.dumps({**document, "extra": 1}),
        "no metrics": json.dumps({k: v for k, v in document.items() if k != "metrics"}),
        "another key": json.dumps({**document, "key": "0" * 64}),
        "changed case": json.dumps({**document, "case": {**document["case"], "model": {}}}),
        "deep": "[" * 100_000,
        "no number": _with_value(document, None),
        "NaN": _with_value(document, math.nan),
        "infinity": _with_value(document, math.inf),
        "another number": _with_value(document, -80.0),
        "another curve": json.dumps({**document, "curves": {"c": {"x": [1.0], "y": [1.0]}}}),
    }


KINDS = sorted(damaged(to_json(make_result(make_case()))))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_result_is_skipped_with_a_warning_and_kept(tmp_path, kind):
    store, bad, good = Store(tmp_path), make_case(0), make_case(1)
    store.write(make_result(bad))
    store.write(make_result(good))
    text = damaged(store.path(bad).read_text())[kind]
    store.path(bad).write_text(text)
    found, warnings = store.results("demo/table")
    assert [r.case.seed for r in found] == [1]
    assert len(warnings) == 1
    assert str(store.path(bad)) in warnings[0]
    if "schema" in kind:
        assert "schema version" in warnings[0]
    assert store.read(bad) is None
    assert store.path(bad).read_text() == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_does_not_stand_in_the_way_of_its_rerun(tmp_path, kind):
    """The rerun's result takes its place; what was there stays under another name, warned of."""
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case), {"log_px": np.zeros(2)})
    text = damaged(store.path(case).read_text())[kind]
    store.path(case).write_text(text)
    assert store.write(make_result(case, -80.0), {"log_px": np.ones(2)})
    found = store.read(case)
    assert found is not None
    assert found.metrics["log_likelihood"].value == -80.0
    assert store.per_point(found)["log_px"].tolist() == [1.0, 1.0]
    (aside,) = [p for p in store.path(case).parent.glob("*.json") if p != store.path(case)]
    assert aside.read_text() == text
    results, warnings = store.results()
    assert len(results) == len(warnings) == 1


def test_a_copy_of_a_result_is_not_counted_twice(tmp_path):
    store, case = Store(tmp_path), make_case()
    store.write(make_result(case))
    copy = store.path(case).with_name("quick-seed1-copy.json")
    copy.write_bytes(store.path(case).read_bytes())
    moved = tmp_path / "demo/table/Other-50" / store.path(case).name
    moved.parent.mkdir()
    moved.write_bytes(store.path(case).read_bytes())
    found, warnings = store.results()
    assert len(found) == 1
    assert len(warnings) == 2
    assert all("belongs at demo/table/MNIST-50" in w for w in warnings)


@pytest.mark.parametrize("size", [0, 10, 200])
def test_broken_arrays_read_as_none(tmp_path, size):
    store, result = Store(tmp_path), make_result(make_case())
    store.write(result, {"log_px": np.arange(1000.0)})
    path = store.path(result.case).with_suffix(".npz")
    path.write_bytes(path.read_bytes()[:size])
    assert store.per_point(result) == {}


def test_arrays_are_read_without_pickle(tmp_path):
    store, result = Store(tmp_path), make_result(make_case())
    with pytest.raises(ValueError, match="allow_pickle"):
        store.write(result, {"log_px": np.array([{}], dtype=object)})
    assert store.results() == ([], [])
    store.write(result)
    np.savez(store.path(result.case).with_suffix(".npz"), log_px=np.array([{}], dtype=object))
    assert store.per_point(result) == {}


def test_failures_are_replaced_and_end_with_a_result(tmp_path):
    store, case = Store(tmp_path), make_case()
    for reason in ("first", "second"):
        store.write_failure(Failure(case=case, key=case.key, kind="failed", reason=reason))
    found = store.read_failure(case)
    assert found is not None
    assert found.reason == "second"
    assert store.failures("demo/table") == [found]
    assert store.results() == ([], [])
    assert store.read_failure(make_case(1)) is None
    store.write(make_result(case))
    assert store.read_failure(case) is None
    assert store.failures("demo/table") == []


def test_a_broken_failure_file_reads_as_none(tmp_path):
    store, case = Store(tmp_path), make_case()
    store.write_failure(Failure(case=case, key=case.key, kind="missing", reason="no file"))
    path = store.failed_path(case)
    path.write_text(path.read_text()[:-20])
    assert store.read_failure(case) is None
    assert store.failures("demo/table") == []


WRITER = """
import sys, numpy as np
from pathlib import Path
from hwbench.store import Result, Store, StoredMetric
folder, case_file, start = map(Path, sys.argv[1:4])
value = float(sys.argv[4])
result = Result.model_validate_json(case_file.read_text())
result.metrics["log_likelihood"].value = value
while not start.exists():
    pass
print(Store(folder).write(result, {"log_px": np.full(50_000, value)}))
"""


def test_two_processes_write_one_result(tmp_path):
    """One wins, whole; result and arrays are those of the same process."""
    case = make_case()
    (tmp_path / "case.json").write_text(make_result(case).model_dump_json())
    folder, start = tmp_path / "results", tmp_path / "start"
    arguments = [sys.executable, "-c", WRITER, str(folder), str(tmp_path / "case.json"), str(start)]
    processes = [
        subprocess.Popen([*arguments, str(value)], stdout=subprocess.PIPE, text=True)
        for value in (-1.0, -2.0)
    ]
    start.touch()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(said) == ["False", "True"]
    store = Store(folder)
    (found,), warnings = store.results()
    assert not warnings
    value = [-1.0, -2.0][said.index("True")]
    assert found.metrics["log_likelihood"].value == value
    assert set(store.per_point(found)["log_px"].tolist()) == {value}
    assert not [p for p in store.path(case).parent.iterdir() if p.name.startswith(".")]


def test_a_reader_may_name_the_arrays_first(tmp_path, monkeypatch):
    """It sees the result before the writer has named its arrays; the writer has written it."""
    store, result = Store(tmp_path), make_result(make_case(), -1.0)
    write = store_module.write_atomically

    def then_read(path, data, **how):
        written = write(path, data, **how)
        if path == store.path(result.case):
            assert store.per_point(result)["log_px"].tolist() == [-1.0]
        return written

    monkeypatch.setattr(store_module, "write_atomically", then_read)
    assert store.write(result, {"log_px": np.full(1, -1.0)})
    assert store.per_point(store.read(result.case))["log_px"].tolist() == [-1.0]


def test_many_threads_write_over_a_damaged_file(tmp_path):
    """However they interleave: one result, its own arrays, and the damaged file kept."""
    for round_ in range(5):
        store, case = Store(tmp_path / str(round_)), make_case()
        store.path(case).parent.mkdir(parents=True)
        store.path(case).write_text("half")
        gate = threading.Barrier(4)
        wrote: dict[int, bool] = {}

        def work(i: int, store=store, case=case, gate=gate, wrote=wrote) -> None:
            gate.wait()
            wrote[i] = store.write(make_result(case, float(i)), {"log_px": np.full(3, float(i))})

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (found,), warnings = store.results()
        value = found.metrics["log_likelihood"].value
        assert wrote[int(value)]
        assert store.per_point(found)["log_px"].tolist() == [value] * 3
        assert len(warnings) == 1
        assert [p.read_text() for p in store.path(case).parent.glob("*.old-*")] == ["half"]


def test_without_hard_links_results_are_not_overwritten_either(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store, case = Store(tmp_path), make_case()
    assert store.write(make_result(case, -1.0))
    assert not store.write(make_result(case, -2.0))
    found = store.read(case)
    assert found is not None
    assert found.metrics["log_likelihood"].value == -1.0
    assert [p.suffix for p in store.path(case).parent.iterdir()] == [".json"]


def test_a_write_that_breaks_leaves_nothing_half_done(tmp_path, monkeypatch):
    """A full disk: an error in words, no result, no temporary files."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store, case = Store(tmp_path), make_case()
    with pytest.raises(StoreError, match="No space left on device"):
        store.write(make_result(case), {"log_px": np.zeros(3)})
    assert list(store.path(case).parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    """A file where the folder should be: nobody can write below it, not even root."""
    (tmp_path / "results").write_text("")
    for folder in (tmp_path / "results", tmp_path / "results" / "below"):
        store, case = Store(folder), make_case()
        with pytest.raises(StoreError, match="cannot be written"):
            store.check_writable()
        with pytest.raises(StoreError, match="cannot write"):
            store.write(make_result(case), {"log_px": np.zeros(3)})
        with pytest.raises(StoreError, match="cannot write"):
            store.write_failure(Failure(case=case, key=case.key, kind="failed", reason="x"))
        assert store.read(case) is None
        assert store.results() == ([], [])
    Store(tmp_path / "new" / "results").check_writable()
    assert not (tmp_path / "new").exists()


def test_atomic_writing(tmp_path):
    path = tmp_path / "a" / "b.txt"
    assert write_atomically(path, b"one")
    assert not write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert write_atomically(path, b"three", overwrite=True)
    assert path.read_bytes() == b"three"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_other_schema_versions_are_not_built(tmp_path):
    with pytest.raises(ValueError, match="schema_version"):
        make_result(make_case(), schema_version=2)
    assert make_result(make_case()).schema_version == store_module.SCHEMA


def test_the_table_of_results_keeps_coordinates_apart_from_columns():
    """A coordinate k is not the evaluator's k, and one called seed does not hide the seed."""
    case = make_case(3, at={"k": 50, "seed": "pre", "data": "MNIST"})
    table = frame([make_result(case)])
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["k"], row["at_seed"], row["seed"], row["samples"], row["points"]) == (
        50,
        "pre",
        3,
        7,
        100,
    )
    assert (row["metric"], row["value"], row["profile"]) == ("log_likelihood", -90.0, "quick")
    assert (row["counts"], row["data_set"]) == (False, "mnist.MNIST")
    assert list(frame([]).columns) == list(COLUMNS)


def test_results_of_no_folder_are_none():
    assert Store(Path("does/not/exist")).results() == ([], [])
