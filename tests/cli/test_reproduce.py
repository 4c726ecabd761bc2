"""hwbench reproduce: run, compare and report."""

from hwbench.store import Store

from .conftest import INLINE, edit, files, run


def test_unwritable_reports_are_told_before_anything_runs(folder, capsys):
    (folder / "reports").write_text("a file, not a folder")
    before = files(folder)
    assert run("reproduce", "tiny", "--profile", "smoke") == 2
    assert "reports: not a folder" in capsys.readouterr().err
    assert files(folder) == before


def test_auto_falls_back_to_smoke_under_a_banner(folder, capsys, monkeypatch):
    """No data: smoke on stand-ins, under a banner, also in each result; full never falls back."""
    edit(folder, "use: synthetic.Bars, pixels: fixed", "use: mnist.MNIST, pixels: fixed")
    edit(
        folder,
        "smoke: {train: {epochs: 1}}",
        "smoke: {train: {epochs: 1}, stand_ins: {mnist.MNIST: [digits.Digits]}}",
    )
    monkeypatch.delenv("HWBENCH_DATA", raising=False)
    monkeypatch.setattr("hwbench.datasets.files._answers", lambda address: False)
    assert run("reproduce", "tiny", "--seeds", 1, "--format", "html", *INLINE) == 0
    assert "SMOKE RUN ON STAND-IN DATA" in capsys.readouterr().err
    found, _ = Store(folder / "results").results()
    assert all("SMOKE RUN" in r.banner for r in found)
    assert "SMOKE RUN" in (folder / "reports" / "index.html").read_text()
    assert run("run", "tiny", "--profile", "full", "--seeds", 1, *INLINE) == 4
    assert len(Store(folder / "results").results()[0]) == len(found)
