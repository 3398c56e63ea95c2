"""One copy of the configuration for all tests of it, and one provider."""

import pytest

from tests.terraform.cli import terraform_in


@pytest.fixture(scope="session", autouse=True)
def applied_meanwhile(cloud):
    """The tests of `tests/aws` come next: what they need is made in the meantime."""


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    made = terraform_in(tmp_path_factory.mktemp("terraform") / "copy")
    made.start_provider("environments/dev", for_all=True)
    yield made
    made.close()
