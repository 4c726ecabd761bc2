"""What stands around the code agrees with it: versions, dependencies, make, CI, the image."""

import ast
import email
import importlib.metadata
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import hwbench
from hwbench import sources

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = {
    canonicalize_name(line.split("==")[0]): Version(line.split("==")[1])
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_all_declared_shapes_are_checked():
    """Every module that annotates shapes is among those that pytest instruments."""
    options = tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]["addopts"]
    (listed,) = [o for o in options if o.startswith("--jaxtyping-packages=")]
    *names, checker = listed.partition("=")[2].split(",")
    assert checker == "beartype.beartype"
    annotated = []
    for path in (ROOT / "hwbench").rglob("*.py"):
        if "from jaxtyping import" in path.read_text(encoding="utf-8"):
            annotated.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert len(annotated) > 50
    assert [
        m for m in annotated if not m.startswith(tuple(f"{n}." for n in names)) and m not in names
    ] == []


def make(*arguments: str) -> str:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")
    }
    command = ["make", "--no-print-directory", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for n in done.stdout.decode().split("\0") if n and (path := ROOT / n).is_file()]


# --- versions and licence -------------------------------------------------------------------------


def test_every_file_gives_the_same_version():
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == hwbench.__version__
    assert yaml.safe_load(read("CITATION.cff"))["version"] == hwbench.__version__


def test_the_licence_is_the_declared_one():
    assert PROJECT["license"] == yaml.safe_load(read("CITATION.cff"))["license"] == "Apache-2.0"
    text = read("LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


# --- dependencies ---------------------------------------------------------------------------------


def test_every_declared_dependency_is_pinned_within_its_range():
    declared = [Requirement(r) for r in [*PROJECT["dependencies"], *chain(*EXTRAS.values())]]
    missing = [r.name for r in declared if canonicalize_name(r.name) not in PINS]
    assert missing == []
    wrong = [str(r) for r in declared if PINS[canonicalize_name(r.name)] not in r.specifier]
    assert wrong == []


def test_what_dependencies_need_is_pinned_too():
    """A pin for each distribution that is installed, but for those that torch pins itself."""
    todo = [Requirement(r) for r in [*PROJECT["dependencies"], *EXTRAS["dev"]]]
    seen: set[tuple[str, str]] = set()
    missing = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name not in PINS:
            missing.add(name)
        for extra in ["", *requirement.extras]:
            if (name, extra) in seen or name.startswith(("nvidia-", "cuda-")):
                continue
            seen.add((name, extra))
            for text in importlib.metadata.distribution(name).requires or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    todo.append(needed)
    torch_only = {n for n in missing if n == "triton" or n.startswith(("nvidia-", "cuda-"))}
    assert missing - torch_only == set()


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"hwbench"}


def distributions_of(modules: set[str]) -> set[str]:
    installed = importlib.metadata.packages_distributions()
    return {canonicalize_name((installed.get(m) or [m])[0]) for m in modules}


def test_the_package_imports_what_it_declares_and_nothing_else():
    plugin = ROOT / "hwbench/pytest_plugin.py"  # loaded by pytest alone
    files = sorted(set((ROOT / "hwbench").rglob("*.py")) - {plugin})
    modules = set().union(*map(imports_of, files))
    assert imports_of(plugin) == {"pytest"}
    imported = distributions_of(modules)
    declared = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]}
    optional = {canonicalize_name(Requirement(r).name) for r in EXTRAS["ray"]}
    assert imported - declared - optional == set()
    assert declared - imported == set()


def test_tests_import_only_what_an_installation_for_development_brings():
    modules = set().union(*(imports_of(p) for p in sorted((ROOT / "tests").rglob("*.py"))))
    local = {p.stem for p in (ROOT / "tests").rglob("*.py")} | {"tests"}
    assert distributions_of(modules - local) - set(PINS) == set()


# --- the wheel ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Build the wheel from the files that git knows, and unpack it in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        name = path.relative_to(ROOT)
        if name.parts[0] in ("hwbench", "benchmarks") or len(name.parts) == 1:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    git = ["git", "-C", str(folder / "source")]
    subprocess.run([*git, "init", "-q"], check=True)
    origin = "https://github.com/someone/hwbench.git"
    subprocess.run([*git, "remote", "add", "origin", origin], check=True)
    subprocess.run([*build, "-w", str(folder), str(folder / "source")], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "installed")
    return folder / "installed"


