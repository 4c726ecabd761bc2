"""hwbench new: a package of one's own that works, and the shelves that it joins."""

import importlib.util
import json
import subprocess
import sys
from typing import get_args

import pytest

from hwbench import executors
from hwbench.cli.new import Kind

from .conftest import run

KINDS = get_args(Kind)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("hwbench.build._plugins", set())
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0].startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_passes_the_checks(place, capsys, kind):
    assert run("new", kind, f"own-{kind}") == 0
    plugin = [] if kind == "table" else ["--plugin", f"own_{kind}"]
    assert run("check", f"own_{kind}.yaml", *plugin) == 0
    assert f"own-{kind}/table: 2 rows, 1 claim: OK" in capsys.readouterr().out
    if plugin:
        assert run("list", f"{kind}s", *plugin, "--json") == 0
        uses = [line["use"] for line in json.loads(capsys.readouterr().out)]
        assert f"own_{kind}.{kind}s.Own{kind.capitalize()}" in uses


@pytest.mark.parametrize(
    "kind", ["rule", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "rule")]
)
def test_the_test_of_a_new_package_passes(place, monkeypatch, tmp_path_factory, kind):
    """Called here, with cases in this process."""
    make = executors.make
    monkeypatch.setattr(
        executors, "make", lambda name, jobs, threads: make("inline", jobs, threads)
    )
    assert run("new", kind, f"own-{kind}") == 0
    sys.path.append(str(place))
    spec = importlib.util.spec_from_file_location(
        f"own_{kind}_test", place / "tests" / f"test_own_{kind}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    tests.pop("test_the_table_runs_at_smoke")(tmp_path_factory.mktemp("results"), monkeypatch)
    assert len(tests) == (kind != "table")
    for test in tests.values():
        test()


def test_new_files_are_tidy(place):
    for kind in KINDS:
        assert run("new", kind, f"own-{kind}") == 0
    for command in (["check", "--select", "E,F,W,B,UP"], ["format", "--check"]):
        rules = ["--line-length", "100", "--isolated"]
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *rules, "."], capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout


def test_nothing_is_overwritten_and_names_are_those_of_packages(place, capsys):
    assert run("new", "rule", "own-rule") == 0
    before = (place / "own_rule" / "rules.py").read_text()
    (place / "own_rule" / "rules.py").write_text("# mine")
    for arguments, message in (
        (("rule", "own-rule"), "a package own_rule exists already"),
        (("table", "own-rule"), "own_rule.yaml, tests/test_own_rule.py: already here"),
        (("rule", "Own"), "a name has small letters"),
        (("rule", "../x"), "a name has small letters"),
        (("model", "torch"), "a package torch exists already"),
        (("rule", "none"), "Python or the package's own code uses it"),
        (("rule", "import"), "Python or the package's own code uses it"),
        (("evaluator", "metric"), "Python or the package's own code uses it"),
        (("dataset", "test-split"), "Python or the package's own code uses it"),
        (("table", "null"), "YAML reads it as None"),
        (("kernel", "x"), "is not one of"),
    ):
        assert run("new", *arguments) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert before != (place / "own_rule" / "rules.py").read_text() == "# mine"


def test_a_shelf_is_listed_with_what_each_class_is(place, capsys):
    for name, use in (
        ("rules", "bounds.IWAE"),
        ("rules", "em.EM"),
        ("models", "vae.VAE"),
        ("evaluators", "importance.LogLikelihood"),
        ("datasets", "mnist.MNIST"),
        ("optimizers", "ema.EMAMomentum"),
    ):
        assert run("list", name, "--json") == 0
        lines = {line["use"]: line["about"] for line in json.loads(capsys.readouterr().out)}
        assert lines[use].rstrip(".")
    assert run("list", "rules") == 0
    assert "Importance-weighted bound" in capsys.readouterr().out
