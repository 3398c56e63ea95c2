"""The formats that `Detections.save` writes: one registry, filled by the packages that can write.

`anemone_lib.detection.results` registers ``json``, `anemone_lib.tables` the tables, `anemone_lib.plots` the picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anemone_lib.files import shorten_name

#: Writes detections to a file of this path, and returns the path.
Writer = Callable[[Any, Path], Path]

#: The writer of each format, by the format's name.
FORMATS: dict[str, Writer] = {}
#: How the names of their files end.
SUFFIXES: dict[str, str] = {}


def register_format(name: str, write: Writer, *, suffix: str) -> None:
    """Add a format to those that `Detections.save` writes.

    Parameters
    ----------
    name : str, a short name in lower case
    write : callable (detections, path) -> path
    suffix : str, how the names of its files end, like ``.events.csv``

    Raises
    ------
    ValueError
        Another writer has this name.

    Examples
    --------
    >>> from anemone_lib.detection.formats import FORMATS
    >>> sorted(FORMATS)
    ['audacity', 'calls', 'csv', 'json', 'png', 'raven', 'raven_calls', 'scores']
    """
    if FORMATS.get(name, write) is not write:
        raise ValueError(f"format {name!r} is registered already; choose another name")
    FORMATS[name], SUFFIXES[name] = write, suffix


def name_output(recording_name: str, kind: str, *, part: str = "") -> str:
    """Name the file of a format, after the recording; a name too long for a disk is shortened.

    `part` says of which part of the recording it is, like ``.channel2``.

    >>> import anemone_lib.tables
    >>> name_output("site b/reef.wav", "csv")
    'reef.events.csv'
    """
    return shorten_name(Path(recording_name).stem or "recording", part + SUFFIXES[kind])
