"""A job of the tiny table, as the tests of runs have it, and a note of what was tried."""

import pytest

from tests.runner.conftest import job as job


@pytest.fixture
def tried(record_property):
    """tried(text): say at the end of the whole run what was tried here, and what was lost."""

    def note(text):
        record_property("tried", text)

    return note
