"""The tasks of a job: plan, score_chunk, merge. Any worker can do any of them, any number of times.

A *piece* is a run of the library's chunks, large enough that a recording of 5 GB has at most a few hundred. A worker
claims a piece by creating the next ``claims/<piece>/<attempt>.json``, which only one can; a claim holds until its
time is up, unless its own owner (one state machine execution, one local server) takes it over, who knows that the
worker before is dead. The claims count the attempts: an error is raised for somebody to try again, the last one is
written down as the piece's result, and the rest of the recording is delivered without it.
"""

import io
import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from anemone_lib.audio.recording import Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import decide_events
from anemone_lib.detection.results import describe_result
from anemone_lib.errors import AudioError
from anemone_lib.scoring.chunks import CHUNK_WINDOWS, merge, score_chunk
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Chunk, ChunkScores
from anemone_lib.scoring.windows import lay_grid
from anemone_lib.service.engine import Engine, Share
from anemone_lib.service.incoming import S3Reference, s3_uri
from anemone_lib.service.jobs import RESULT_FILES
from anemone_lib.service.problems import Problem, to_problem
from anemone_lib.service.render import render
from anemone_lib.service.stores import MissingObject, Store, exists

#: Pieces of a job, at most; the state machine's input and history have room for several times as many.
MAX_PIECES = 400
#: Attempts at a task, the first included; whoever runs the tasks must try a failed one again as often.
MAX_ATTEMPTS = 3
#: Seconds that a claim holds after its worker was last heard of.
LEASE_S = 120.0
#: The piece whose result is the recording's SHA-256: as much reading as all others, so it goes beside them.
HASH_PIECE = "sha256"

log = logging.getLogger(__name__)
T = TypeVar("T")


class BusyError(Exception):
    """Another worker has claimed this piece; ask again later."""


