"""A job of the tiny table, as the tests of runs have it."""

from tests.runner.conftest import job as job
