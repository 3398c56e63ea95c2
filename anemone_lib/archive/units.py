"""The pieces of work of an archive: pure functions that any executor runs, here or on another machine.

A small recording is one piece; a large plain WAV file is cut into stretches (`score_stretch`). Beside them it is read
once more for its SHA-256 and its noise (`hear_recording`); `finish_recording` puts all together. A piece reads the
recording and the model by their addresses and writes nothing: its result goes back to the run, and only the run writes.
If something is wrong with a recording, the piece returns the reason; it raises an error only for what stops the run,
like a full disk.
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from anemone_lib.archive.kept import NO_SOUND, check_kept, is_kept, read_kept
from anemone_lib.archive.measuring import Measured, decide_all_events, measure_events
from anemone_lib.archive.noise import pack_minutes
from anemone_lib.archive.stretches import describe_stretches, list_stretches
from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.audio.sources import HASH_BLOCK_BYTES, RemoteSource, open_source
from anemone_lib.audio.spool import DecodeLimits
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Event
from anemone_lib.errors import AnemoneError, AudioError, ConfigError
from anemone_lib.files import is_disk_full
from anemone_lib.scoring.chunks import CHUNK_WINDOWS, merge, name_recording_scores, plan, score_chunk
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Chunk, ChunkScores, Scores, forget_use, name_scores
from anemone_lib.soundscape.minutes import MinuteMeter, measure_minutes

#: Windows of a chunk where memory is short.
SMALL_CHUNK_WINDOWS = 16
#: Bytes that the samples of a chunk take, at most.
CHUNK_BYTES = 32 << 20
#: A remote recording is kept in memory up to this size, and in a temporary file above.
HELD_BYTES = 64 << 20


@dataclass(frozen=True)
class Task:
    """A recording to be analysed.

    Attributes
    ----------
    source : str, path or address
    options : mapping, how it is opened: keywords of `open_recording`
    size : int, in bytes, when it was listed; another size now is a file that is still being written
    chunk_windows : int, windows that are scored at once
    known : tuple of str, SHA-256 of recordings that it may be the same as, which need not be analysed again
    configs : tuple of InferenceConfig, one a class: how the events are decided whose calls are measured
    noise : bool, whether the levels of every minute are measured
    deadline : float or None, of `time.monotonic` in this process, when it must be over
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    chunk_windows: int = CHUNK_WINDOWS
    known: tuple[str, ...] = ()
    configs: tuple[InferenceConfig, ...] = ()
    noise: bool = False
    deadline: float | None = None

    def shrink(self) -> "Task":
        """Return the same task, to be done with less memory."""
        return replace(self, chunk_windows=SMALL_CHUNK_WINDOWS)

    def check_time(self) -> None:
        """Refuse to go on after the deadline.

        Raises
        ------
        LateError
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LateError(f"{self.source} was not done in time")


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of the analysis of a recording.

    Attributes
    ----------
    status : ``analysed``, ``same`` (one of `Task.known`) or ``failed``
    reason : str, why it failed
    sha256 : str
    scores : Scores, without name, clock and notes of the file
    name : str, of the scores
    notes : tuple of str, anything odd about the file and its sound
    condition : list of dict, of each analysed stretch: ``start_s``, ``end_s``, and ``dead_s``, ``clipped`` where known
    calls : Measured, of the events that `Task.configs` decide
    noise : bytes or None, the levels of every minute, as `pack_minutes` packs them
    """

    status: str
    reason: str = ""
    sha256: str = ""
    scores: Scores | None = None
    name: str = ""
    notes: tuple[str, ...] = ()
    condition: tuple[Mapping[str, float], ...] = ()
    calls: Measured = field(default_factory=Measured)
    noise: bytes | None = None


#: The SHA-256 of a recording, and its levels as `pack_minutes` packs them: for both it is read from end to end.
Heard = tuple[str, bytes | None]


def analyse_recording(task: Task, classifier: Classifier, config: InferenceConfig) -> Outcome:
    """Score a whole recording.

    Parameters
    ----------
    task : Task
    classifier : Classifier
    config : InferenceConfig

    Returns
    -------
    outcome : Outcome

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.scoring import choose_config, load_classifier
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> classifier = load_classifier()
    >>> outcome = analyse_recording(Task(str(path)), classifier, choose_config(None, classifier))
    >>> outcome.status, outcome.scores.n_windows, outcome.condition[0]["end_s"]
    ('analysed', 24, 10.0)
    """
    if is_kept(task.source):
        return _take_kept(task, classifier, config)
    return _answer(task, lambda recording: _analyse(task, recording, classifier, config))