def elsewhere(installed: Path, folder: Path, *command: str) -> str:
    """Run hwbench in a folder by the code of the wheel alone."""
    environment = os.environ | {"PYTHONPATH": str(installed), "HWBENCH_CACHE": str(folder / "c")}
    done = subprocess.run(
        [sys.executable, "-m", "hwbench", *command],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_brings_the_specs(installed, tmp_path):
    assert json.loads(elsewhere(installed, tmp_path, "list", "--json"))
    (tmp_path / "benchmarks/me").mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks/hm2012/nade-rate.yaml", tmp_path / "benchmarks/me/own.yaml")
    own = (tmp_path / "benchmarks/me/own.yaml").read_text(encoding="utf-8")
    own = own.replace("id: hm2012/nade-rate", "id: me/own")
    (tmp_path / "benchmarks/me/own.yaml").write_text(own, encoding="utf-8")
    assert "me/own" in elsewhere(installed, tmp_path, "list", "--json")  # one's own come first


def test_an_installed_wheel_brings_the_nets_of_evaluators(installed):
    found = {path.name for path in (installed / "hwbench/evaluators").glob("*.npz")}
    assert found == {path.name for path in (ROOT / "hwbench/evaluators").glob("*.npz")} != set()


def test_the_page_of_a_package_index_has_whole_addresses(installed):
    (path,) = installed.glob("*.dist-info/METADATA")
    told = email.message_from_string(path.read_text(encoding="utf-8"))
    urls = dict(url.split(", ", 1) for url in told.get_all("Project-URL"))
    assert urls["Repository"] == "https://github.com/someone/hwbench"
    assert told["Description-Content-Type"] == "text/markdown"
    text = told.get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    picture = f"{urls['Repository']}/raw/HEAD/docs/overview.svg"
    assert picture in links
    assert [link for link in links if not link.startswith("https://")] == []
    here = [link.split("/HEAD/")[1] for link in links if "/HEAD/" in link]
    assert len(here) >= 4
    assert [name for name in here if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("git@git.example.org:someone/hwbench.git", "https://git.example.org/someone/hwbench"),
        ("https://me:secret@example.org/a/hwbench.git", "https://example.org/a/hwbench"),
        ("ssh://git@example.org/a/b/hwbench", "https://example.org/a/b/hwbench"),
        ("../hwbench.git", ""),
        ("/srv/git/hwbench.git", ""),
        ("", ""),
    ],
)
def test_the_address_of_the_repository_is_that_of_its_origin(
    origin, address, tmp_path, monkeypatch
):
    """It is not that of a CI which happens to build the package."""
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/else")
    shutil.copy(ROOT / "setup.py", tmp_path)
    if origin:
        git = ["git", "-C", str(tmp_path)]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "remote", "add", "origin", origin], check=True)
    assert runpy.run_path(str(tmp_path / "setup.py"))["repository"]() == address


@pytest.mark.slow
def test_an_installed_wheel_reproduces_a_table(installed, tmp_path):
    elsewhere(installed, tmp_path, "reproduce", "table1", "--profile", "smoke", "--seeds", "1")
    assert (tmp_path / "reports/index.html").is_file()


# --- size -----------------------------------------------------------------------------------------

SHELVES = {*sources.SHELVES.values(), "executors"}
COMPUTATION = {"learner.py", "pipeline.py", "numerics.py", "products.py"}  # results rest on it


def machinery() -> dict[str, str]:
    """Return the sources outside the shelves, but for the computation itself, by their names."""
    package = ROOT / "hwbench"
    names = [p.relative_to(package) for p in sorted(package.rglob("*.py"))]
    wanted = [n for n in names if n.parts[0] not in SHELVES | COMPUTATION]
    return {n.as_posix(): (package / n).read_text(encoding="utf-8") for n in wanted}


