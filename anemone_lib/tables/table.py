"""The content of one table: its annotations, and notes about it."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError, spell_count

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
#: Seconds by which an annotation may end after its recording without a note: times in tables are rounded.
END_TOLERANCE_S = 0.05


@dataclass(frozen=True)
class AnnotationTable:
    """One table of annotations, as `read_table` reads it.

    Attributes
    ----------
    path : pathlib.Path
    annotations : list of Annotation, in the order of the table
    format : str, what kind of table it is, in words
    label_column : str, name of the column of labels, empty if there was none
    made_by : str
        The program that made the rows: ``anemone`` for detections by this package, ``BirdNET`` or ``Kaleidoscope``;
        empty for the table of a person.
    names_recordings : bool, whether its rows name their recordings
    other_recordings : dict of str to int, number of rows of other recordings, by file name
    runs_on : bool
        Whether times may go on from one recording to the next, as Raven's do where several sounds are open as one.
    notes : tuple of str, one sentence each about rows that were left out or are unusual

    Examples
    --------
    >>> table = AnnotationTable(Path("reef.csv"), [Annotation(1, 2, "pop"), Annotation(3, 4, "pop")])
    >>> table.labels
    Counter({'pop': 2})
    """

    path: Path
    annotations: list[Annotation]
    format: str = ""
    label_column: str = ""
    made_by: str = ""
    names_recordings: bool = False
    other_recordings: Mapping[str, int] = field(default_factory=dict)
    runs_on: bool = False
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Counter[str]:
        """Number of annotations by label."""
        return Counter(annotation.label for annotation in self.annotations)

    def within(self, duration: float) -> "AnnotationTable":
        """Leave out annotations that start after the end of the recording, cut those that end after it, and count both.

        Parameters
        ----------
        duration : float > 0, seconds, of the recording

        Returns
        -------
        table : AnnotationTable

        Raises
        ------
        AnnotationError
            Times of several recordings go on from one to the next, so that those of this one are not known.

        Examples
        --------
        >>> table = AnnotationTable(Path("a.csv"), [Annotation(1, 2, "call"), Annotation(70, 71, "call")])
        >>> table.within(60).notes
        ('1 row of a.csv starts after the end of the recording (60 s) and was left out: the first at 70 s',)
        """
        inside = [a for a in self.annotations if a.start_time < duration]
        outside = [a for a in self.annotations if a.start_time >= duration]
        cut = sum(a.end_time > duration + END_TOLERANCE_S for a in inside)
        notes = list(self.notes)
        if outside and self.runs_on:
            raise AnnotationError(
                f"{self.path.name}: {spell_count(len(outside), 'row')} of this recording would start after its end "
                f"({duration:.6g} s), the first at {outside[0].start_time:.6g} s. Where Raven has several sounds open "
                "as one, its times count from the start of the first: choose the measurement 'File Offset (s)' there, "
                "and save the table again"
            )
        if outside:
            first = min(a.start_time for a in outside)
            start, was = ("starts", "was") if len(outside) == 1 else ("start", "were")
            notes.append(
                f"{spell_count(len(outside), 'row')} of {self.path.name} {start} after "
                f"the end of the recording ({duration:.6g} s) and {was} left out: "
                f"the first at {first:.6g} s"
            )
        if cut:
            notes.append(
                f"{spell_count(cut, 'row')} of {self.path.name} {'ends' if cut == 1 else 'end'} after the end of the "
                f"recording ({duration:.6g} s) and {'was' if cut == 1 else 'were'} cut there"
            )
        inside = [replace(a, end_time=duration) if a.end_time > duration else a for a in inside]
        return replace(self, annotations=inside, notes=tuple(notes))


def check_times(start: float, end: float, where: str) -> None:
    """Refuse an interval that starts before the recording or ends before its start."""
    if start < 0:
        raise AnnotationError(f"{where}: starts at {start} s; times count from the start of the recording, 0 or later")
    if end < start:
        raise AnnotationError(f"{where}: ends at {end} s, before its start at {start} s; exchange the two")


def check_band(low_hz: float | None, high_hz: float | None, where: str) -> None:
    """Refuse a band whose lower edge is not below its upper edge."""
    if min(low_hz or 0, high_hz or 0) < 0 or (low_hz is not None and high_hz is not None and low_hz > high_hz):
        raise AnnotationError(f"{where}: {low_hz} to {high_hz} Hz is no band; it must be 0 <= low <= high")


def parse_number(text: str, column: str, where: str) -> float:
    """Read a number out of a cell."""
    text = text.strip()
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        raise AnnotationError(
            f"{where}: {column} is {text!r}; numbers need a decimal point, not a comma: "
            "export the table again with English number format"
        )
    if re.fullmatch(r"[-+]?\d+(?::\d+){1,2}(?:[.,]\d+)?", text):
        raise AnnotationError(
            f"{where}: {column} is {text!r}; times must be seconds from the start of the recording, like 90.5, not "
            "minutes and seconds, because the order of the numbers is not clear"
        )
    raise AnnotationError(f"{where}: {column} is {text!r}; it must be a number, like 12.5")