class Worker:
    """What does the tasks of jobs in one process.

    Parameters
    ----------
    engine : Engine
    recordings, results : Store
    owner : str
        Who sees to it that a task is tried again when its worker dies; a claim is theirs.
    executor : concurrent.futures.Executor, optional
        Threads that share the chunks of a piece; by default they are scored one by one.
    """

    def __init__(
        self, engine: Engine, recordings: Store, results: Store, *, owner: str, executor: Executor | None = None
    ) -> None:
        self._engine, self._recordings, self._results, self._owner = engine, recordings, results, owner
        self._executor = executor
        self._open: tuple[str, Recording] | None = None

    # ------------------------------------------------------------------ the tasks

    def plan(self, job_id: str) -> dict[str, Any]:
        """Cut a job's recording into pieces.

        Returns
        -------
        plan : dict, ``job_id`` and ``chunks``: one small object a piece, each for one call of `score_chunk`
        """
        key = f"jobs/{job_id}"

        def work() -> dict[str, Any]:
            classifier, config = self._settings_of(job_id)
            recording = self._recording_of(job_id, config)
            n_windows = lay_grid(
                recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings
            ).n_windows
            chunks = -(-n_windows // CHUNK_WINDOWS)
            size = CHUNK_WINDOWS * -(-chunks // MAX_PIECES)
            pieces = [{"name": HASH_PIECE}]
            for first in range(0, n_windows, size):
                stop = min(n_windows, first + size)
                pieces.append({"name": f"{first:08d}-{stop:08d}", "first": first, "stop": stop})  # type: ignore[dict-item]
            plan = {"pieces": pieces, "model_sha256": classifier.sha256, "settings": config.scores_fingerprint}
            self._recordings.create(f"{key}/plan.json", json.dumps(plan).encode())
            return plan

        plan = self._read_json(f"{key}/plan.json") or self._essential(job_id, "plan", work)
        return {"job_id": job_id, "chunks": plan["pieces"]}

    def score_chunk(self, job_id: str, chunk: Mapping[str, Any], *, deadline: float | None = None) -> dict[str, Any]:
        """Score one piece of the plan, unless its result is there.

        Parameters
        ----------
        job_id : str
        chunk : one of those that `plan` returned
        deadline : of `time.monotonic`, in seconds, when the process will be stopped; or None

        Returns
        -------
        told : dict, small: ``chunk`` (the piece's name) and whether it ``failed``

        Raises
        ------
        BusyError
            Another worker is at it.
        Exception
            Whatever went wrong, for the caller to try again; the last attempt is written down instead.
        """
        name = str(chunk["name"])
        stem = f"jobs/{job_id}/pieces/{name}"
        result_key, failed_key = f"{stem}.npy", f"{stem}.failed.json"
        if exists(self._recordings, result_key):
            return {"chunk": name, "failed": False}
        if exists(self._recordings, failed_key):
            return {"chunk": name, "failed": True}
        with self._claim(job_id, name) as claim:
            try:
                content = self._score(job_id, chunk, claim.renew, deadline)
            except Exception as error:
                if claim.attempt < MAX_ATTEMPTS:
                    raise
                log.exception("piece %s of job %s failed for good", name, job_id)
                self._recordings.create(failed_key, json.dumps({"reason": explain_failure(error)}).encode())
                return {"chunk": name, "failed": True}
            self._recordings.create(result_key, content)
        return {"chunk": name, "failed": False}

    def merge(self, job_id: str, failed: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Put the pieces together and write the result in every spelling.

        Parameters
        ----------
        job_id : str
        failed : ``{"chunk": {"name"}, "error"}`` of pieces of which the state machine saw no result

        Returns
        -------
        told : dict, small: ``job_id``, ``total_events``, ``skipped_s``
        """
        key = f"jobs/{job_id}/result.json"
        if exists(self._results, key):
            metadata = json.loads(self._results.read(key))["metadata"]
        else:
            metadata = self._essential(job_id, "merge", lambda: self._merge(job_id, failed))
        skipped = metadata["audio_duration"] - metadata["coverage"]["analysed_s"]
        return {"job_id": job_id, "total_events": metadata["total_events"], "skipped_s": skipped}

    def fail(self, job_id: str, reason: str) -> dict[str, Any]:
        """Write down that a job cannot be finished, unless it was."""
        content = {"error": "job_failed", "message": reason}
        self._results.create(f"jobs/{job_id}/error.json", json.dumps(content).encode())
        return {"job_id": job_id, "failed": True}

    def close(self) -> None:
        """Close the recording of the last task."""
        if self._open:
            self._open[1].close()
            self._open = None

    # ------------------------------------------------------------------ how

    def _score(self, job_id: str, chunk: Mapping[str, Any], renew: Callable[[], None], deadline: float | None) -> bytes:
        classifier, config = self._settings_of(job_id)
        recording = self._recording_of(job_id, config)
        renew()
        if chunk["name"] == HASH_PIECE:
            return recording.sha256.encode()
        first, stop = int(chunk["first"]), int(chunk["stop"])
        parts = [
            Chunk(start // CHUNK_WINDOWS, start, min(stop, start + CHUNK_WINDOWS))
            for start in range(first, stop, CHUNK_WINDOWS)
        ]

        def score(part: Chunk) -> ChunkScores:
            if deadline is not None and monotonic() > deadline:
                raise Problem(
                    413,
                    "too_long",
                    f"{stop - first} windows are too many for this model in the time that one call of the function "
                    "has; give it more (lambda_timeout, lambda_memory_size), or a smaller model",
                )
            return score_chunk(recording, part, classifier, config)

        scored = []
        with Share(self._executor) if self._executor else nullcontext() as share:
            for part_scores in share.map(score, parts) if share else map(score, parts):
                scored.append(part_scores.to_array())
                renew()
        file = io.BytesIO()
        np.save(file, np.concatenate(scored))
        return file.getvalue()

    def _merge(self, job_id: str, failed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        classifier, config = self._settings_of(job_id)
        recording = self._recording_of(job_id, config)
        seen = {str(item["chunk"]["name"]): str(item.get("error", "")) for item in failed}
        pieces = json.loads(self._recordings.read(f"jobs/{job_id}/plan.json"))["pieces"]
        results: dict[Chunk, ChunkScores | str] = {}
        for index, piece in enumerate(pieces):
            if piece["name"] != HASH_PIECE:
                results[Chunk(index, piece["first"], piece["stop"])] = self._piece_result(job_id, piece["name"], seen)
        reasons = [result for result in results.values() if isinstance(result, str)]
        if len(reasons) == len(results):
            raise AudioError(f"no part of the recording could be analysed: {reasons[0]}")
        try:
            digest = self._recordings.read(f"jobs/{job_id}/pieces/{HASH_PIECE}.npy").decode()
        except MissingObject:
            digest = recording.sha256
        scores = merge(results, recording=recording, classifier=classifier, config=config, sha256=digest)
        events = decide_events(scores, config)
        started = (self._read_json(f"jobs/{job_id}/started.json") or {}).get("at", time.time())
        metadata = describe_result(scores, events, config, processing_time=max(0.0, time.time() - started))
        detections = Detections(events=events, scores=scores, config=config, metadata=metadata, source=recording)
        # result.json says that the job is done, so it comes last.
        for kind in sorted(RESULT_FILES, key=lambda kind: kind == "json"):
            name, media_type = RESULT_FILES[kind]
            try:
                content = render(detections, kind)
            except Exception:
                if kind != "png":  # a result without its picture is a result
                    raise
                log.exception("the overview of job %s could not be drawn", job_id)
                continue
            self._results.write(f"jobs/{job_id}/{name}", content, media_type=media_type)
        return metadata

    def _piece_result(self, job_id: str, name: str, seen: Mapping[str, str]) -> ChunkScores | str:
        """What was found in a piece, or why there is nothing."""
        stem = f"jobs/{job_id}/pieces/{name}"
        try:
            kept = np.load(io.BytesIO(self._recordings.read(f"{stem}.npy")), allow_pickle=False)
            return ChunkScores.from_array(np.asarray(kept))
        except MissingObject:
            pass
        told = self._read_json(f"{stem}.failed.json")
        if told:
            return str(told["reason"])
        attempts = len(self._recordings.keys(f"jobs/{job_id}/claims/{name}/"))
        error = f" ({seen[name]})" if seen.get(name) else ""
        return f"its worker was stopped before it was done, {attempts} times{error}"

    def _essential(self, job_id: str, name: str, work: Callable[[], T]) -> T:
        """Do what a job cannot do without: the error of the last attempt is the job's."""
        with self._claim(job_id, name) as claim:
            try:
                return work()
            except Exception as error:
                if claim.attempt >= MAX_ATTEMPTS:
                    self.fail(job_id, explain_failure(error))
                raise

    @contextmanager
    def _claim(self, job_id: str, name: str) -> "Iterator[_Claim]":
        prefix = f"jobs/{job_id}/claims/{name}/"
        kept = self._recordings.keys(prefix)
        if kept:
            last = json.loads(self._recordings.read(kept[-1]))
            if last["owner"] != self._owner and last["until"] > time.time():
                raise BusyError(f"{name} of job {job_id} is being worked on")
        claim = _Claim(self._recordings, f"{prefix}{len(kept) + 1:04d}.json", self._owner, len(kept) + 1)
        claim.take()
        yield claim

    def _settings_of(self, job_id: str) -> tuple[Classifier, InferenceConfig]:
        """The model and the settings of a job, which must not change while it runs."""
        classifier, _ = self._engine.ready()
        config = self._engine.config_with(self._request(job_id)["config"])
        plan = self._read_json(f"jobs/{job_id}/plan.json")
        if plan and (plan["model_sha256"], plan["settings"]) != (classifier.sha256, config.scores_fingerprint):
            raise Problem(
                409, "service_changed", "the model or its settings were replaced while the job ran; create a new job"
            )
        return classifier, config

    def _recording_of(self, job_id: str, config: InferenceConfig) -> Recording:
        """The recording of a job, open as long as the tasks are of one job: some must be decoded to be opened."""
        if self._open and self._open[0] == job_id:
            return self._open[1]
        self.close()
        request = self._request(job_id)
        if "s3" in request:
            source = s3_uri(S3Reference(**request["s3"]))
        else:
            source = self._recordings.address(f"jobs/{job_id}/recording")
        recording = open_recording(
            near(source),
            target_sr=config.target_sr,
            timezone=request["timezone"],
            name=request["filename"],
            channel=request.get("channel", "mean"),
        )
        self._open = job_id, recording
        return recording

    def _request(self, job_id: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._recordings.read(f"jobs/{job_id}/request.json")))
        except MissingObject:
            raise Problem(404, "no_such_job", f"there is no job {job_id!r}") from None

    def _read_json(self, key: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._recordings.read(key)))
        except MissingObject:
            return None


class _Claim:
    """That a worker is at a piece, written where all can see it."""

    def __init__(self, store: Store, key: str, owner: str, attempt: int) -> None:
        self._store, self._key, self._owner, self.attempt = store, key, owner, attempt
        self._written = 0.0

    def _content(self) -> bytes:
        self._written = time.time()
        return json.dumps({"owner": self._owner, "until": self._written + LEASE_S}).encode()

    def take(self) -> None:
        """Claim, if nobody was faster."""
        if not self._store.create(self._key, self._content()):
            raise BusyError(f"{self._key} was claimed by another worker at this moment")

    def renew(self) -> None:
        """Hold on; written only when a good part of the time is over."""
        if time.time() - self._written > LEASE_S / 4:
            self._store.write(self._key, self._content())


def explain_failure(error: BaseException) -> str:
    """Say in words why a task failed; of an error that nobody raised on purpose, only its kind."""
    problem = to_problem(error)
    return problem.message if problem.status != 500 else f"an unexpected error ({type(error).__name__})"


_spooling = threading.Lock()


def near(source: str) -> str:
    """Return an address from which ranges can be read well: the same, or a copy in the temporary folder.

    WAV, RF64, W64, AIFF and FLAC in S3 are read by byte range. Other formats must be decoded from the start, so their
    objects are downloaded, once in a process's machine.
    """
    if not source.startswith("s3://"):
        return source
    from anemone_lib.audio.sources import S3Source

    remote = S3Source(source)
    if remote.read_at(0, 4) in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC"):
        return source
    path = Path(tempfile.gettempdir()) / "anemone-recordings" / sha256(source.encode()).hexdigest()
    with _spooling:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in path.parent.iterdir():  # the temporary folder of a function is small
                old.unlink(missing_ok=True)
            part, offset = path.with_suffix(".part"), 0
            with part.open("wb") as file:
                while block := remote.read_at(offset, 8 << 20):
                    offset += file.write(block)
            part.replace(path)
    return str(path)
