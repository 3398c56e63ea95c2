"""The formats that `Detections.save` writes: one registry, filled by the packages that can write.

`anemone_lib.detection.results` registers ``json``, `anemone_lib.tables` the tables, `anemone_lib.plots` the picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Writes detections to a file whose name begins with a path (the stem), and returns the file's path.
Writer = Callable[[Any, Path], Path]

#: The writer of each format, by the format's name.
FORMATS: dict[str, Writer] = {}


def register_format(name: str, write: Writer) -> None:
    """Add a format to those that `Detections.save` writes.

    Parameters
    ----------
    name : str, a short name in lower case
    write : callable (detections, stem) -> path
        ``stem`` is the path of the file to write, without its ending.

    Raises
    ------
    ValueError
        Another writer has this name.

    Examples
    --------
    >>> from anemone_lib.detection.formats import FORMATS
    >>> sorted(FORMATS)
    ['audacity', 'csv', 'json', 'png', 'raven']
    """
    if FORMATS.get(name, write) is not write:
        raise ValueError(f"format {name!r} is registered already; choose another name")
    FORMATS[name] = write
