"""Terraform's own checks: form, types, and the tests in the modules and environments, on a mocked AWS."""

import re

import pytest

from tests.terraform.cli import ROOTS


def test_the_configuration_is_formatted(terraform):
    terraform(".", "fmt", "-check", "-recursive", "-diff")


@pytest.mark.parametrize("root", ["environments/dev", "environments/prod"])
def test_the_environments_and_the_modules_in_them_are_valid(terraform, root):
    terraform.init(root)
    terraform(root, "validate", "-no-color")


@pytest.mark.parametrize("root", ROOTS)
def test_terraforms_own_tests_pass(terraform, root):
    terraform.init(root)
    said = terraform(root, "test", "-no-color")
    summary = re.search(r"Success! (\d+) passed, 0 failed\.", said)
    assert summary, said
    assert int(summary[1]) > 0
