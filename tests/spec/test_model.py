"""The parts of a spec: published numbers, and rows with their names."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hwbench.spec import Published, load, row_name
from tests.spec.tables import edited, quick, write


@pytest.mark.parametrize(
    ("text", "value", "error", "rounding"),
    [
        ("-95.182 ± 0.022", -95.182, 0.022, 0.0005),
        ("-95.182 +/- 0.022", -95.182, 0.022, 0.0005),
        ("−95.182±0.022", -95.182, 0.022, 0.0005),
        ("≈85.5", 85.5, None, 0.05),
        ("~ 85.5", 85.5, None, 0.05),
        ("86.70", 86.70, None, 0.005),
        ("12", 12.0, None, 0.5),
        (12, 12.0, None, 0.5),
        (3.09, 3.09, None, 0.005),
        ("1.5e3", 1500.0, None, 50.0),
        ("2.50e-4", 2.5e-4, None, 5e-7),
        (" 1.0 ", 1.0, None, 0.05),
    ],
)
def test_published_numbers(text, value, error, rounding):
    """Rounding is half a unit of the last digit printed, also before a power of ten."""
    found = Published.parse(text)
    assert (found.value, found.error, found.rounding) == (
        value,
        error,
        pytest.approx(rounding, rel=1e-12),
    )


@pytest.mark.parametrize(
    "text",
    ["", "ten", "1,5", "1.0 ±", "± 0.1", "1 2", "nan", "inf", "1.0 ± -0.1", "0x10", "1e", "true"],
)
def test_what_is_no_published_number(text):
    with pytest.raises(ValueError, match=r"not a number|cannot be negative"):
        Published.parse(text)


@quick
@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_a_printed_number_lies_within_its_rounding(digits, places):
    text = f"{digits / 10**places:.{places}f}"
    found = Published.parse(text)
    assert found.value == float(text)
    assert found.rounding == pytest.approx(0.5 * 10.0**-places)


@quick
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.text(max_size=30) | st.integers() | st.booleans(),
        min_size=1,
        max_size=3,
    )
)
@example({"a": ".."})
@example({"a": "../../etc/passwd"})
@example({"a": "/", "b": "\\"})
@example({"a": "", "b": ""})
@example({"a": "\x00\n"})
@example({"a": ".hidden"})
def test_a_rows_name_cannot_leave_its_folder(at):
    name = row_name(at)
    assert name not in ("", ".", "..")
    assert not name.startswith(".")
    assert Path("base", name).parts == ("base", name)
    assert all(c.isascii() and (c.isalnum() or c in "_+.=-") for c in name)


def test_rows_are_matched_as_printed(tmp_path):
    row = load(
        write(
            tmp_path, edited(("at: {data: Omniglot, method: IWAE}", "at: {data: 5, method: IWAE}"))
        )
    ).rows[2]
    assert row.matches({"data": "5"})
    assert row.matches({"data": [4, 5]})
    assert not row.matches({"data": 6})
    assert not row.matches({"k": 5})
    assert row.matches({})
