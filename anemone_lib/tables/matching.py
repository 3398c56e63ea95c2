"""Which rows of a table belong to which recording: by file name, whatever program wrote the table.

*Conventions.* Names are compared without regard to case, to the way in which accents are encoded (NFC, NFD), and to the
suffix: ``reef.wav`` and ``reef.flac`` are one recording. Folders count where both sides name one: then the last folders
must be alike too, and among several files those count whose path shares the most of its end with the recording's.
"""

import re
import unicodedata
from collections.abc import Sequence

from anemone_lib.errors import AnnotationError


def is_same_name(one: str, other: str) -> bool:
    """Return whether two file names, with or without suffix, belong to one recording.

    >>> is_same_name("Réef.WAV", "re\\u0301ef.flac"), is_same_name("reef.wav", "reef2.wav")
    (True, False)
    """
    one, other = fold(one), fold(other)
    return (
        one == other or _cut_suffix(one) == _cut_suffix(other) or one == _cut_suffix(other) or _cut_suffix(one) == other
    )


def choose_rows(files: Sequence[str], recording_name: str | None, *, table: str) -> set[int]:
    """Choose the rows of one recording.

    Parameters
    ----------
    files : the file that each row names; empty if it names none
    recording_name : str or None
        Path or name of the recording; None for all rows.
    table : str, the table's name, for messages

    Returns
    -------
    chosen : set of int
        Rows of this recording, and those that name none.

    Raises
    ------
    AnnotationError
        Recordings in several folders have this name, and the table does not say which one it means.
    """
    if recording_name is None:
        return set(range(len(files)))
    sought = _split_path(recording_name)
    alike = {}
    for file in set(files) - {""}:
        parts = _split_path(file)
        shared = _count_shared_parts(parts, sought)
        if shared > 1 or (shared == 1 and min(len(parts), len(sought)) == 1):
            alike[file] = shared
    best = max(alike.values(), default=0)
    chosen = {file for file, shared in alike.items() if shared == best}
    folders = {"/".join(_split_path(file)[:-1]) for file in chosen}
    if len(folders) > 1:
        raise AnnotationError(
            f"{table} names {recording_name} in {len(folders)} folders ({', '.join(sorted(alike)[:3])}); "
            "give recording_name with enough of its folders"
        )
    return {k for k, file in enumerate(files) if not file or file in chosen}


def fold(name: str) -> str:
    """Normalise a name, so that equal names compare as equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _count_shared_parts(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the parts that two paths share at their ends; 0 if the names differ."""
    if not one or not other or not is_same_name(one[-1], other[-1]):
        return 0
    shared = 1
    for a, b in zip(reversed(one[:-1]), reversed(other[:-1]), strict=False):
        if a != b:
            break
        shared += 1
    return shared


def _split_path(path: str) -> list[str]:
    return [fold(part) for part in re.split(r"[/\\]", path.strip()) if part not in ("", ".")]


def _cut_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot and len(suffix) <= 5 and suffix.isalnum() and not suffix.isdigit() else name
