"""The tasks of a job: plan, score_chunk, merge, fail. Any worker can do any task, any number of times.

A *chunk* of a job is a run of windows that one task scores. It holds one or more chunks of the library, so that a
recording of 5 GB has a few hundred of them at most. A worker claims a chunk before it begins (see `claims`). If an
attempt fails, the worker raises the error and the caller tries again. If the last attempt fails, the worker stores the
reason as the result of the chunk, and the rest of the recording is delivered without it.
"""

import io
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
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
from anemone_lib.service.claims import MAX_ATTEMPTS, claim_chunk, count_attempts
from anemone_lib.service.engine import Engine, Share
from anemone_lib.service.incoming import S3Reference, format_s3_uri
from anemone_lib.service.jobs import RESULT_FILES
from anemone_lib.service.problems import Problem, to_problem
from anemone_lib.service.render import render
from anemone_lib.service.spool import copy_nearby
from anemone_lib.service.stores import MissingObject, Store, exists

#: Largest number of chunks of a job. The input and the history of the state machine have room for several times more.
MAX_CHUNKS = 400
#: The chunk whose result is the SHA-256 of the recording. It reads as much as all the others, so it runs beside them.
HASH_CHUNK = "sha256"

log = logging.getLogger(__name__)
T = TypeVar("T")


