"""A person's verdict on events: accept, reject, relabel; kept in a table that Raven and Audacity open.

*Conventions.* The label is the verdict, so that every program that has labels keeps it. An accepted event has the
target class as its label; a rejected event has ``not`` and the class; an open event has the class and a question mark;
an event that is something else has any other text. Events are found by their id, which a Raven table keeps. If a
program drops the id, as Audacity does, events are found by the largest overlap. Rows that a person added have no id
and do not change.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from anemone_lib.audio.gaps import Pause
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Annotation, Event
from anemone_lib.errors import AnnotationError, spell_count
from anemone_lib.evaluation.intervals import as_intervals, mark_windows
from anemone_lib.evaluation.matching import match_intervals
from anemone_lib.files import write_beside
from anemone_lib.review.book import VerdictBook
from anemone_lib.tables.reading import read_annotations
from anemone_lib.tables.writing import write_audacity, write_raven

ORDERS = ("uncertain", "time", "random")


@dataclass(frozen=True)
class Change:
    """One difference between the review and a table that was edited in another program.

    Attributes
    ----------
    kind : ``relabelled``, ``moved``, ``removed`` or ``added``
    before, after : Annotation, or None where there was, or is, none
    """

    kind: str
    before: Annotation | None
    after: Annotation | None

    def __str__(self) -> str:
        old, new = (
            f"{one.start_time:.3f}–{one.end_time:.3f} s {one.label}" if one else "nothing"
            for one in (self.before, self.after)
        )
        return f"{self.kind}: {old} → {new}"


class Review(VerdictBook):
    """The verdicts on one recording's events, saved after every one.

    Parameters
    ----------
    events : sequence of Event
    table : path of the Raven table that keeps the verdicts; if it exists, they are taken up again
    config : InferenceConfig
        Its target class, threshold and `fmax_hz` are read.
    recording_name : str
    start_utc : datetime, optional
        When the recording began.
    pauses : sequence of Pause, times that were not recorded, which the time of day counts
    order : ``uncertain`` (nearest the threshold first), ``time`` or ``random``
        Only in random order, the precision so far is an estimate for all events. With the uncertain events first, it
        is lower.

    Raises
    ------
    AnnotationError
        The table cannot be read, or is that of another recording.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> events = [Event("0c7f1a2b3d4e", "anemonefish", 1.2, 4.2, 0.87, 0.94, 5)]
    >>> review = Review(events, Path(mkdtemp(), "reef.review.selections.txt"), config=InferenceConfig())
    >>> review.accept(events[0])
    >>> len(review.open_events), [annotation.label for annotation in review.list_annotations()]
    (0, ['anemonefish'])
    """

    def __init__(
        self,
        events: Sequence[Event],
        table: str | os.PathLike[str],
        *,
        config: InferenceConfig,
        recording_name: str = "",
        start_utc: datetime | None = None,
        pauses: Sequence[Pause] = (),
        order: str = "uncertain",
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
        super().__init__(_sort_events(events, order, config.confidence_threshold), config)
        self.table = Path(table)
        self.recording_name = recording_name
        self.start_utc = start_utc
        self.pauses = tuple(pauses)
        self._boxes: dict[str, Annotation] = {}
        self._added: list[Annotation] = []
        if self.table.exists():
            self.apply(self.find_changes(self.table))

    @classmethod
    def of(cls, detections: Detections, table: str | os.PathLike[str], *, order: str = "uncertain") -> "Review":
        """Review the events of a detection.

        Parameters
        ----------
        detections : Detections, as `anemone_lib.detect` returns them
        table, order : as in `Review`
        """
        return cls(
            detections.events,
            table,
            config=detections.config,
            recording_name=detections.scores.recording_name,
            start_utc=detections.scores.start_time,
            pauses=detections.scores.pauses,
            order=order,
        )

    # ------------------------------------------------------------------ verdicts

    def judge(self, annotations: Sequence[Annotation]) -> None:
        """Decide every event by true annotations: an event that overlaps an annotation of the target is accepted.

        For simulated recordings, whose truth is known, and for recordings that another person annotated.

        Parameters
        ----------
        annotations : sequence of Annotation
        """
        calls = as_intervals(annotations, labels=[self.target])
        for event in self.events:
            times = np.array([event.start_time]), np.array([event.end_time])
            present = mark_windows(calls, start_times=times[0], end_times=times[1])[0]
            self._labels[event.id] = self.target if present else self.rejected_label
        self._history.clear()
        self.save()

    # ------------------------------------------------------------------ tables

    def list_rows(self) -> list[Annotation]:
        """Return every event and every row that a person added, labelled with its verdict, by start time."""
        own = [self._describe_event(event) for event in self.events]
        return sorted(own + self._added, key=lambda row: (row.start_time, row.end_time))

    def list_annotations(self) -> list[Annotation]:
        """Return the rows to tune and train on: accepted, relabelled and added events, no rejected or open events."""
        return [row for row in self.list_rows() if row.label not in (self.open_label, self.rejected_label)]

    def save(self) -> Path:
        """Write the table, whole or not at all."""
        temporary = self.table.with_name(f".{self.table.name}.part")
        self._write_raven(temporary, self.list_rows())
        return temporary.replace(self.table)

    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write `list_annotations` as a Raven table that tuning and training read.

        Parameters
        ----------
        path : path of the table
        overwrite : bool
            Replace a table that is there. By default a person's table is never replaced: if one of this name is there
            and differs, the annotations go into a new file, ``reef.Table.2.selections.txt``.

        Returns
        -------
        path : pathlib.Path, of the file that was written
        """
        return write_beside(Path(path), lambda to: self._write_raven(to, self.list_annotations()), overwrite)

    def export_audacity(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write all rows as labels for Audacity; read them back with `take_over`.

        Parameters
        ----------
        path, overwrite : as in `export`
        """
        return write_beside(Path(path), lambda to: write_audacity(to, self.list_rows()), overwrite)

    def take_over(self, path: str | os.PathLike[str]) -> list[Change]:
        """Read a table that was edited in another program, apply what it changed, and save.

        Parameters
        ----------
        path : as in `find_changes`

        Returns
        -------
        changes : list of Change, empty if the table says the same as the review
        """
        changes = self.find_changes(path)
        self.apply(changes)
        return changes

    def check_round_trip(self, path: str | os.PathLike[str]) -> bool:
        """Read a table that the review has written, and tell whether it says the same as the review."""
        return not self.find_changes(path)

    def find_changes(self, path: str | os.PathLike[str]) -> list[Change]:
        """List what a table that was edited in another program says differently.

        Parameters
        ----------
        path : a Raven table, Audacity labels or CSV of this recording

        Returns
        -------
        changes : list of Change, by time

        Raises
        ------
        AnnotationError
            The table cannot be read, or none of its ids belong here.
        """
        rows = read_annotations(path, label=self.open_label, blank_label=self.open_label, detections=True)
        before, after = self.list_rows(), [self._give_band(row) for row in rows]
        known = {row.id: k for k, row in enumerate(before) if row.id}
        with_id = [row for row in after if row.id]
        if known and with_id and not any(row.id in known for row in with_id):
            raise AnnotationError(
                f"{Path(path).name} holds {spell_count(len(with_id), 'event')}, none of which is under review: the "
                "table belongs to another recording, or to other settings; use another table for this review"
            )
        pairs = {known[row.id]: k for k, row in enumerate(after) if row.id in known}
        left = [k for k in range(len(before)) if k not in pairs]
        right = [k for k, row in enumerate(after) if row.id not in known]
        left.sort(key=lambda k: (before[k].start_time, before[k].end_time))
        right.sort(key=lambda k: (after[k].start_time, after[k].end_time))
        matched = match_intervals([before[k] for k in left], [after[k] for k in right])
        pairs |= {left[i]: right[j] for i, j in matched}
        changes = list(_list_changes(before, after, pairs))
        return sorted(changes, key=lambda change: (change.before or change.after).start_time)  # type: ignore[union-attr]

    def apply(self, changes: Sequence[Change]) -> None:
        """Apply changes, and save.

        An event whose row was deleted in the other program has no verdict any more: a rejection is a verdict, but a
        deleted row may be a mistake.

        Parameters
        ----------
        changes : sequence of Change, as `find_changes` lists them
        """
        for change in changes:
            before, after = change.before, change.after
            if before is not None and before.id in self._labels:
                self._labels[before.id] = after.label if after else self.open_label
                if after is not None:
                    self._boxes[before.id] = replace(after, id=before.id)
            else:
                if before is not None:
                    self._added.remove(before)
                if after is not None:
                    self._added.append(after)
        self._history.clear()
        if changes:
            self.save()

    def _give_band(self, row: Annotation) -> Annotation:
        """A row with a default band to draw it in, where it has none."""
        low_hz = 0.0 if row.low_hz is None else row.low_hz
        return replace(
            row, low_hz=low_hz, high_hz=max(low_hz, self.config.fmax_hz) if row.high_hz is None else row.high_hz
        )

    def _describe_event(self, event: Event) -> Annotation:
        """An event as a row: where a person moved it to, or where it was found."""
        found = Annotation(event.start_time, event.end_time, "", 0.0, self.config.fmax_hz, event.id)
        return replace(self._boxes.get(event.id, found), label=self.get_label(event))

    def _write_raven(self, path: Path, rows: Sequence[Annotation]) -> Path:
        return write_raven(
            path,
            rows,
            high_hz=self.config.fmax_hz,
            start_utc=self.start_utc,
            pauses=self.pauses,
            recording_name=self.recording_name,
        )


def _sort_events(events: Sequence[Event], order: str, threshold: float) -> list[Event]:
    if order == "time":
        return sorted(events, key=lambda event: event.start_time)
    if order == "uncertain":
        return sorted(events, key=lambda event: (abs(event.mean_confidence - threshold), event.start_time))
    return sorted(events, key=lambda event: event.id)  # digits of a hash: as good as drawn, and the same again


def _list_changes(before: Sequence[Annotation], after: Sequence[Annotation], pairs: dict[int, int]) -> Iterator[Change]:
    for i, old in enumerate(before):
        new = after[pairs[i]] if i in pairs else None
        if new is None:
            yield Change("removed", old, None)
        elif new.label != old.label:
            yield Change("relabelled", old, new)
        elif not np.allclose((new.start_time, new.end_time), (old.start_time, old.end_time), rtol=0, atol=1e-4):
            yield Change("moved", old, new)
    for j in sorted(set(range(len(after))) - set(pairs.values())):
        yield Change("added", None, after[j])
