"""The extension that works out pages from the code, as a module."""

import importlib
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="session")
def pages():
    """The module ``docs/_ext/anemone_docs.py``, as Sphinx imports it."""
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    try:
        return importlib.import_module("anemone_docs")
    finally:
        sys.path.pop(0)
