"""The analysis of all recordings: pieces of work go to the workers, and each result is kept at once.

*Conventions.* Only as many pieces are handed out as keep the workers busy, so memory does not grow with the archive.
The result of a piece is written before the next piece is handed out: first the scores, then the row, which says that
they are complete. If a run is killed, the next run goes on after the last row.
"""

import json
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from anemone_lib.archive.kept import find_obstacle
from anemone_lib.archive.measuring import Measured, decide_all_events
from anemone_lib.archive.noise import name_noise
from anemone_lib.archive.pieces import GoneError, Job, Large, Pieces
from anemone_lib.archive.request import Request
from anemone_lib.archive.state import ANALYSED, NOT_ANALYSED, State
from anemone_lib.archive.units import (
    LARGE_BYTES,
    DiskFullError,
    Outcome,
    Task,
    analyse_recording,
    choose_chunk_windows,
    finish_recording,
    hear_recording,
    measure_recording,
    measure_recording_noise,
    score_stretch,
)
from anemone_lib.archive.workers import Workers
from anemone_lib.audio.channels import parse_channel
from anemone_lib.audio.recording import open_recording
from anemone_lib.errors import AnemoneError, ScoresError, spell_count
from anemone_lib.files import is_disk_full, write_atomically
from anemone_lib.scoring.chunks import plan
from anemone_lib.scoring.scores import ScoreCache, Scores

#: Audio in a stretch of a large recording, seconds.
STRETCH_S = 1800.0
#: A piece of work has this time, in seconds, and this many times the time that pieces of its length took in this run.
#: Until one is done, this factor times real time is taken as their speed.
TIMEOUT_S, TIMES = 600.0, 20.0
Progress = Callable[[float, float], None]


def forget_lost_scores(state: State, folder: Path, key: str) -> None:
    """Mark recordings whose scores were lost to be analysed again."""
    for row in state.list_rows(ANALYSED, (key,)):
        if not (folder / "scores" / f"{row['scores']}.npz").exists():
            state.keep_outcome(row["recording"], {"status": None})


def refuse_full_disk(error: BaseException, state: State, folder: Path, key: str) -> None:
    """If the disk is full, end the run and say what to do."""
    if is_disk_full(error):
        done = state.count(ANALYSED, (key,))
        raise DiskFullError(
            f"the disk of {folder} is full; {done:,} of {spell_count(state.count(), 'recording')} are done and kept: "
            "make room, or move the folder to a larger disk, and run again to go on"
        ) from error