def score_stretch(
    task: Task, first: int, stop: int, classifier: Classifier, config: InferenceConfig
) -> ChunkScores | Outcome:
    """Score the windows `first` to `stop` of a recording; an Outcome where it cannot be read."""

    def score(recording: Recording) -> ChunkScores:
        starts = range(first, stop, task.chunk_windows)
        chunks = [Chunk(k, start, min(stop, start + task.chunk_windows)) for k, start in enumerate(starts)]
        parts = []
        for chunk in chunks:
            task.check_time()
            parts.append(score_chunk(recording, chunk, classifier, config).to_array())
        return ChunkScores.from_array(np.concatenate(parts))

    return _answer(task, score)


def hear_recording(task: Task) -> Heard | Outcome:
    """Read a recording from end to end, for its SHA-256 and, if `Task.noise` is true, the levels of every minute."""

    def hear(recording: Recording) -> Heard:
        with ThreadPoolExecutor(1, "anemone-sha256") as hasher:
            hasher.submit(lambda: recording.sha256)
            noise = _measure_noise(recording) if task.noise else None
        return recording.sha256, noise

    return _answer(task, hear)


def finish_recording(
    task: Task, parts: Mapping[Chunk, ChunkScores | str], heard: Heard, classifier: Classifier, config: InferenceConfig
) -> Outcome:
    """Put the stretches of a recording together; a stretch may be the reason why it has no scores."""

    def finish(recording: Recording) -> Outcome:
        recording.__dict__["sha256"], noise = heard  # known already: a cached property
        return _finish(task, recording, parts, classifier, config, noise)

    return _answer(task, finish)


def measure_recording(
    task: Task, events: tuple[Event, ...], classifier: Classifier, config: InferenceConfig
) -> Measured | Outcome:
    """Measure the calls of events that were decided before; an Outcome where the recording cannot be read."""
    return _answer(task, lambda recording: measure_events(recording, events, classifier, config))


def measure_recording_noise(task: Task) -> bytes | Outcome:
    """Measure the levels of a recording that was scored before; an Outcome where it cannot be read."""
    return _answer(task, _measure_noise)


def choose_chunk_windows(sample_rate: int, channels: int, config: InferenceConfig) -> int:
    """Choose how many windows are scored at once, so that their samples take no more than `CHUNK_BYTES`."""
    rate = max(sample_rate, config.target_sr or 0)
    fitting = int(CHUNK_BYTES / (config.stride_duration * rate * channels * 4))
    return max(SMALL_CHUNK_WINDOWS, min(CHUNK_WINDOWS, fitting))


def _analyse(task: Task, recording: Recording, classifier: Classifier, config: InferenceConfig) -> Outcome:
    if task.known and recording.sha256 in task.known:
        return Outcome("same", sha256=recording.sha256)
    # Hashed while it is scored: both read it, from the same pages of memory.
    with ThreadPoolExecutor(1, "anemone-sha256") as hasher:
        hasher.submit(lambda: recording.sha256)
        chunks = plan(recording, config, chunk_windows=task.chunk_windows)
        meter = MinuteMeter(recording.sample_rate) if task.noise else None
        parts: dict[Chunk, ChunkScores | str] = {}
        for chunk in chunks:
            task.check_time()
            try:
                parts[chunk] = score_chunk(recording, chunk, classifier, config, listen=meter.add if meter else None)
            except AudioError as error:
                parts[chunk] = str(error)
    noise = pack_minutes(meter.finish(recording.n_samples), recording.sample_rate) if meter else None
    return _finish(task, recording, parts, classifier, config, noise)


def _take_kept(task: Task, classifier: Classifier, config: InferenceConfig) -> Outcome:
    """Take over the scores that were made of a recording before."""
    try:
        scores = read_kept(task.source)
        check_kept(scores, classifier, config, str(task.options["channel"]))
    except AnemoneError as error:
        return Outcome("failed", str(error))
    return Outcome(
        "analysed",
        sha256=scores.recording_sha256,
        scores=forget_use(scores, ()),
        notes=scores.warnings,
        name=name_scores(
            scores.recording_sha256,
            classifier.sha256,
            config.scores_fingerprint,
            "mean" if scores.n_channels == 1 else scores.channel,
        ),
        condition=tuple({"start_s": start, "end_s": end} for start, end in list_stretches(scores)),
        calls=Measured(None, f"calls were not measured: {NO_SOUND}"),
    )


def _measure_noise(recording: Recording) -> bytes:
    return pack_minutes(measure_minutes(recording), recording.sample_rate)


