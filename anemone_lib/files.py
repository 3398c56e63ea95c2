"""Files: written whole or not at all, hashed, and named."""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anemone_lib.errors import ConfigError


def _read_umask() -> int:
    """Read the process's umask, which can only be read by setting it: once, before there are threads."""
    current = os.umask(0o022)
    os.umask(current)
    return current


_UMASK = _read_umask()


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
        After an error, nothing of it is left, and an earlier file of this name is unchanged.

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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".anemone-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_UMASK)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file in UTF-8, whole or not at all; its folder is made if it is missing. Return its path.

    >>> from tempfile import mkdtemp
    >>> write_text(Path(mkdtemp(), "notes.txt"), "whole").read_text()
    'whole'
    """
    path = Path(path)
    with write_atomically(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    return path


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, or of the names and hashes of all files in a folder.

    >>> from tempfile import mkdtemp
    >>> hash_file(write_text(Path(mkdtemp(), "notes.txt"), "whole"))[:12]
    '5d5766cf2d78'
    """
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        lines = [f"{one.relative_to(path).as_posix()} {hash_file(one)}\n" for one in inside]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means that a disk, or a quota of it, is full.

    >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device")), is_disk_full(OSError(errno.ENOENT, "no file"))
    (True, False)
    """
    said = str(error)  # SQLite gives no number
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in said or "No space" in said


#: Bytes that most disks allow for one name.
MAX_NAME_BYTES = 255


def spell_name(name: str) -> str:
    r"""Write a file's name so that any disk takes it: bytes that are no text become ``\xe9``.

    >>> spell_name("r\udce9cif.wav")
    'r\\xe9cif.wav'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shorten_name(stem: str, suffix: str) -> str:
    """Put a stem and a suffix together; a name that is too long for a disk is cut, and a check sum tells it apart.

    >>> shorten_name("reef", ".events.csv"), len(shorten_name("é" * 200, ".events.csv").encode()) <= MAX_NAME_BYTES
    ('reef.events.csv', True)
    """
    room = MAX_NAME_BYTES - len(suffix.encode()) - 8  # for a dot and a number after the stem
    whole = stem.encode("utf-8", "surrogateescape")
    if len(whole) <= room:
        return stem + suffix
    kept = whole[: room - 9].decode("utf-8", "ignore")
    return f"{kept}~{hashlib.sha256(whole).hexdigest()[:8]}{suffix}"


def find_in_path(pattern: str, path: str, what: str) -> str | None:
    r"""Find a part of a path with a regular expression: its first group, or all that matches.

    Parameters
    ----------
    pattern : str, a regular expression
    path : str
    what : str, the name of the option or field that has the expression, for the message: ``--site``

    Returns
    -------
    part : str, or None if the path does not have it

    Raises
    ------
    ConfigError
        `pattern` is not a regular expression.

    Examples
    --------
    >>> find_in_path(r"site_(\w)", "2023/site_A/reef.wav", "--site"), find_in_path("bay", "2023/reef.wav", "--site")
    ('A', None)
    """
    try:
        found = re.search(pattern, path)
    except re.error as error:
        raise ConfigError(f"{what} is {pattern!r}, which is not a regular expression: {error}") from None
    return None if found is None else (found.groups() and found[1]) or found[0] or None


def check_folder(folder: str | os.PathLike[str], what: str) -> None:
    """Make a folder, and check that files can be written there, before hours of work.

    Parameters
    ----------
    folder : path
    what : str, the option that names the folder, for the message: ``--out``

    Raises
    ------
    ConfigError
        It is a file, cannot be written to, or has no room.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".anemone-") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise ConfigError(f"{what} is {folder}, which is a file; name a folder") from None
    except NotADirectoryError:
        raise ConfigError(f"{what} is {folder}, which lies below a file; name a folder") from None
    except OSError as error:
        raise ConfigError(
            f"{what} is {folder}, where nothing can be written ({error.strerror or error}); "
            "name another folder, or make room"
        ) from None


#: Bytes for which a folder for results must have room.
PROBE_BYTES = 1 << 16


def write_beside(path: Path, write: Callable[[Path], object], overwrite: bool = False) -> Path:
    """Write a file, whole or not at all; if another file has its name and differs, write under the next free number.

    Parameters
    ----------
    path : pathlib.Path
    write : callable that writes the file at the path that it gets
    overwrite : bool
        Replace a file that differs.

    Returns
    -------
    path : pathlib.Path
        Of the file with the content that `write` writes, for example ``reef.Table.2.selections.txt`` if
        ``reef.Table.1.selections.txt`` differs, or ``reef-2.txt`` if ``reef.txt`` differs.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     notes = Path(folder) / "reef.txt"
    ...     _ = notes.write_text("mine")
    ...     write_beside(notes, lambda path: path.write_text("yours")).name, notes.read_text()
    ('reef-2.txt', 'mine')
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".anemone-") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        content = temporary.read_bytes()
        number, target = 1, path
        while target.exists() and not overwrite:
            if target.read_bytes() == content:
                return target
            number += 1
            target = number_path(path, number)
        return temporary.replace(target)


def number_path(path: Path, number: int) -> Path:
    """Return a path with another number: that of a Raven table, or one before the suffix.

    Examples
    --------
    >>> number_path(Path("reef.Table.1.selections.txt"), 2).name, number_path(Path("reef.events.csv"), 2).name
    ('reef.Table.2.selections.txt', 'reef.events-2.csv')
    """
    table = re.compile(r"\.Table\.\d+\.")
    if table.search(path.name):
        return path.with_name(table.sub(f".Table.{number}.", path.name))
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
