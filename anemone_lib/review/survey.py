"""Verdicts on events of many recordings and sites, in one table, and what they show about the detector."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError, ConfigError, spell_count
from anemone_lib.evaluation.intervals import as_intervals, mark_windows
from anemone_lib.files import write_beside
from anemone_lib.review.agreement import Agreement, compare_reviewers
from anemone_lib.review.book import VerdictBook
from anemone_lib.review.density import CallDensity, estimate_recall
from anemone_lib.review.precision import (
    MIN_VERDICTS,
    PrecisionBin,
    PrecisionCurve,
    calibrate_precision,
    count_by_bin,
    measure_precision,
)
from anemone_lib.review.sampling import ReviewItem, draw_items, draw_windows, list_events, list_quiet_windows
from anemone_lib.tables.verdicts import Verdict, check_label, read_verdicts, write_verdicts
from anemone_lib.tables.writing import write_raven


class Survey(VerdictBook):
    """The verdicts of one reviewer on events of many recordings, saved after every one.

    Parameters
    ----------
    found : mapping of the path of a recording to its Detections, all of one model and of the same settings
    table : path of the CSV that keeps the verdicts; if it exists, they are taken up again
        Verdicts of other reviewers, and on events that are not offered now, stay in it.
    sample : one of `anemone_lib.review.sampling.SAMPLES`
    n : int, optional
        Events to offer; by default all.
    n_windows : int >= 0
        Windows without an event to offer, in which missed calls may lie; without them recall is unknown.
    seed : int, of the random choice of events and windows
    reviewer : str

    Attributes
    ----------
    events : list of ReviewItem that are offered, in order; the windows lie among them
    population : list of ReviewItem, all events, offered or not

    Raises
    ------
    ConfigError
        No recordings, or several models or settings.
    AnnotationError
        The table cannot be read, is of another model, or has a row whose label and answer do not agree.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> folder = Path(mkdtemp())
    >>> truth = write_recording(folder / "reef.wav", duration=20, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect
    >>> survey = Survey({folder / "reef.wav": detect(folder / "reef.wav")}, folder / "verdicts.csv", n_windows=3)
    >>> survey.accept(survey.events[0])
    >>> [verdict.label for verdict in read_verdicts(folder / "verdicts.csv")]
    ['anemonefish']
    """

    def __init__(
        self,
        found: Mapping[str | os.PathLike[str], Detections],
        table: str | os.PathLike[str],
        *,
        sample: str = "stratified",
        n: int | None = None,
        n_windows: int = 0,
        seed: int = 0,
        reviewer: str = "",
    ) -> None:
        if not found:
            raise ConfigError("there is no recording to review; name at least one")
        self._found = {os.fspath(path): detections for path, detections in found.items()}
        makers = {(one.scores.model_sha256, one.config.fingerprint) for one in self._found.values()}
        if len(makers) > 1:
            raise ConfigError(
                f"the recordings were detected in {len(makers)} ways (models or settings); detect them again with one"
            )
        first = next(iter(self._found.values()))
        self.model_sha256 = first.scores.model_sha256
        self.population = list_events(self._found)
        self._quiet = list_quiet_windows(self._found)
        events = draw_items(self.population, sample, n=n, seed=seed, threshold=first.config.confidence_threshold)
        windows = draw_windows(self._quiet, n_windows, seed=seed)
        super().__init__(_mix(events, windows, seed), first.config)
        self.table, self.reviewer = Path(table), reviewer
        self._others: list[Verdict] = []
        self._read()

    def _read(self) -> None:
        """Take up this reviewer's verdicts on the offered events and windows; keep all other rows of the table."""
        if not self.table.exists():
            return
        self._others = []
        for one in read_verdicts(self.table):
            if one.model_sha256 and self.model_sha256 and one.model_sha256 != self.model_sha256:
                raise AnnotationError(
                    f"{self.table.name} holds verdicts on events of the model {one.model_sha256[:12]}, but the model "
                    f"is {self.model_sha256[:12]}; use another table for this review"
                )
            if one.event_id in self._labels:
                check_label(one, self.target, self.table.name)
            if one.reviewer == self.reviewer and one.event_id in self._labels:
                self._labels[one.event_id] = one.label
            else:
                self._others.append(one)

    # ------------------------------------------------------------------ verdicts

    @property
    def verdicts(self) -> list[Verdict]:
        """This reviewer's verdicts on the offered events and windows."""
        return [
            Verdict(
                item.id,
                item.recording,
                item.start_time,
                item.end_time,
                self.get_label(item),
                self.get_label(item) == self.target,
                round(item.confidence, 6),
                item.kind,
                self.reviewer,
                self.model_sha256,
            )
            for item in self.events
            if self.get_label(item) != self.open_label
        ]

    def save(self) -> Path:
        """Write the table, whole or not at all; what other reviewers added to it meanwhile stays."""
        if self.table.exists():
            own = {item.id for item in self.events}
            rows = read_verdicts(self.table)
            self._others = [one for one in rows if one.reviewer != self.reviewer or one.event_id not in own]
        return write_verdicts(self.table, [*self._others, *self.verdicts])

    def judge(self, truth: Mapping[str | os.PathLike[str], Sequence[Annotation]]) -> None:
        """Decide all events and windows that are offered by true annotations, for simulated recordings.

        Parameters
        ----------
        truth : mapping of the path of a recording to its annotations
        """
        calls = {os.fspath(path): as_intervals(rows, labels=[self.target]) for path, rows in truth.items()}
        for item in self.events:
            times = np.array([item.start_time]), np.array([item.end_time])
            heard = mark_windows(calls.get(item.recording, []), start_times=times[0], end_times=times[1])[0]
            self._labels[item.id] = self.target if heard else self.rejected_label
        self._history.clear()
        self.save()

    # ------------------------------------------------------------------ what they say

    def count_by_confidence(self, edges: Sequence[float]) -> list[PrecisionBin]:
        """Count the verdicts on events of each range of confidence; see `measure_precision`."""
        events = [one for one in self.verdicts if one.kind == "event"]
        return measure_precision([one.confidence for one in events], [one.is_call for one in events], edges)

    def calibrate(self) -> PrecisionCurve:
        """Fit how precision depends on confidence; see `calibrate_precision`."""
        events = [one for one in self.verdicts if one.kind == "event"]
        return calibrate_precision([one.confidence for one in events], [one.is_call for one in events])

    def estimate_recall(self) -> CallDensity:
        """Estimate what part of the windows with calls lies in events; see `estimate_recall`.

        Raises
        ------
        ConfigError
            No window without an event was reviewed, or no event.
        """
        edges = self._choose_edges()
        bins = self.count_by_confidence(edges)
        windows = [one for one in self.verdicts if one.kind == "window"]
        sizes = np.repeat([one.confidence for one in self.population], [one.num_windows for one in self.population])
        return estimate_recall(
            [one.n_calls for one in bins],
            [one.n for one in bins],
            count_by_bin(sizes, edges),
            n_missed=sum(one.is_call for one in windows),
            n_quiet_reviewed=len(windows),
            n_quiet=len(self._quiet),
        )

    def compare_reviewers(self) -> dict[tuple[str, str], Agreement]:
        """Compare every two reviewers of the table; see `compare_reviewers`."""
        return compare_reviewers([*self._others, *self.verdicts])

    def describe(self) -> list[str]:
        """Describe what the verdicts show about the detector, one sentence a line."""
        lines = [self.describe_precision()]
        for one in self.count_by_confidence(self._choose_edges()):
            if one.n:
                low, high = one.interval
                lines.append(
                    f"  confidence {one.lowest:.2f} to {one.highest:.2f}: {one.n_calls} of {one.n} are calls, "
                    f"precision {one.precision:.2f} ({low:.2f} to {high:.2f})"
                )
        windows = [one for one in self.verdicts if one.kind == "window"]
        if windows:
            missed = sum(one.is_call for one in windows)
            lines.append(f"{missed} of {spell_count(len(windows), 'window')} without an event have a call")
        try:
            recall = self.estimate_recall()
            lines.append(f"recall of windows with calls: {recall.density:.2f} ({recall.low:.2f} to {recall.high:.2f})")
        except ConfigError as error:
            lines.append(f"recall is unknown: {error}")
        lines += [
            f"{first or 'unnamed'} and {second or 'unnamed'}: {agreement}"
            for (first, second), agreement in self.compare_reviewers().items()
        ]
        return lines

    def _choose_edges(self) -> list[float]:
        """Edges of at most five bins with verdicts in each: quantiles of the confidences that were reviewed."""
        values = [one.confidence for one in self.verdicts if one.kind == "event"]
        n_bins = max(1, min(5, len(values) // MIN_VERDICTS))
        inner = np.quantile(values, np.arange(1, n_bins) / n_bins) if values else np.empty(0)
        return [0.0, *sorted({round(float(edge), 4) for edge in inner} - {0.0, 1.0}), 1.0]

    # ------------------------------------------------------------------ tables

    def list_annotations(self, recording: str | os.PathLike[str]) -> list[Annotation]:
        """Return the accepted and relabelled events of a recording; quiet windows have no borders of a call."""
        kept = (self.open_label, self.rejected_label)
        return sorted(
            (
                Annotation(item.start_time, item.end_time, self.get_label(item), 0.0, self.config.fmax_hz, item.id)
                for item in self.events
                if item.kind == "event" and item.recording == os.fspath(recording) and self.get_label(item) not in kept
            ),
            key=lambda row: row.start_time,
        )

    def export(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write a Raven table of `list_annotations` for every recording that has some.

        Parameters
        ----------
        folder : path
            If recordings in different folders have the same name, their tables are in folders of the same names.
        overwrite : bool
            Replace existing tables; by default, if a table differs, a new file is written beside it.

        Returns
        -------
        paths : list of pathlib.Path
        """
        return [
            write_beside(Path(folder, place), partial(self._write_raven, source), overwrite)
            for source, place in _place_tables(self._found).items()
            if self.list_annotations(source)
        ]

    def _write_raven(self, source: str, path: Path) -> Path:
        scores = self._found[source].scores
        return write_raven(
            path,
            self.list_annotations(source),
            high_hz=self.config.fmax_hz,
            start_utc=scores.start_time,
            pauses=scores.pauses,
            recording_name=scores.recording_name,
        )


def _place_tables(sources: Iterable[str]) -> dict[str, Path]:
    """Return the path of each recording's table: its name, below its folder where recordings share a name."""
    names = {source: Path(f"{Path(source).stem}.Table.1.selections.txt") for source in sources}
    if len(set(names.values())) == len(names):
        return names
    folders = {source: os.path.dirname(os.path.abspath(source)) for source in names}
    root = os.path.commonpath(folders.values())
    return {source: Path(os.path.relpath(folders[source], root)) / name for source, name in names.items()}


def _mix(events: list[ReviewItem], windows: list[ReviewItem], seed: int) -> list[ReviewItem]:
    """Put the windows at random places among the events, so that a reviewer does not know which are events."""
    if not windows:
        return events
    places = np.random.default_rng(seed).permutation(len(events) + len(windows))[: len(windows)]
    chosen = set(places.tolist())
    left, right = iter(events), iter(windows)
    return [next(right) if k in chosen else next(left) for k in range(len(events) + len(windows))]