def function_lines(text: str) -> dict[str, int]:
    """Return how many lines each function has without its docstring."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno - first.lineno + 1) if documented else 0
            found[node.name] = node.end_lineno - node.lineno + 1 - docstring
    return found


def test_the_lines_of_a_function_are_counted_without_its_docstring():
    text = 'def f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    return x\n\n\ndef g(): ...\n'
    assert function_lines(text) == {"f": 4, "g": 1}


def test_no_file_of_machinery_has_more_than_420_lines():
    lengths = {name: len(text.splitlines()) for name, text in machinery().items()}
    assert {"spec/model.py", "build.py", "verdict/row.py"} <= lengths.keys()
    assert {name: n for name, n in lengths.items() if n > 420} == {}


def test_no_function_of_machinery_has_more_than_60_lines():
    long = {
        f"{name}: {function}"
        for name, text in machinery().items()
        for function, lines in function_lines(text).items()
        if lines > 60
    }
    assert long == set()


# --- make -----------------------------------------------------------------------------------------

TARGETS = set(re.findall(r"^([a-z][\w%-]*):", read("Makefile"), re.MULTILINE))


def test_help_is_the_default_and_lists_every_target():
    text = make()
    assert text == make("help")
    listed = set(re.findall(r"^  make (\S+)", text, re.MULTILINE))
    assert listed == {target.replace("%", "<paper>-<table>") for target in TARGETS}


def test_no_target_is_mistaken_for_a_file():
    phony = set(re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)[1].split())
    assert {t for t in TARGETS if "%" not in t} == phony - {"FORCE"}


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("reproduce-table1", "hwbench reproduce iwaer/table1 --profile smoke"),
        ("reproduce-rws-mnist", "hwbench reproduce \"$(echo 'rws-mnist' | sed 's,-,/,')\""),
    ],
)
def test_reproduce_passes_options_on(target, command):
    assert command in make("-n", target, "ARGS=--profile smoke")


@pytest.mark.parametrize("name", ["rws-mnist", "rws-test-samples", "table1"])
def test_only_the_first_dash_of_a_table_separates_its_paper(name, tmp_path):
    stub = tmp_path / "hwbench"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    stub.chmod(0o755)
    stamp = tmp_path / ".installed"
    stamp.touch()
    said = make(f"reproduce-{name}", f"BIN={tmp_path}", f"STAMP={stamp}", "ARGS=--seeds 2")
    spec_id = "iwaer/table1" if name == "table1" else name.replace("-", "/", 1)
    assert said.splitlines()[-4:] == ["reproduce", spec_id, "--seeds", "2"]


def test_a_paper_has_no_dash_so_that_every_spec_has_its_target():
    papers = [p.name for p in (ROOT / "benchmarks").iterdir() if p.is_dir()]
    assert [name for name in papers if "-" in name] == []


def test_an_old_python_is_refused_with_one_message(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1 && exit\nexit 1\n', "utf-8"
    )
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "-C", str(tmp_path), "install", f"PYTHON={old}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs Python 3.11 or later" in done.stderr
    assert "is Python 3.9.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


# --- CI and the image -----------------------------------------------------------------------------


def test_ci_runs_targets_that_exist():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    steps = re.search(r"for step in (.*); do", text)[1].split()
    assert steps == ["install", "check", "test", "smoke"]
    assert set(steps) <= TARGETS


def test_the_workflow_runs_the_same_script_on_every_supported_python():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    job = workflow["jobs"]["ci"]
    versions = job["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    minors = [int(v.split(".")[1]) for v in versions]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert workflow["permissions"] == {"contents": "read"}
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [a for a in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", a)] == []
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    smoke = re.search(r"^SMOKE := (\S+)", read("Makefile"), re.MULTILINE)[1]
    assert all(path.startswith(f"{smoke}/") for path in upload["with"]["path"].split())


def test_the_image_installs_by_make_and_runs_as_nobody_special():
    text = read("Dockerfile")
    base = re.search(r"^ARG BASE=python:(3\.\d+)-slim", text, re.MULTILINE)
    assert base is not None
    assert Version(base[1]) >= Version(PROJECT["requires-python"].removeprefix(">="))
    assert "RUN make install" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] not in ("root", "0")
    for line in re.findall(r"^COPY (?:--\S+ )*(.*)$", text, re.MULTILINE):
        assert [s for s in line.split()[:-1] if not (ROOT / s).exists()] == []


# --- what must not be there -----------------------------------------------------------------------


def test_no_file_names_a_path_of_one_machine():
    """Paths of homes and build machines have no place in a file that others read."""
    pattern = re.compile(
        r"(?<![\w.~])/(?:work|root|farm|home|Users|opt|mnt)/\w|file:/{2}|(?<!\w)/tmp/\w"
    )
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an array or a picture
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in pattern.finditer(text)]
    assert found == []


def test_large_files_stay_out_of_the_repository():
    large = {
        str(p.relative_to(ROOT)): p.stat().st_size for p in tracked() if p.stat().st_size > 500_000
    }
    assert large == {}
