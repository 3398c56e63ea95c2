"""Recording → detections with provenance: the one place where the stages meet."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache as once
from pathlib import Path
from typing import Any, BinaryIO

import anemone_lib
from anemone_lib import formats
from anemone_lib.audio import Recording, open_recording
from anemone_lib.classifier import Classifier, load_classifier
from anemone_lib.config import InferenceConfig
from anemone_lib.events import Event
from anemone_lib.scores import Progress, Scores, events_of, score_recording


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a recording, and by what.

    Attributes
    ----------
    events : list of Event, by start time
    scores : Scores, on which the events were decided
    config : InferenceConfig
    metadata : dict
        Duration, processing time, versions, coverage, warnings, provenance: ``metadata`` of the JSON result.
    source : what `detect` was given, from which the overview is drawn
    """

    events: list[Event]
    scores: Scores
    config: InferenceConfig
    metadata: dict[str, Any]
    source: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``/predict`` answers it: ``predictions``, ``events``, ``metadata``."""
        return formats.result_dict(self.scores, self.events, self.metadata)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the result as JSON."""
        return formats.to_json(self.to_dict(), indent=indent)

    def save(self, folder: str | os.PathLike[str], *, formats: Iterable[str] = ("json",)) -> list[Path]:
        """Write the detections beside each other, named after the recording.

        Parameters
        ----------
        folder : path, made if it is missing
        formats : any of `FORMATS`
            The result as ``json``; the events as ``csv``, ``raven`` selection table and ``audacity`` labels; the
            overview as ``png``, for which the recording is read once more.

        Returns
        -------
        paths : list of pathlib.Path, in the order of `formats`

        Raises
        ------
        ValueError
            A format is unknown.
        """
        wanted = list(formats)
        if unknown := set(wanted) - set(FORMATS):
            raise ValueError(f"formats has {', '.join(sorted(unknown))}; known are {', '.join(FORMATS)}")
        stem = Path(folder) / (Path(self.scores.recording_name).stem or "recording")
        stem.parent.mkdir(parents=True, exist_ok=True)
        return [FORMATS[name](self, stem) for name in wanted]

    def _save_json(self, stem: Path) -> Path:
        result = formats.result_dict(self.scores, self.events, self.metadata, lazy=True)
        return formats.write_json(f"{stem}.json", result)

    def _save_csv(self, stem: Path) -> Path:
        return formats.write_csv(f"{stem}.events.csv", self.events, **self._band, **self._origin)

    def _save_raven(self, stem: Path) -> Path:
        return formats.write_raven(f"{stem}.selections.txt", self.events, **self._band, **self._origin)

    def _save_audacity(self, stem: Path) -> Path:
        return formats.write_audacity(f"{stem}.audacity.txt", self.events, **self._band)

    def _save_png(self, stem: Path) -> Path:
        from anemone_lib.plotting import plot_overview

        path = Path(f"{stem}.png")
        with ExitStack() as stack:
            recording = self.source
            if not isinstance(recording, Recording):
                recording = stack.enter_context(open_recording(recording, target_sr=self.config.target_sr))
            plot_overview(recording, self.scores, self.events, self.config).savefig(path)
        return path

    @property
    def _band(self) -> dict[str, Any]:
        """What the model could see of an event: it draws no band of its own."""
        return {"low_hz": 0.0, "high_hz": min(self.config.fmax_hz, self.scores.sample_rate / 2)}

    @property
    def _origin(self) -> dict[str, Any]:
        """Where the events come from, for tables."""
        return {
            "start_utc": self.scores.start_time,
            "recording_name": self.scores.recording_name,
            "extra": {"Model Version": self.scores.model_version, "Config Fingerprint": self.config.fingerprint},
        }


#: What `Detections.save` writes, by name.
FORMATS: dict[str, Callable[[Detections, Path], Path]] = {
    "json": Detections._save_json,
    "csv": Detections._save_csv,
    "raven": Detections._save_raven,
    "audacity": Detections._save_audacity,
    "png": Detections._save_png,
}


def detect(
    source: str | os.PathLike[str] | BinaryIO | Recording,
    *,
    config: InferenceConfig | None = None,
    classifier: Classifier | None = None,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    timezone: str = "UTC",
    progress: Progress | None = None,
) -> Detections:
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
    timezone : str
        Time zone of the clock that named the file.
    progress : callable (done, total), optional
        Called after every chunk.

    Returns
    -------
    detections : Detections

    Raises
    ------
    AudioError
        The recording cannot be opened, decoded, or holds nothing.
    ModelError, ConfigError
        The model and the settings do not fit together.

    Examples
    --------
    >>> from anemone_lib import detect
    >>> for event in detect("reef.wav").events:  # doctest: +SKIP
    ...     print(event.start_time, event.end_time, event.max_confidence)
    """
    began = time.perf_counter()
    classifier = classifier or load_classifier()
    config = config or default_config(classifier)
    recording = (
        source
        if isinstance(source, Recording)
        else open_recording(source, target_sr=config.target_sr, timezone=timezone)
    )
    try:
        # The recording is hashed while it is scored: both read it, from the same pages of memory.
        with ThreadPoolExecutor(1, "anemone-sha256") as hasher:
            digest = hasher.submit(lambda: recording.sha256)
            scores = score_recording(recording, classifier, config, executor=executor, cache=cache, progress=progress)
            scores = replace(scores, recording_sha256=digest.result())
        events = events_of(scores, config)
    finally:
        if recording is not source:
            recording.close()
    metadata = describe(scores, events, config, processing_time=time.perf_counter() - began)
    return Detections(events=events, scores=scores, config=config, metadata=metadata, source=source)


def default_config(classifier: Classifier) -> InferenceConfig:
    """Return the settings a model was trained with, and defaults for the rest."""
    return InferenceConfig(**classifier.card.settings) if classifier.card else InferenceConfig()


def describe(scores: Scores, events: list[Event], config: InferenceConfig, *, processing_time: float) -> dict[str, Any]:
    """Return the ``metadata`` of a result: what was looked at, how much of it, and by what."""
    return {
        "audio_duration": scores.duration,
        "processing_time": processing_time,
        "model_version": scores.model_version,
        "total_windows": scores.n_windows,
        "total_events": len(events),
        "sample_rate": scores.sample_rate,
        "coverage": {
            "analysed_s": scores.analysed_duration,
            "skipped": [
                {"start_time": gap.start_time, "end_time": gap.end_time, "reason": gap.reason} for gap in scores.skipped
            ],
        },
        "warnings": list(scores.warnings),
        "provenance": {
            "code_version": anemone_lib.__version__,
            "code_sha256": code_sha256(),
            "model_sha256": scores.model_sha256,
            "config_fingerprint": config.fingerprint,
            "recording_sha256": scores.recording_sha256,
            "recording_name": scores.recording_name,
        },
    }


@once
def code_sha256() -> str:
    """SHA-256 (hex) over the package's own files but the model bundle, which has a hash of its own.

    Of every file in the order of their names: the path within the package, a zero byte, the file's SHA-256. So anyone
    can check that an image and a checkout hold the same code.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
        relative = path.relative_to(root)
        if path.is_file() and "__pycache__" not in relative.parts and relative.parts[0] != "models":
            digest.update(relative.as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
