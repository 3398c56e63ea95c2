import pytest


@pytest.fixture
def table(tmp_path):
    """Write a file; return its path."""

    def write(content, name="reef.Table.1.selections.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
