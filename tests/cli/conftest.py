"""What the tests of the commands share."""

import os

import pytest
from typer.testing import CliRunner

from anemone_lib.cli import app


@pytest.fixture
def anemone():
    """Run the command in this process; return its exit code, output and errors."""
    runner = CliRunner()

    def run(*arguments):
        texts = [os.fsdecode(one) if isinstance(one, bytes) else str(one) for one in arguments]
        return runner.invoke(app, texts, catch_exceptions=False)

    return run
