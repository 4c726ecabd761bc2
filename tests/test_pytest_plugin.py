"""The gate for other projects, as pytest runs it there."""

import json
import xml.etree.ElementTree as ET

import pytest

from hwbench import gate

pytest_plugins = "pytester"
VALUES = {0: 5.0, 1: 5.1, 2: 4.9, 3: 5.05, 4: 4.95}
gate.tolerance([1.0, 2.0], 1)  # loads all modules: pytester forgets those loaded in its runs


@pytest.fixture
def run(pytester, monkeypatch):
    """run(values, *arguments, keys={…}): the outcome of a project's only test."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others take seconds to load
    (pytester.path / "pytest.ini").touch()

    def run(values, *arguments, keys=None):
        keys = {"name": "mine", **(keys or {})}
        name = keys.pop("name")
        extra = "".join(f", {k}={v!r}" for k, v in keys.items())
        pytester.makepyfile(
            f"def test_mine(hwbench_gate):\n    hwbench_gate({name!r}, {values!r}{extra})\n"
        )
        return pytester.runpytest_inprocess("-p", "hwbench.pytest_plugin", *arguments)

    return run


@pytest.fixture
def taken(run, pytester):
    """Take the baseline; return the folder."""
    run(VALUES, "--hwbench-baseline", "base", "--hwbench-update").assert_outcomes(passed=1)
    return pytester.path / "base"


def test_a_baseline_is_a_small_file(taken):
    assert json.loads((taken / "mine.json").read_text()) == {str(k): v for k, v in VALUES.items()}


@pytest.mark.parametrize(("sign", "word"), [(1, "worse"), (-1, "better")])
def test_what_moves_by_more_than_seeds_explain_fails_in_either_direction(run, taken, sign, word):
    allowed = gate.tolerance(list(VALUES.values()), 1)
    inside = {7: 5.0 + sign * 0.99 * allowed}
    run(inside, "--hwbench-baseline", "base").assert_outcomes(passed=1)
    outside = {7: 5.0 + sign * 1.01 * allowed}
    found = run(outside, "--hwbench-baseline", "base")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([f"*is {word} than the baseline 5 by *"])


def test_a_tolerance_of_ones_own_and_the_other_direction(run, taken):
    keys = {"tolerance": 0.2, "better": "higher"}
    run({0: 5.19}, "--hwbench-baseline", "base", keys=keys).assert_outcomes(passed=1)
    found = run({0: 5.21}, "--hwbench-baseline", "base", keys=keys)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*is better than the baseline*tolerance 0.2*"])


def test_the_folder_may_stand_in_the_configuration(run, taken, pytester):
    (pytester.path / "pytest.ini").write_text("[pytest]\nhwbench_baseline = base\n")
    run({0: 9.0}).assert_outcomes(failed=1)


def test_junit_shows_the_numbers(run, taken, pytester):
    run({0: 5.0, 1: 5.02}, "--hwbench-baseline", "base", "--junit-xml", "out.xml")
    found = {p.get("name"): float(p.get("value")) for p in ET.parse("out.xml").iter("property")}
    assert found["mine baseline"] == pytest.approx(5.0)
    assert found["mine measured"] == pytest.approx(5.01)
    assert found["mine tolerance"] == pytest.approx(gate.tolerance(list(VALUES.values()), 2))


def test_without_baselines_the_test_is_skipped_and_a_missing_one_fails(run):
    run(VALUES).assert_outcomes(skipped=1)
    found = run(VALUES, "--hwbench-baseline", "base")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*mine.json is missing; --hwbench-update writes it*"])


@pytest.mark.parametrize(
    ("values", "keys", "message"),
    [
        ({}, {}, "*expected a finite number for each seed*"),
        ({0: 5.0}, {"name": "../mine"}, "*cannot name a baseline*"),
        ({0: 5.0}, {"tolerance": 0.0}, "*tolerance must be positive (found 0.0)*"),
    ],
)
def test_wrong_arguments_are_named(run, taken, values, keys, message):
    found = run(values, "--hwbench-baseline", "base", keys=keys)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "*not a baseline*"), ('{"0": "5"}', "*expected a number*"), ('{"0": 5}', "*one seed*")],
)
def test_a_damaged_baseline_is_named(run, taken, text, message):
    (taken / "mine.json").write_text(text)
    found = run(VALUES, "--hwbench-baseline", "base")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([message])
