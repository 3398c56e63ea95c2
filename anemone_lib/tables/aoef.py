"""Annotations in AOEF, the JSON of whombat and the ``soundevent`` package, read by that package."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.delimited import Question
from anemone_lib.tables.matching import choose_rows
from anemone_lib.tables.table import AnnotationTable

#: Tags that name the sound, in the order in which they are searched.
LABEL_TAGS = ("label", "class", "species", "scientific_name", "dwc:scientificName", "event", "call_type", "sound_type")


def read_aoef(path: Path, question: Question) -> AnnotationTable:
    """Read the sound events of an AOEF file of annotations.

    Parameters
    ----------
    path : pathlib.Path
    question : Question
        `label_column` names the tag with the labels, if it is none of `LABEL_TAGS`.

    Returns
    -------
    table : AnnotationTable

    Raises
    ------
    AnnotationError
        The package is missing, the file is damaged, or it has no annotations.
    """
    try:
        io = importlib.import_module("soundevent.io")
    except ImportError:
        raise AnnotationError(
            f"{path.name} is in the AOEF format of whombat; reading it needs one more package: "
            "pip install 'anemone-lib[aoef]'"
        ) from None
    try:
        content: Any = io.load(path)
    except Exception as error:  # noqa: BLE001 whatever the package says, the file is what is wrong
        raise AnnotationError(f"{path.name} is damaged, or no AOEF: {type(error).__name__}: {error}") from None
    clips = getattr(content, "clip_annotations", None)
    if clips is None:
        raise AnnotationError(
            f"{path.name} has a {type(content).__name__}; export the annotations, not recordings or predictions"
        )
    rows = [(str(clip.clip.recording.path), event) for clip in clips for event in clip.sound_events]
    files = [file for file, _ in rows]
    chosen = choose_rows(files, question.recording_name, table=path.name)
    recordings = {Path(file).name for file in files}
    if question.recording_name is None and len(recordings) > 1:
        raise AnnotationError(
            f"{path.name} has annotations of {len(recordings)} recordings ({', '.join(sorted(recordings)[:3])}, …); "
            "choose one with recording_name"
        )
    annotations: list[Annotation] = []
    others: dict[str, int] = {}
    for index, (file, event) in enumerate(rows):
        if index not in chosen:
            others[Path(file).name] = others.get(Path(file).name, 0) + 1
            continue
        geometry = event.sound_event.geometry
        if geometry is None:
            continue
        start, end, low, high = _find_bounds(geometry)
        annotations.append(
            Annotation(max(0.0, start), end, _read_label(event, question, path.name), low, high, str(event.uuid))
        )
    return AnnotationTable(path, annotations, format="AOEF", names_recordings=True, other_recordings=others)


def _find_bounds(geometry: Any) -> tuple[float, float, float | None, float | None]:
    """Return start and end in seconds, low and high in Hz, of any geometry."""
    coordinates = geometry.coordinates
    if geometry.type == "TimeStamp":
        return coordinates, coordinates, None, None
    if geometry.type == "TimeInterval":
        return coordinates[0], coordinates[1], None, None
    if geometry.type == "BoundingBox":
        start, low, end, high = coordinates
        return start, end, low, high
    points = list(_list_points(coordinates))
    times, frequencies = zip(*points, strict=True)
    return min(times), max(times), min(frequencies), max(frequencies)


def _list_points(coordinates: Any) -> Iterator[tuple[float, float]]:
    """Return times and frequencies of a line, a polygon, or several of them."""
    if isinstance(coordinates[0], int | float):
        yield coordinates[0], coordinates[1]
    else:
        for part in coordinates:
            yield from _list_points(part)


def _read_label(event: Any, question: Question, name: str) -> str:
    tags: dict[str, str] = {}
    for tag in event.tags:
        term = getattr(tag, "term", None)
        for key in (getattr(term, "label", None), getattr(term, "name", None), getattr(tag, "key", None)):
            if key:
                tags.setdefault(str(key).lower(), str(tag.value))
    if question.label_column:
        return tags.get(question.label_column.lower(), question.blank_label)
    for known in LABEL_TAGS:
        if known.lower() in tags:
            return tags[known.lower()]
    if len(event.tags) == 1:
        return str(event.tags[0].value)
    if tags:
        raise AnnotationError(
            f"{name}: no tag is known to have the labels among {', '.join(f'{k}={v!r}' for k, v in tags.items())}; "
            "name it with label_column (--label-column)"
        )
    return question.blank_label
