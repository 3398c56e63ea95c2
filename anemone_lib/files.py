"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def write_atomically(path: Path) -> Iterator[Any]:
    """Open a binary file that appears under its name only when it is complete.

    Parameters
    ----------
    path : pathlib.Path
        Its folder is made if it is missing; a file of this name is replaced at the end.

    Yields
    ------
    file : binary file, open for writing
        After an error nothing is left of it, and what was there before stays as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "notes.txt"
    ...     with write_atomically(path) as file:
    ...         _ = file.write(b"whole")
    ...     path.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_read_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