class Run:
    """The analysis of the recordings that are not done.

    Parameters
    ----------
    state : State
    folder : pathlib.Path, the archive's
    request : Request
    workers : Workers
    shard : (i, n), only every n-th recording from the i-th
    timeout_s : float > 0, the time for a piece of work, to which `TIMES` the usual time is added
    progress : callable (done, total), in seconds of audio, optional
    """

    def __init__(
        self,
        state: State,
        folder: Path,
        request: Request,
        workers: Workers,
        *,
        shard: tuple[int, int] = (0, 1),
        timeout_s: float = TIMEOUT_S,
        progress: Progress | None = None,
    ) -> None:
        self._state, self._folder, self._request, self._workers = state, folder, request, workers
        self._shard, self._progress = shard, progress or (lambda done, total: None)
        self._scores = folder / "scores"
        self._pieces = Pieces(workers, self._submit)
        self._alike: set[tuple[int, str]] = set()
        self._later: deque[Mapping[str, Any]] = deque()
        self._total = self._done = 0.0
        self._n_done = 0
        self._timeout_s, self._began, self._audio_s = timeout_s, monotonic(), 0.0

    def analyse(self) -> int:
        """Analyse the recordings that are not done; return their number.

        Raises
        ------
        DiskFullError
            There is no room; the results until then are kept.
        ScoresError
            The workers are gone.
        """
        forget_lost_scores(self._state, self._folder, self._request.score_key)
        undone = (NOT_ANALYSED, (self._request.score_key,))
        self._total = self._state.add_up("duration", *undone) / self._shard[1]
        self._do_all(self._list_jobs(*undone))
        return self._n_done

    def measure(self, *, remote: bool = True) -> None:
        """Measure calls and noise that are not measured: the settings changed, or it failed before.

        Parameters
        ----------
        remote : bool, whether also in recordings that have to be fetched again
        """
        unmeasured = self._state.find_unmeasured(self._request.score_key, self._request.calls_key)
        self._total, self._done = self._state.add_up("duration", *unmeasured) / self._shard[1], 0.0
        self._do_all(self._list_measurings(remote, *unmeasured))
        if self._request.noise:
            done = (ANALYSED, (self._request.score_key,))
            self._total, self._done = 0.0, 0.0
            self._do_all(self._list_hearings(remote, *done))

    def _do_all(self, jobs: Iterator[Job]) -> None:
        try:
            for job in jobs:
                while self._pieces.full:
                    self._collect()
                self._begin(job)
            while self._pieces:
                self._collect()
        except (OSError, sqlite3.OperationalError) as error:
            refuse_full_disk(error, self._state, self._folder, self._request.score_key)
            raise
        except GoneError as error:
            done = self._state.count(ANALYSED, (self._request.score_key,))
            raise ScoresError(
                f"the workers are gone ({error}); {spell_count(done, 'recording')} of {self._state.count():,} are "
                "done: run again to go on"
            ) from error
        finally:
            self._pieces.cancel()

    def _collect(self) -> None:
        for job, found in self._pieces.collect():
            self._audio_s += self._measure_job(job)
            self._take(job, found)

    # ------------------------------------------------------------------ lists of work

    def _list_jobs(self, where: str, values: tuple[Any, ...]) -> Iterator[Job]:
        for row in self._state.list_rows(where, values):
            if self._is_ours(row):
                yield from self._cut_jobs(row)
        while self._pieces or self._later:  # recordings that may be the same as one that is being analysed
            while self._pieces:
                self._collect()
            again, self._later = self._later, deque()
            for row in again:
                yield from self._cut_jobs(row)

    def _is_ours(self, row: Mapping[str, Any]) -> bool:
        return zlib.crc32(row["recording"].encode("utf-8", "surrogatepass")) % self._shard[1] == self._shard[0]

    def _list_measurings(self, remote: bool, where: str, values: tuple[Any, ...]) -> Iterator[Job]:
        request = self._request
        for row in self._state.list_rows(where, values):
            if not self._is_ours(row):
                continue
            try:
                scores = Scores.load(self._scores / f"{row['scores']}.npz")
            except AnemoneError:
                continue  # the tables are next, and say so
            events = decide_all_events(scores, request.configs)
            if not events:
                self._keep_calls(row, Measured())
            elif obstacle := find_obstacle(row["source"], remote=remote):
                self._keep_calls(row, Outcome("failed", obstacle))
            else:
                yield Job(row, self._make_task(row), events=events)

    def _list_hearings(self, remote: bool, where: str, values: tuple[Any, ...]) -> Iterator[Job]:
        """Yield the recordings that were scored without their noise, each content once."""
        begun: set[Path] = set()
        for row in self._state.list_rows(where, values):
            path = name_noise(self._folder, row["sha256"], self._request)
            done = path in begun or path.exists()
            if done or not self._is_ours(row) or find_obstacle(row["source"], remote=remote):
                continue
            begun.add(path)
            yield Job(row, self._make_task(row), noise=True)

    def _make_task(self, row: Mapping[str, Any], known: tuple[str, ...] = ()) -> Task:
        config = self._request.config
        return Task(
            row["source"],
            {"name": row["recording"], "target_sr": config.target_sr, "channel": self._channel},
            row["size"] if "://" not in row["source"] else None,
            choose_chunk_windows(row["sample_rate"], row["channels"], config),
            known,
            self._request.configs,
            self._request.noise,
        )

    def _cut_jobs(self, row: Mapping[str, Any]) -> Iterator[Job]:
        """Yield the pieces of work of a recording; it waits if a recording that may be the same is being analysed."""
        alike = (row["size"] or 0, row["sample"])
        if alike in self._alike:
            self._later.append(row)
            return
        task = self._make_task(row, tuple(self._state.find_scored(*alike, self._request.score_key)))
        self._alike.add(alike)
        if row["by_range"] and (row["size"] or 0) > LARGE_BYTES and not task.known:
            yield from self._cut_stretches(row, task)
        else:
            yield Job(row, task)

    @property
    def _channel(self) -> int | str:
        return parse_channel(self._request.channel)

    def _cut_stretches(self, row: Mapping[str, Any], task: Task) -> Iterator[Job]:
        config, classifier = self._request.config, self._request.classifier
        try:
            with open_recording(task.source, **task.options) as recording:
                windows = max(1, round(STRETCH_S / config.stride_duration))
                chunks = plan(recording, config, chunk_windows=windows)
        except AnemoneError as error:
            self._keep(row, Outcome("failed", str(error)))
            return
        key = f"{zlib.crc32(row['recording'].encode('utf-8', 'surrogatepass')):08x}-{row['size']}-{row['modified']}"
        cache = ScoreCache(self._folder / "state" / "stretches", f"{key}-{self._request.score_key}"[:200])
        large = Large(task, cache, 0)
        for chunk in chunks:
            if (kept := cache.load_chunk(chunk, classifier.n_classes)) is not None:
                large.parts[chunk] = kept
        missing = [chunk for chunk in chunks if chunk not in large.parts]
        large.todo = len(missing) + 1
        yield Job(row, task, large=large, hear=True)
        for chunk in missing:
            yield Job(row, task, chunk, large)

    # ------------------------------------------------------------------ handing out, and keeping results

    def _begin(self, job: Job) -> None:
        self._pieces.begin(job)

    def _submit(self, job: Job) -> Future[Any]:
        submit = partial(self._workers.submit, limit_s=self._choose_limit(job))
        what = self._request.classifier, self._request.config
        if job.noise:
            return submit(measure_recording_noise, job.task)
        if job.events is not None:
            return submit(measure_recording, job.task, job.events, *what)
        if job.hear:
            return submit(hear_recording, job.task)
        if job.chunk is not None:
            return submit(score_stretch, job.task, job.chunk.first, job.chunk.stop, *what)
        if job.large is not None and isinstance(job.large.heard, tuple):
            return submit(finish_recording, job.task, job.large.parts, job.large.heard, *what)
        return submit(analyse_recording, job.task, *what)

    def _choose_limit(self, job: Job) -> float:
        """Choose after how many seconds a piece of work has failed: far more than it takes, unless it hangs."""
        usual = self._workers.number * (monotonic() - self._began) / self._audio_s if self._audio_s else 1 / TIMES
        return self._timeout_s + TIMES * usual * self._measure_job(job)

    def _measure_job(self, job: Job) -> float:
        """Seconds of audio in a piece of work."""
        if job.chunk is not None:
            return (job.chunk.stop - job.chunk.first) * self._request.config.stride_duration
        return float(job.row["duration"] or 0.0)

    def _take(self, job: Job, found: Any) -> None:
        """Keep the result of a piece of work; after the last stretch of a recording its last piece begins."""
        if job.noise:
            self._keep_noise(job.row["sha256"], None if isinstance(found, Outcome) else found)
            return
        if job.events is not None:
            self._keep_calls(job.row, found)
            return
        large = job.large
        if large is None:
            self._keep(job.row, found)
        elif job.hear:
            large.heard = found
            self._go_on(job, large)
        elif job.chunk is None:
            self._keep(job.row, found)
            large.cache.drop_chunks()
        else:
            if isinstance(found, Outcome):
                large.parts[job.chunk] = found.reason
            else:
                large.cache.keep(job.chunk, found)
                large.parts[job.chunk] = found
            self._go_on(job, large)

    def _go_on(self, job: Job, large: Large) -> None:
        """Begin the last piece of a recording when all others are done."""
        large.todo -= 1
        if not large.todo and isinstance(large.heard, Outcome):
            self._keep(job.row, large.heard)
        elif not large.todo:
            self._begin(Job(job.row, job.task, large=large))

    def _keep(self, row: Mapping[str, Any], outcome: Outcome) -> None:
        """Write the outcome of a recording: its scores first, then its row."""
        key, name = self._request.score_key, row["recording"]
        if outcome.status == "same":
            twin = self._state.get_by_sha256(outcome.sha256, key)
            kept = ("score_key", "sha256", "status", "reason", "scores", "outcome")
            self._state.keep_outcome(name, {column: twin[column] for column in kept})
        elif outcome.scores is None:
            nothing = dict.fromkeys(("sha256", "scores", "outcome"))
            self._state.keep_outcome(name, {**nothing, "score_key": key, "status": "failed", "reason": outcome.reason})
        else:
            ScoreCache(self._scores, outcome.name).finish(outcome.scores)
            self._keep_noise(outcome.sha256, outcome.noise)
            self._state.keep_calls(outcome.sha256, self._request.calls_key, outcome.calls)
            about = {
                "duration_s": outcome.scores.duration,
                "notes": outcome.notes,
                "condition": outcome.condition,
            }
            values = {"sha256": outcome.sha256, "scores": outcome.name, "outcome": json.dumps(about)}
            self._state.keep_outcome(name, {**values, "score_key": key, "status": "analysed", "reason": None})
        self._alike.discard((row["size"] or 0, row["sample"]))
        self._n_done += 1
        self._done += row["duration"] or 0.0
        self._progress(self._done, self._total)

    def _keep_noise(self, sha256: str, packed: bytes | None) -> None:
        if packed is not None:
            with write_atomically(name_noise(self._folder, sha256, self._request)) as file:
                file.write(packed)

    def _keep_calls(self, row: Mapping[str, Any], found: Measured | Outcome) -> None:
        if isinstance(found, Outcome):
            found = Measured(None, f"calls were not measured: {found.reason}")
        self._state.keep_calls(row["sha256"], self._request.calls_key, found)
        self._state.flush()
        self._done += row["duration"] or 0.0
        self._progress(self._done, self._total)