class Worker:
    """Does the tasks of jobs in one process.

    Parameters
    ----------
    engine : Engine
    recordings, results : Store
    owner : str
        Name of the caller that repeats a task when its worker dies. Claims belong to it.
    executor : concurrent.futures.Executor, optional
        Threads that score the library's chunks of one task; by default they are scored one by one.
    """

    def __init__(
        self, engine: Engine, recordings: Store, results: Store, *, owner: str, executor: Executor | None = None
    ) -> None:
        self._engine, self._recordings, self._results, self._owner = engine, recordings, results, owner
        self._executor = executor
        self._opened: tuple[str, Recording] | None = None

    # ------------------------------------------------------------------ the tasks

    def plan(self, job_id: str) -> dict[str, Any]:
        """Cut the recording of a job into chunks.

        Returns
        -------
        plan : dict, ``job_id`` and ``chunks``: a list of small objects, one for each call of `score_chunk`
        """
        key = f"jobs/{job_id}"

        def work() -> dict[str, Any]:
            classifier, config = self._read_settings(job_id)
            recording = self._open_recording(job_id, config)
            n_windows = lay_grid(
                recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings
            ).n_windows
            size = CHUNK_WINDOWS * -(-n_windows // (CHUNK_WINDOWS * MAX_CHUNKS))
            chunks: list[dict[str, Any]] = [{"name": HASH_CHUNK}]
            for first in range(0, n_windows, size):
                stop = min(n_windows, first + size)
                chunks.append({"name": f"{first:08d}-{stop:08d}", "first": first, "stop": stop})
            plan = {"chunks": chunks, "model_sha256": classifier.sha256, "settings": config.scores_fingerprint}
            self._recordings.create(f"{key}/plan.json", json.dumps(plan).encode())
            return plan

        plan = self._read_json(f"{key}/plan.json") or self._do_essential(job_id, "plan", work)
        return {"job_id": job_id, "chunks": plan["chunks"]}

    def score_chunk(self, job_id: str, chunk: Mapping[str, Any], *, deadline: float | None = None) -> dict[str, Any]:
        """Score one chunk of the plan, if it has no result yet.

        Parameters
        ----------
        job_id : str
        chunk : mapping, one of those that `plan` returned
        deadline : float, optional
            Time of `time.monotonic` in seconds at which the process will be stopped.

        Returns
        -------
        outcome : dict, ``chunk`` (its name) and ``failed`` (bool)

        Raises
        ------
        BusyError
            Another worker has claimed it.
        Exception
            Any error of an attempt, so that the caller tries again. The last attempt stores its reason instead.
        """
        name = str(chunk["name"])
        stem = f"jobs/{job_id}/chunks/{name}"
        result_key, failed_key = f"{stem}.npy", f"{stem}.failed.json"
        if exists(self._recordings, result_key):
            return {"chunk": name, "failed": False}
        if exists(self._recordings, failed_key):
            return {"chunk": name, "failed": True}
        claim = claim_chunk(self._recordings, job_id, name, owner=self._owner)
        try:
            content = self._score(job_id, chunk, claim.renew, deadline)
        except Exception as error:
            if claim.attempt < MAX_ATTEMPTS:
                raise
            log.exception("chunk %s of job %s failed for good", name, job_id)
            self._recordings.create(failed_key, json.dumps({"reason": explain_failure(error)}).encode())
            return {"chunk": name, "failed": True}
        self._recordings.create(result_key, content)
        return {"chunk": name, "failed": False}

    def merge(self, job_id: str, failed: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Join the scores of the chunks and write the result in every format.

        Parameters
        ----------
        job_id : str
        failed : sequence of ``{"chunk": {"name"}, "error"}``
            Chunks whose task returned nothing to the state machine.

        Returns
        -------
        summary : dict, ``job_id``, ``total_events``, ``skipped_s``
        """
        key = f"jobs/{job_id}/result.json"
        if exists(self._results, key):
            metadata = json.loads(self._results.read(key))["metadata"]
        else:
            metadata = self._do_essential(job_id, "merge", lambda: self._merge(job_id, failed))
        skipped = metadata["audio_duration"] - metadata["coverage"]["analysed_s"]
        return {"job_id": job_id, "total_events": metadata["total_events"], "skipped_s": skipped}

    def fail(self, job_id: str, reason: str) -> dict[str, Any]:
        """Store the reason why a job cannot be finished, if it has no such reason yet."""
        content = {"error": "job_failed", "message": reason}
        self._results.create(f"jobs/{job_id}/error.json", json.dumps(content).encode())
        return {"job_id": job_id, "failed": True}

    def close(self) -> None:
        """Close the recording of the last task."""
        if self._opened:
            self._opened[1].close()
            self._opened = None

    # ------------------------------------------------------------------ how a task is done

    def _score(self, job_id: str, chunk: Mapping[str, Any], renew: Callable[[], None], deadline: float | None) -> bytes:
        classifier, config = self._read_settings(job_id)
        recording = self._open_recording(job_id, config)
        renew()
        if chunk["name"] == HASH_CHUNK:
            return recording.sha256.encode()
        first, stop = int(chunk["first"]), int(chunk["stop"])
        library_chunks = [
            Chunk(start // CHUNK_WINDOWS, start, min(stop, start + CHUNK_WINDOWS))
            for start in range(first, stop, CHUNK_WINDOWS)
        ]

        def score(library_chunk: Chunk) -> ChunkScores:
            if deadline is not None and monotonic() > deadline:
                raise Problem(
                    413,
                    "too_long",
                    f"{stop - first} windows are too many for this model in the time that one call of the function "
                    "has; give it more (lambda_timeout, lambda_memory_size), or a smaller model",
                )
            return score_chunk(recording, library_chunk, classifier, config)

        scored = []
        with Share(self._executor) if self._executor else nullcontext() as share:
            for chunk_scores in share.map(score, library_chunks) if share else map(score, library_chunks):
                scored.append(chunk_scores.to_array())
                renew()
        file = io.BytesIO()
        np.save(file, np.concatenate(scored))
        return file.getvalue()

    def _merge(self, job_id: str, failed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        classifier, config = self._read_settings(job_id)
        recording = self._open_recording(job_id, config)
        errors = {str(item["chunk"]["name"]): str(item.get("error", "")) for item in failed}
        chunks = json.loads(self._recordings.read(f"jobs/{job_id}/plan.json"))["chunks"]
        results: dict[Chunk, ChunkScores | str] = {}
        for index, chunk in enumerate(chunks):
            if chunk["name"] != HASH_CHUNK:
                result = self._read_chunk_result(job_id, chunk["name"], errors)
                results[Chunk(index, chunk["first"], chunk["stop"])] = result
        reasons = [result for result in results.values() if isinstance(result, str)]
        if len(reasons) == len(results):
            raise AudioError(f"no part of the recording could be analysed: {reasons[0]}")
        try:
            digest = self._recordings.read(f"jobs/{job_id}/chunks/{HASH_CHUNK}.npy").decode()
        except MissingObject:
            digest = recording.sha256
        scores = merge(results, recording=recording, classifier=classifier, config=config, sha256=digest)
        events = decide_events(scores, config)
        started = (self._read_json(f"jobs/{job_id}/started.json") or {}).get("at", time.time())
        metadata = describe_result(scores, events, config, processing_time=max(0.0, time.time() - started))
        detections = Detections(events=events, scores=scores, config=config, metadata=metadata, source=recording)
        self._write_results(job_id, detections)
        return metadata

    def _write_results(self, job_id: str, detections: Detections) -> None:
        # result.json marks the job as done, so it is written last.
        for kind in sorted(RESULT_FILES, key=lambda kind: kind == "json"):
            name, media_type = RESULT_FILES[kind]
            try:
                content = render(detections, kind)
            except Exception:
                if kind != "png":  # a result without its picture is still a result
                    raise
                log.exception("the overview of job %s could not be drawn", job_id)
                continue
            self._results.write(f"jobs/{job_id}/{name}", content, media_type=media_type)

    def _read_chunk_result(self, job_id: str, name: str, errors: Mapping[str, str]) -> ChunkScores | str:
        """Return the scores of a chunk, or the reason why it has none."""
        stem = f"jobs/{job_id}/chunks/{name}"
        try:
            array = np.load(io.BytesIO(self._recordings.read(f"{stem}.npy")), allow_pickle=False)
            return ChunkScores.from_array(np.asarray(array))
        except MissingObject:
            pass
        failure = self._read_json(f"{stem}.failed.json")
        if failure:
            return str(failure["reason"])
        attempts = count_attempts(self._recordings, job_id, name)
        error = f" ({errors[name]})" if errors.get(name) else ""
        return f"its worker was stopped before it was done, {attempts} times{error}"

    def _do_essential(self, job_id: str, name: str, work: Callable[[], T]) -> T:
        """Do a task without which the job fails: the error of the last attempt becomes the error of the job."""
        claim = claim_chunk(self._recordings, job_id, name, owner=self._owner)
        try:
            return work()
        except Exception as error:
            if claim.attempt >= MAX_ATTEMPTS:
                self.fail(job_id, explain_failure(error))
            raise

    def _read_settings(self, job_id: str) -> tuple[Classifier, InferenceConfig]:
        """Return the model and the settings of a job. They must not change while the job runs."""
        classifier, _ = self._engine.load()
        config = self._engine.change_config(self._read_request(job_id)["config"])
        plan = self._read_json(f"jobs/{job_id}/plan.json")
        if plan and (plan["model_sha256"], plan["settings"]) != (classifier.sha256, config.scores_fingerprint):
            raise Problem(
                409, "service_changed", "the model or its settings were replaced while the job ran; create a new job"
            )
        return classifier, config

    def _open_recording(self, job_id: str, config: InferenceConfig) -> Recording:
        """Open the recording of a job. It stays open for the next tasks of the job, since opening may decode it."""
        if self._opened and self._opened[0] == job_id:
            return self._opened[1]
        self.close()
        request = self._read_request(job_id)
        if "s3" in request:
            source = format_s3_uri(S3Reference(**request["s3"]))
        else:
            source = self._recordings.get_address(f"jobs/{job_id}/recording")
        recording = open_recording(
            copy_nearby(source),
            target_sr=config.target_sr,
            timezone=request["timezone"],
            name=request["filename"],
            channel=request.get("channel", "mean"),
        )
        self._opened = job_id, recording
        return recording

    def _read_request(self, job_id: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._recordings.read(f"jobs/{job_id}/request.json")))
        except MissingObject:
            raise Problem(404, "no_such_job", f"there is no job {job_id!r}") from None

    def _read_json(self, key: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._recordings.read(key)))
        except MissingObject:
            return None


def run_task(worker: Worker, task: Mapping[str, Any], *, deadline: float | None = None) -> dict[str, Any]:
    """Do one task of a job, as a message names it.

    Parameters
    ----------
    worker : Worker
    task : mapping
        ``task`` is ``plan``, ``score_chunk``, ``merge`` or ``fail``; ``job_id`` is the job. ``score_chunk`` needs
        ``chunk``; ``merge`` takes ``failed``; ``fail`` takes ``reason``.
    deadline : float, optional
        Time of `time.monotonic` in seconds at which the process will be stopped.

    Returns
    -------
    outcome : dict, as the worker's method of this name returns it

    Raises
    ------
    ValueError
        There is no such task.
    """
    name, job_id = task["task"], str(task["job_id"])
    if name == "plan":
        return worker.plan(job_id)
    if name == "score_chunk":
        return worker.score_chunk(job_id, task["chunk"], deadline=deadline)
    if name == "merge":
        return worker.merge(job_id, task.get("failed") or ())
    if name == "fail":
        return worker.fail(job_id, str(task["reason"]))
    raise ValueError(f"task is {name!r}; it must be plan, score_chunk, merge or fail")


def explain_failure(error: BaseException) -> str:
    """Return the reason why a task failed, in words for a client.

    Of an unexpected error the reason names only the type.

    Examples
    --------
    >>> explain_failure(AudioError("reef.wav is empty"))
    'reef.wav is empty'
    >>> explain_failure(KeyError("a secret"))
    'an unexpected error (KeyError)'
    """
    problem = to_problem(error)
    return problem.message if problem.status != 500 else f"an unexpected error ({type(error).__name__})"
