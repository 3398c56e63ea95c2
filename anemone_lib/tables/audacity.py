"""Labels as Audacity exports them: start, end and text on a line, the band on the next."""

from collections.abc import Iterator
from dataclasses import replace

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.table import check_band, check_times, parse_number


def read_audacity(text: str, name: str, *, label: str = "", blank_label: str = "") -> list[Annotation]:
    """Read an export of Audacity labels.

    Parameters
    ----------
    text : str, the content of the file
    name : str, of the file, for messages
    label : str, of all annotations if none has a text
    blank_label : str, of annotations without text if others have one

    Returns
    -------
    annotations : list of Annotation, in the order of the file
    """
    annotations = list(_read_lines(text, name))
    if not any(annotation.label for annotation in annotations):
        blank_label = label or blank_label
    return [a if a.label else replace(a, label=blank_label) for a in annotations]


def _read_lines(text: str, name: str) -> Iterator[Annotation]:
    current: Annotation | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        cells = line.split("\t")
        if len(cells) < 2 + (cells[0] == "\\"):
            raise AnnotationError(f"{where}: {line!r} is no label; it must be start, end and text separated by tabs")
        if cells[0] == "\\":
            if current is None:
                raise AnnotationError(f"{where}: the frequencies {line!r} follow no label; remove the line")
            # Audacity writes −1 for a frequency that was not selected.
            low, high = (parse_number(cell, "frequency", where) for cell in cells[1:3])
            low_hz, high_hz = (None if hz < 0 else hz for hz in (low, high))
            check_band(low_hz, high_hz, where)
            yield Annotation(current.start_time, current.end_time, current.label, low_hz, high_hz)
            current = None
            continue
        if current is not None:
            yield current
        start, end = parse_number(cells[0], "start", where), parse_number(cells[1], "end", where)
        check_times(start, end, where)
        current = Annotation(start, end, " ".join(cells[2:]).strip())
    if current is not None:
        yield current
