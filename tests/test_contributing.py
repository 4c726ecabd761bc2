"""The examples of CONTRIBUTING.md and benchmarks/README.md work as they stand."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hwbench import spec
from hwbench.check import check
from hwbench.datasets import files

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """Return the examples of CONTRIBUTING.md by the file that each says it is."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {name: code for _, name, code in FENCE.findall(text)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the package and of the specs' general files, with the examples in their places."""
    root = tmp_path_factory.mktemp("contributing")
    shutil.copytree(
        ROOT / "hwbench", root / "hwbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "benchmarks").mkdir()
    for name in ("profiles.yaml", "papers.yaml"):
        shutil.copy(ROOT / "benchmarks" / name, root / "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", root)
    for name, code in examples().items():
        if name != "hwbench/datasets/checksums.yaml":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(code, encoding="utf-8")
    return root


def call(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HWBENCH_CACHE": str(tree / "cache"),
        "PYTHONPATH": str(tree),
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_there_is_an_example_of_every_kind():
    folders = {Path(name).parent.as_posix() for name in examples()}
    shelves = {f"hwbench/{shelf}" for shelf in ("datasets", "models", "rules", "evaluators")}
    assert folders == shelves | {"benchmarks/demo", "tests/models"}


def test_examples_are_checked_like_the_code(tree):
    names = [name for name in examples() if name.endswith(".py")]
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = call(tree, "-m", *command, *names)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_passes_the_checks_of_a_run_and_reaches_the_entropy_of_the_coins(tree):
    options = ["--profile", "smoke", "--executor", "inline"]
    done = call(tree, "-m", "hwbench", "run", "demo/coins", *options)
    assert done.returncode == 0, done.stderr
    found = {row: [] for row in ("clean", "flipped")}
    for path in (tree / "results").glob("demo/coins/*/*.json"):
        found[path.parent.name].append(json.loads(path.read_text())["metrics"]["bits_per_unit"])
    p = [(d + 1) / 17 for d in range(16)]
    entropy = -sum(q * math.log2(q) + (1 - q) * math.log2(1 - q) for q in p) / 16
    assert [len(metrics) for metrics in found.values()] == [2, 2]
    for metric in found["clean"]:
        assert metric["value"] == pytest.approx(entropy, abs=5 * metric["se"])
    # a flip with probability f makes a mean p into p + f (1 − 2 p); the model learns those
    r = [q + 0.2 * (1 - 2 * q) for q in p]
    cross = (
        -sum(q * math.log2(s) + (1 - q) * math.log2(1 - s) for q, s in zip(p, r, strict=True)) / 16
    )
    for metric in found["flipped"]:
        assert metric["value"] == pytest.approx(cross, abs=5 * metric["se"])
    assert cross > entropy + 0.03


def test_the_tests_pass(tree):
    names = [name for name in examples() if name.endswith(".py")]
    done = call(tree, "-m", "pytest", "-q", "-o", "testpaths=", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b3 passed", done.stdout)  # two tests and a doctest


def test_the_file_declaration_is_one():
    declared = yaml.safe_load(examples()["hwbench/datasets/checksums.yaml"])
    for entry in declared.values():
        files._Set.model_validate(entry)


def test_the_example_of_the_format_passes_check(tmp_path):
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(id: .*?)^```$", text, re.MULTILINE | re.DOTALL)
    shutil.copy(ROOT / "benchmarks" / "profiles.yaml", tmp_path)
    path = tmp_path / "demo" / "example.yaml"
    path.parent.mkdir()
    path.write_text(example, encoding="utf-8")
    loaded = spec.load(path)
    assert check(loaded) == []
    assert len(spec.cases(loaded, "smoke")) == 4


def test_every_key_of_the_format_is_documented():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    models = [spec.Spec, spec.Defaults, spec.Row, spec.Stage, spec.Schedule, spec.Stop, spec.Claim]
    models += [spec.Gap, spec.Within, spec.Calibrate, spec.ProfileBlocks, spec.Show, spec.Figure]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    missing = sorted(key for key in keys if not re.search(rf"`{re.escape(key)}\b", text))
    assert missing == []
