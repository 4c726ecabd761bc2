"""The cache keeps a value under the digest of what it is made from, and gives no other."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hwbench import cache
from hwbench.cache import digest, digest_of_code, digest_of_files, recall, remember
from hwbench.sources import PACKAGE


def test_a_value_is_recalled_under_its_name_and_key_only(folder):
    assert recall("name", "key") is None
    remember("name", "key", [1, "two", None, 0.1])
    assert recall("name", "key") == [1, "two", None, 0.1]
    assert recall("name", "another") is recall("another", "key") is None
    remember("name", "another", {})
    assert recall("name", "another") == {}
    assert recall("name", "key") is None
    assert len(list((folder / "cache" / "views").iterdir())) == 1


def test_a_flipped_letter_is_noticed(folder):
    remember("name", "key", ["agrees"])
    (path,) = (folder / "cache" / "views").iterdir()
    path.write_text(path.read_text().replace("agrees", "egrees"))
    assert recall("name", "key") is None


def test_digests_tell_texts_and_files_apart(tmp_path):
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x")
    b.write_bytes(b"y")
    both = digest_of_files([a, b])
    assert both == digest_of_files([a, b])
    assert both != digest_of_files([a])
    a.write_bytes(b"y")
    b.write_bytes(b"x")
    assert both != digest_of_files([a, b])
    b.unlink()
    assert digest_of_files([a, b]) != digest_of_files([a])
    b.write_bytes(b"")
    assert digest_of_files([a, b]) != digest_of_files([a, tmp_path / "none"])
    assert digest_of_files([tmp_path])  # a folder cannot be read


def test_the_digest_of_code_follows_each_file(tmp_path, monkeypatch):
    copy = tmp_path / "hwbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(copy / "cache.py"))
    found = []
    for name in ("", "rules/bounds.py", "datasets/checksums.yaml", "verdict/wording.py"):
        if name:
            path = copy / name
            path.write_bytes(path.read_bytes() + b"\n")
        digest_of_code.cache_clear()
        found.append(digest_of_code())
    digest_of_code.cache_clear()
    assert len(set(found)) == 4


LOADED = """
import sys
from hwbench.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
heavy = {"torch", "pandas", "scipy.stats", "matplotlib", "sklearn", "pytorch_lightning", "numpy"}
print("loaded:", *sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("command", ["--help", "list", "compare iwaer/table1"])
def test_commands_load_what_they_need(folder, command):
    """No torch, pandas nor scipy.stats for verdicts; no numpy where these are in the cache."""
    loaded = []
    root = PACKAGE.parent
    places = ["--benchmarks", root / "benchmarks", "--results", root / "results"]
    arguments = [*command.split(), *(places if command != "--help" else [])]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", LOADED, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded.append(done.stdout.splitlines()[-1].split()[1:])
    assert loaded == [[] if command == "--help" else ["numpy"], []]


def test_an_edited_source_is_told_at_once(folder):
    """A real package that changes under a warm cache: the result is then of older code."""
    from hwbench.sources import fingerprint
    from hwbench.spec import cases, load
    from hwbench.store import Result, Store, StoredMetric

    case = cases(load(folder / "benchmarks/tiny/table.yaml"), "full")[0]
    metrics = {"log_likelihood": StoredMetric(value=-5.0)}
    result = Result(case=case, key=case.key, fingerprint=fingerprint(case), metrics=metrics)
    Store(folder / "results").write(result)
    copy = folder / "code" / "hwbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def compare() -> str:
        script = f"import sys; sys.path.insert(0, {str(copy.parent)!r})\n{LOADED}"
        command = [sys.executable, "-c", script, "compare", "tiny", "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "code changed" not in compare()
    assert "code changed" not in compare()
    path: Path = copy / "rules" / "bounds.py"
    path.write_text(path.read_text() + "\nNEW = 1\n")
    assert "code changed" in compare()
