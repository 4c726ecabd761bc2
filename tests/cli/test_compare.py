"""hwbench compare: what is on file, and what is not whole."""

from .conftest import run


def test_half_a_result_file_is_skipped_with_a_warning_and_kept(done, capsys):
    path = next((done / "results").rglob("*.json"))
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    assert run("compare", "tiny", "--profile", "smoke") == 0
    assert "skipped" in "".join(capsys.readouterr())
    assert path.read_bytes() == half
