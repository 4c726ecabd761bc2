"""Whatever a spec says, `check` answers within a second: fine, or what is wrong."""

import json
import random
import time

import pytest

from hwbench.build import BuildError, allow_plugins, find_class, shelf
from hwbench.check import check
from hwbench.cli import console
from hwbench.sources import SHELVES
from hwbench.spec import Published, SpecError, cases, load, read_yaml
from hwbench.spec import document as yaml_document
from hwbench.spec.files import load_files
from tests.conftest import TINY

LIMIT = 1.0  # seconds of CPU, of which a spec may take in `check`


def checked(path, text):
    """Check a spec, as `hwbench check` does; returns what is wrong, None if nothing is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    begun = time.process_time()
    try:
        load_files([path], check)
        return None
    except SpecError as error:
        return str(error)
    finally:
        assert time.process_time() - begun < LIMIT, text[:1000]


def with_line(line):
    return TINY.replace("  margin: 0.5", f"  margin: 0.5\n{line}")


def bomb(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]")
    return "\n".join(lines)


BAD = {
    "a day that is none": with_line("  seeds2: 2001-99-99"),
    "hexadecimal without digits": with_line("  seeds2: 0x_"),
    "an integer of 5000 digits": TINY.replace("seeds: 2", f"seeds: {'9' * 5000}"),
    "a tag": TINY.replace("seeds: 2", "seeds: !!int foo"),
    "a key called str": with_line("  str: 1"),
    "a key called list": with_line("  list: 1"),
    "a key with brackets": with_line("  '[x(': 1"),
    "a key called str at the top": TINY + "str: 1\n",
    "500 brackets": TINY + f"about: {'[' * 500}{']' * 500}\n",
    "100 000 brackets": TINY + f"about: {'[' * 100_000}\n",
    "a class of __main__": TINY.replace("vae.VAE", "__main__.X"),
    "an alias bomb": TINY + bomb(9) + "\n",
    "a bomb of seven levels": TINY + bomb(7) + "\n",
    "200 000 keys": TINY + "".join(f"k{i}: 1\n" for i in range(200_000)),
    "5000 keys": TINY + "".join(f"k{i}: 1\n" for i in range(5000)),
    "no stand-ins": TINY.replace("smoke: {train", "smoke: {stand_ins: {synthetic.Bars: []}, train"),
    "a published value beyond all bounds": TINY.replace("-5.0 ± 0.1", "1e400"),
    "an error beyond all bounds": TINY.replace("-5.0 ± 0.1", "5 ± 1e400"),
    "a rounding beyond all bounds": TINY.replace("-5.0 ± 0.1", "0e400"),
    "an exponent of 5000 digits": TINY.replace("-5.0 ± 0.1", f"1e{'9' * 5000}"),
    "infinity": TINY.replace("margin: 0.5", "margin: .inf"),
    "a key that is a list": TINY + "? [a]\n: b\n",
    "an alias to nothing": TINY + "about: *nothing\n",
    "two documents": TINY + "---\na: 1\n",
    "a long class": TINY.replace("vae.VAE", "a." * 5000 + "b"),
    "3 MB": TINY + f"about: {'x' * 3_000_000}\n",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_spec_has_a_message(name, tmp_path):
    message = checked(tmp_path / "benchmarks/tiny/table.yaml", BAD[name])
    assert message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("count", "seconds"), [(50, 1.0), pytest.param(2300, 6.0, marks=pytest.mark.slow)]
)
def test_many_rows_take_time_in_proportion(tmp_path, count, seconds):
    """Twenty seconds for 3000 rows, before rows of the same blocks were checked together."""
    rows = "".join(f"  - {{at: {{method: m{i}}}}}\n" for i in range(count))
    text = TINY[: TINY.index("rows:")] + f"rows:\n{rows}show: {{index: method}}\n"
    path = tmp_path / "benchmarks/tiny/table.yaml"
    assert checked(path, TINY) is None  # imports what it needs
    path.write_text(text)
    begun = time.process_time()
    assert len(load_files([path], check)[0].rows) == count
    assert time.process_time() - begun < seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0x1F", "0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("0o7", "0o7"),
        ("-3", -3),
    ],
)
def test_integers_are_decimal(tmp_path, text, value):
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {text}\n")
    assert read_yaml(path)[0]["a"] == value


def test_every_mistake_of_a_sound_size_is_still_told(tmp_path):
    message = checked(
        tmp_path / "benchmarks/tiny/table.yaml", TINY + "".join(f"k{i}: 1\n" for i in range(40))
    )
    assert message.count("unknown key") == 40


@pytest.mark.parametrize("text", ["1e400", "-1e999", "1 ± 1e400"])
def test_a_published_value_is_a_finite_number(text):
    with pytest.raises(ValueError, match="finite"):
        Published.parse(text)


def test_json_has_no_nan(capsys, monkeypatch):
    monkeypatch.setattr(console, "out", console.Output())
    console.print_json({"a": [float("nan"), float("inf"), 1.5], "b": ("±", None)})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [None, None, 1.5],
        "b": ["±", None],
    }


# --- fuzzing --------------------------------------------------------------------------------------

WORDS = [
    *("", "[", "]", "{", "}", ": ", "- ", "\n", "  ", "&a ", "*a", "!!int ", "!x ", "null", "~"),
    *(
        "true",
        ".inf",
        "1e400",
        "-1",
        "0",
        "1e-300",
        "9" * 30,
        "0x_",
        "2001-99-99",
        "'",
        '"',
        "#",
        "|",
    ),
    *(
        ">",
        "%",
        "@",
        "`",
        "? ",
        "<<: ",
        "str",
        "list",
        "rows",
        "at",
        "use",
        "published",
        "os.system",
    ),
    *("__main__.X", "builtins.print", "vae.VAE", "\u202e", "\x85", "\ufeff", "é"),
]


def mutated(rng):
    """Return a sound spec after one to four random edits."""
    text = TINY
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.sample(range(len(text)), 2))
        b = min(b, a + rng.choice([0, 1, 5, 30]))
        piece = rng.choice([rng.choice(WORDS), text[b : b + rng.randint(1, 40)]])
        text = text[:a] + piece + text[b:]
    return text


@pytest.mark.parametrize(
    "count", [60, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "10 000"]
)
def test_mutated_specs_are_refused_or_fine(tmp_path, count, tried):
    rng, path = random.Random(21), tmp_path / "benchmarks/tiny/table.yaml"
    for kind in SHELVES:
        shelf(kind)  # the first unknown class imports them all
    refused = sum(checked(path, mutated(rng)) is not None for _ in range(count))
    assert count / 3 < refused <= count
    tried(f"{count} fuzzed specs: {refused} refused with a message, no crash")


# --- plugins --------------------------------------------------------------------------------------


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package that imports what runs programs, beside a class of its own."""
    package = tmp_path / "faultypkg"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from subprocess import Popen\nfrom hwbench.models.vae import VAE\n"
        "from hwbench.protocols import Density, Model\n"
        "class Mine(VAE):\n    pass\nclass Other:\n    pass\nclass Abstract(Density):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    allow_plugins(["faultypkg"])
    yield
    import hwbench.build as build

    build._plugins.discard("faultypkg")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("faultypkg.Popen", "was defined in subprocess"),
        ("faultypkg.VAE", "was defined in hwbench.models.vae"),
        ("faultypkg.Other", "is no Model"),
        ("faultypkg.Abstract", "is abstract"),
        ("faultypkg.Popen.mro", "cannot be imported"),
    ],
)
def test_a_plugin_gives_its_own_classes_only(plugin, use, message):
    with pytest.raises(BuildError, match=message):
        find_class("model", use)
    assert find_class("model", "faultypkg.Mine").__name__ == "Mine"


def test_a_spec_runs_no_program(plugin, tmp_path):
    there = tmp_path / "it-ran"
    text = TINY.replace(
        "{use: vae.VAE, latent: 2, hidden: [4]}",
        f"{{use: faultypkg.Popen, args: [touch, {there}]}}",
    )
    message = checked(tmp_path / "benchmarks/tiny/table.yaml", text)
    assert "was defined in subprocess" in message
    assert not there.exists()


def test_stand_ins_that_are_none_never_reach_a_plan(tmp_path):
    path = tmp_path / "benchmarks/tiny/table.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TINY)
    assert cases(load(path), "smoke")
    assert yaml_document.NODES < 50_000
