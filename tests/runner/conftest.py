"""A job of the tiny table."""

import pytest

from hwbench.runner.job import Job
from hwbench.spec import cases


@pytest.fixture(autouse=True)
def _unchecked(unchecked):
    """What trains here is checked elsewhere."""


@pytest.fixture
def job(folder, spec):
    case = cases(spec, "full")[0]
    return Job(case, folder / "results", folder / "cache", "cpu")
