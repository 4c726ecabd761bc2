"""What each row ran, and where rows differ."""

from __future__ import annotations

from pathlib import Path

from hwbench.report.protocol import common_part, protocol_fields
from hwbench.report.section import make_section

from .conftest import TABLE, Example, make_example


def test_protocol_says_once_what_rows_share(example: Example):
    section = make_section(example.comparison)
    fields = dict(section.protocol)
    assert fields["rule"] == "bounds.IWAE(k = 25)"
    assert fields["model"] == "vae.VAE(latent = 20, hidden = [400])"
    assert section.protocol_rows.head == ["row", "profile", "data", "pixels", "model: random"]
    by_row = {line[0]: line[1:] for line in section.protocol_rows.lines}
    both = "[generative, recognition]"
    assert by_row["MNIST, fixed, IWAER"] == ["full", "mnist.MNIST", "fixed", both]
    assert by_row["Omniglot, dynamic, IWAER (not run)"][1] == "omniglot.Omniglot"
    assert len(by_row) == len(example.spec.rows)


def test_a_stand_in_is_named_in_the_protocol(example: Example):
    case = example.comparison.rows[0].results[0].case
    away = case.model_copy(
        update={"stands_in_for": "mnist.MNIST", "data": {"use": "digits.Digits"}}
    )
    fields = protocol_fields(away)
    assert fields["standing in for"] == "mnist.MNIST"
    assert fields["pixels"] == "not applicable"


def test_stages_are_told_apart(tmp_path: Path):
    stages = """train:
    - {rule: {use: bounds.IWAE, k: 25}, epochs: 3, schedule: {anneal: 0.1}}
    - {rule: {use: bounds.IWAE, k: 50}, epochs: 9}
"""
    start, end = TABLE.index("train:"), TABLE.index("  evaluate:")
    example = make_example(tmp_path, TABLE[:start] + stages + TABLE[end:])
    fields = dict(make_section(example.comparison).protocol)
    assert fields["stage 1: epochs"] == "3"
    assert fields["stage 1: schedule"] == "{anneal: 0.1}"
    assert fields["stage 2: rule"] == "bounds.IWAE(k = 50)"


def test_only_named_blocks_have_a_common_part():
    schedules = [{"anneal": 0.1, "lr": {"0": 0.1}}, {"anneal": 0.2, "lr": {"0": 0.1}}]
    assert common_part(schedules) is None
    assert common_part([{"use": "a.A"}, {"use": "b.B"}]) is None
    assert common_part([{"use": "a.A", "k": 1}, None]) is None
