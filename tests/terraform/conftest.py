"""One copy of the configuration for all tests of it."""

import pytest

from tests.terraform.cli import terraform_in


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    return terraform_in(tmp_path_factory.mktemp("terraform") / "copy")
