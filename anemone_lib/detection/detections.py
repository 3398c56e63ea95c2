"""Recording → detections with provenance: the one place where the stages meet."""

import os
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.calls import CALL_BAND_HZ, add_calls, choose_band
from anemone_lib.detection.events import Annotation, Event, decide_events
from anemone_lib.detection.formats import FORMATS, name_output, register_format
from anemone_lib.detection.marks import find_free_path
from anemone_lib.detection.results import build_result, describe_result, to_json, write_json
from anemone_lib.scoring.chunks import Progress, choose_config, score_recording
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.scoring.scores import Scores


@dataclass(frozen=True, eq=False)
class Detections:
    """The events that were found in a recording, with the scores and the settings that led to them.

    Attributes
    ----------
    events : list of Event, by start time
    scores : Scores, on which the events were decided
    config : InferenceConfig
    metadata : dict
        Duration, processing time, versions, coverage, warnings, provenance: ``metadata`` of the JSON result.
    source : what `detect` was given, from which the overview is drawn
    call_band_hz : (low, high), in Hz, in which the calls were measured
    of_each_channel : bool, there are others, of the same recording's other channels; files carry the channel's number
    annotations : tuple of Annotation of the target class, where there are some to be drawn in the overview

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> detections = detect(path)
    >>> detections.metadata["audio_duration"], detections.metadata["total_windows"]
    (10.0, 24)
    >>> detections.to_dict()["predictions"][0]["timestamp"]
    '0.0-1.0s'
    >>> [file.name for file in detections.save(path.parent, formats=["json"])]
    ['reef_20230210_060000.json']
    """

    events: list[Event]
    scores: Scores
    config: InferenceConfig
    metadata: dict[str, Any]
    source: Any = None
    call_band_hz: tuple[float, float] = CALL_BAND_HZ
    of_each_channel: bool = False
    annotations: tuple[Annotation, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``/predict`` answers it: ``predictions``, ``events``, ``metadata``."""
        return build_result(self.scores, self.events, self.metadata)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the result as JSON."""
        return to_json(self.to_dict(), indent=indent)

    @property
    def band(self) -> dict[str, Any]:
        """Frequencies in Hz that the model sees, as ``low_hz`` and ``high_hz``: an event has no band of its own."""
        return {"low_hz": 0.0, "high_hz": min(self.config.fmax_hz, self.scores.sample_rate / 2)}

    @property
    def part(self) -> str:
        """The part of file names that tells the channel, where a recording has several."""
        return f".channel{self.scores.channel}" if self.of_each_channel else ""

    def save(self, folder: str | os.PathLike[str], *, formats: Iterable[str] = ("json",)) -> list[Path]:
        """Write the detections into a folder, in files named after the recording.

        Parameters
        ----------
        folder : path, made if it is missing
        formats : any of `anemone_lib.detection.formats.FORMATS`
            The result as ``json``; the events as ``csv``, ``raven`` selection table and ``audacity`` labels; the
            overview as ``png``, for which the recording is read once more; the calls inside the events as ``calls``
            (CSV) and ``raven_calls`` (selection table); the ``scores``, of which `anemone archive` makes tables.

        Returns
        -------
        paths : list of pathlib.Path, in the order of `formats`
            A file that lies there already is replaced only if this program wrote it and nobody changed it since;
            beside that of a person, the next free name is taken (``reef.events-2.csv``), and so it is beside what was
            saved before of another recording of the same name.

        Raises
        ------
        ValueError
            A format is unknown.
        """
        names = list(formats)
        if unknown := set(names) - set(FORMATS):
            raise ValueError(f"formats has {', '.join(sorted(unknown))}; known are {', '.join(sorted(FORMATS))}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        recording_name, source = self.scores.recording_name, self.source
        place = source.location if isinstance(source, Recording) else source
        owner = os.path.abspath(place) if isinstance(place, str | os.PathLike) else self.scores.recording_sha256
        return [
            FORMATS[name](self, find_free_path(folder / name_output(recording_name, name, part=self.part), owner=owner))
            for name in names
        ]


def save_json(detections: Detections, path: Path) -> Path:
    """Write the result of a detection as JSON."""
    return write_json(path, build_result(detections.scores, detections.events, detections.metadata, lazy=True))


def save_scores(detections: Detections, path: Path) -> Path:
    """Write the scores of a detection, from which `anemone archive` makes its tables without the recording."""
    return detections.scores.save(path)


register_format("json", save_json, suffix=".json")
register_format("scores", save_scores, suffix=".scores.npz")


@overload
def detect(
    source: str | os.PathLike[str] | BinaryIO | Recording,
    *,
    config: InferenceConfig | None = None,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    timezone: str | None = None,
    start_time: datetime | str | None = None,
    start_time_format: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    calls: bool = True,
    channel: Literal["each"],
) -> list[Detections]: ...


@overload
def detect(
    source: str | os.PathLike[str] | BinaryIO | Recording,
    *,
    config: InferenceConfig | None = None,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    timezone: str | None = None,
    start_time: datetime | str | None = None,
    start_time_format: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    channel: int | Literal["mean", "loudest"] = "mean",
    calls: bool = True,
) -> Detections: ...


def detect(
    source: str | os.PathLike[str] | BinaryIO | Recording,
    *,
    config: InferenceConfig | None = None,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    timezone: str | None = None,
    start_time: datetime | str | None = None,
    start_time_format: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    channel: int | str = "mean",
    calls: bool = True,
) -> Detections | list[Detections]:
    """Find the events of the target class in a recording.

    Parameters
    ----------
    source : path, ``file://`` or ``s3://`` address, binary file object, or an open Recording
    config : InferenceConfig, optional
        By default the settings on the model's card.
    classifier : Classifier, optional
        By default the demonstration model.
    executor : concurrent.futures.Executor, optional
        By default threads, one a core.
    cache : path of a folder, optional
        Where scores are kept and found again.
    timezone, start_time, start_time_format, name
        When the recording began, and what it is called: as in `open_recording`, for a source that is not open yet.
    progress : callable (done, total), optional
        Called after every chunk.
    channel : int from 1, ``"mean"``, ``"loudest"`` or ``"each"``
        Which of several hydrophones is listened to; an open Recording has been given its own.
    calls : bool
        Measure the calls inside every event, too (`anemone_lib.detection.calls`).

    Returns
    -------
    detections : Detections, or of ``"each"`` a list with one a channel

    Raises
    ------
    AudioError
        The recording cannot be opened, decoded, or holds nothing.
    ModelError, ConfigError
        The model and the settings do not fit together.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect
    >>> detections = detect(path)
    >>> [(event.start_time, event.end_time) for event in detections.events]
    [(1.2, 4.6)]
    """
    if channel == "each" and not isinstance(source, Recording):
        options: dict[str, Any] = {"config": config, "classifier": classifier, "executor": executor, "cache": cache}
        options |= {"timezone": timezone, "start_time": start_time, "start_time_format": start_time_format}
        return _detect_each(source, **options, name=name, progress=progress, calls=calls)
    began = time.perf_counter()
    classifier = classifier or load_classifier()
    config = choose_config(config, classifier)
    recording = (
        source
        if isinstance(source, Recording)
        else open_recording(
            source,
            target_sr=config.target_sr,
            timezone=timezone,
            start_time=start_time,
            start_time_format=start_time_format,
            name=name,
            channel=channel,
        )
    )
    try:
        # The recording is hashed while it is scored: both read it, from the same pages of memory.
        with ThreadPoolExecutor(1, "anemone-sha256") as hasher:
            digest = hasher.submit(lambda: recording.sha256)
            scores = score_recording(recording, classifier, config, executor=executor, cache=cache, progress=progress)
            scores = replace(scores, recording_sha256=digest.result())
        detections = decide_detections(scores, recording, config, classifier, began=began, calls=calls)
    finally:
        if recording is not source:
            recording.close()
    return replace(detections, source=source)


def decide_detections(
    scores: Scores,
    recording: Recording,
    config: InferenceConfig,
    classifier: Classifier,
    *,
    began: float,
    calls: bool = True,
) -> Detections:
    """Decide the events on the scores of a recording, measure the calls inside them, and describe the result.

    Parameters
    ----------
    scores : Scores
    recording : Recording, open, from which the calls are measured
    config : InferenceConfig
    classifier : Classifier, that gave the scores
    began : float, the time of `time.perf_counter` in seconds at which the work began
    calls : bool, measure the calls

    Returns
    -------
    detections : Detections

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import time
    >>> from anemone_lib import load_classifier, open_recording, score_recording
    >>> from anemone_lib.scoring.chunks import choose_config
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> classifier = load_classifier()
    >>> config = choose_config(None, classifier)
    >>> with open_recording(path) as recording:
    ...     scores = score_recording(recording, classifier, config)
    ...     detections = decide_detections(scores, recording, config, classifier, began=time.perf_counter())
    >>> [(event.start_time, event.end_time) for event in detections.events]
    [(1.2, 4.6)]
    """
    events = decide_events(scores, config)
    bands = classifier.card.bands_hz if classifier.card else {}
    band = choose_band(config.target_class, bands, fmax_hz=min(config.fmax_hz, recording.sample_rate / 2))
    if calls:
        events = add_calls(recording, events, band_hz=band)
    metadata = describe_result(scores, events, config, processing_time=time.perf_counter() - began)
    return Detections(
        events=events, scores=scores, config=config, metadata=metadata, source=recording, call_band_hz=band
    )


def _detect_each(source: str | os.PathLike[str] | BinaryIO, **options: Any) -> list[Detections]:
    """Detect in every channel of a recording."""
    with open_recording(source) as recording:
        channels = recording.channels
    return [
        replace(detect(source, **options, channel=number), of_each_channel=True) for number in range(1, channels + 1)
    ]