def _finish(
    task: Task,
    recording: Recording,
    parts: Mapping[Chunk, ChunkScores | str],
    classifier: Classifier,
    config: InferenceConfig,
    noise: bytes | None,
) -> Outcome:
    scores = merge(parts, recording=recording, classifier=classifier, config=config, sha256=recording.sha256)
    return Outcome(
        "analysed",
        sha256=recording.sha256,
        scores=forget_use(scores, recording.warnings),
        notes=tuple(note for note in scores.warnings if note not in recording.clock.notes),
        name=name_recording_scores(recording, classifier, config),
        condition=tuple(describe_stretches(scores, parts)),
        calls=_measure(recording, decide_all_events(scores, task.configs), classifier, config),
        noise=noise,
    )


def _measure(
    recording: Recording, events: tuple[Event, ...], classifier: Classifier, config: InferenceConfig
) -> Measured:
    """Measure the calls; an error there does not lose the scores."""
    try:
        return measure_events(recording, events, classifier, config)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 the scores hold
        _stop_if_full(error)
        known = isinstance(error, AnemoneError | OSError)
        reason = str(error) if known else f"unexpected {type(error).__name__}: {error}"
        return Measured(None, f"calls were not measured: {reason}")


# ---------------------------------------------------------------------- opening, and errors


def _answer(task: Task, work: Callable[[Recording], Any]) -> Any:
    """Do work on an open recording; if something is wrong with the recording, return that it failed, and why."""
    try:
        with _open_piece(task) as recording:
            done = work(recording)
        _check_size(task)
    except (ConfigError, MemoryError, LateError):
        raise
    except AnemoneError as error:
        task.check_time()  # then it is the reason, and not the recording
        _stop_if_full(error)
        return Outcome("failed", str(error))
    except OSError as error:
        _stop_if_full(error)
        return Outcome("failed", f"it cannot be read: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 a defect of ours must not end a night's run either
        return Outcome("failed", f"unexpected {type(error).__name__}: {error}")
    return done


@contextmanager
def _open_piece(task: Task) -> Iterator[Recording]:
    with ExitStack() as stack:
        source = open_source(task.source)
        stack.callback(source.close)
        opened: Any = task.source
        if task.size is not None and source.size != task.size:
            raise AudioError(_describe_growth(task.size, source.size))
        digest = ""
        if isinstance(source, RemoteSource) and source.size <= LARGE_BYTES:
            copy, digest = _fetch(source, task)
            opened = stack.enter_context(copy)
        limits = DecodeLimits(deadline=task.deadline)
        recording = stack.enter_context(open_recording(opened, **task.options, limits=limits))
        if digest:
            recording.__dict__["sha256"] = digest  # known already: a cached property
        yield recording


#: A recording that is larger is cut into stretches where it can be read by range.
LARGE_BYTES = 1 << 30


def _fetch(source: RemoteSource, task: Task) -> tuple[BinaryIO, str]:
    """Read a remote recording once, from its first byte to its last; return it as a file, and its SHA-256."""
    copy = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115 closed by the caller
    digest, position, step = hashlib.sha256(), 0, 8 * HASH_BLOCK_BYTES
    try:
        while block := source.read_at(position, step):  # type: ignore[attr-defined]
            copy.write(block)
            digest.update(block)
            position += len(block)
            task.check_time()
    except BaseException:
        copy.close()
        raise
    return copy, digest.hexdigest()  # type: ignore[return-value]


def _check_size(task: Task) -> None:
    """Refuse a local file that grew while it was read."""
    if task.size is None or "://" in task.source:
        return
    try:
        now = os.stat(task.source).st_size
    except OSError as error:
        raise AudioError(f"it vanished while it was read: {error.strerror or error}") from None
    if now != task.size:
        raise AudioError(_describe_growth(task.size, now))


def _describe_growth(before: int, now: int) -> str:
    return f"it has {now:,} bytes, and had {before:,} when it was listed: it is still being written"


class DiskFullError(AnemoneError):
    """There is no room for temporary files, or for the results."""


class LateError(AnemoneError):
    """The time for a piece of work is over; it can be done again when there is more time."""


def _stop_if_full(error: BaseException) -> None:
    """End the run if the disk is full: otherwise every later recording would fail for the same reason."""
    while error is not None:
        if is_disk_full(error):
            raise DiskFullError(
                f"there is no room for temporary files in {tempfile.gettempdir()}: make room there, or set TMPDIR to "
                "another folder, and run again to go on"
            )
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def watch_parent() -> None:
    """End this worker process when the run that started it is gone: kill -9 leaves no orphans behind."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, name="anemone-parent", daemon=True).start()
