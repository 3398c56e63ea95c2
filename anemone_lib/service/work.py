"""The tasks of a job: plan, score_chunk, merge, draw, fail. Any worker can do any task, any number of times.

A *chunk* of a job is a run of windows that one task scores. It holds one or more chunks of the library, so that a
recording of 5 GB has a few hundred of them at most. A worker claims a chunk before it begins (see `claims`). If an
attempt fails, the worker raises `AttemptError` and the caller tries again. If the last attempt fails, the worker stores
the reason as the result of the chunk, and the rest of the recording is delivered without it. Any other error means that
nothing more can be done for the job.
"""

import io
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import Detections, decide_detections
from anemone_lib.detection.results import to_json
from anemone_lib.errors import AudioError, LimitError
from anemone_lib.scoring.chunks import CHUNK_WINDOWS, merge, score_chunk, share_windows
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Chunk, ChunkScores
from anemone_lib.scoring.windows import lay_grid
from anemone_lib.service.claims import MAX_ATTEMPTS, Claim, claim_chunk, count_attempts
from anemone_lib.service.engine import Engine, Share
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.opening import OpenRecordings
from anemone_lib.service.problems import Problem, report_failed_job, to_failure
from anemone_lib.service.render import RESULT_FILES, join_channels, list_channels, name_result_file, render
from anemone_lib.service.stores import MissingObject, Store, exists

#: Largest number of chunks of a job. The input and the history of the state machine have room for several times more.
MAX_CHUNKS = 400
#: The chunk whose result is the SHA-256 of the recording. It reads as much as all the others, so it runs beside them.
HASH_CHUNK = "sha256"

log = logging.getLogger(__name__)
T = TypeVar("T")


class AttemptError(Exception):
    """An attempt at a task failed, and was not the last one: do the task again."""


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
    task_chunks : int > 0
        Chunks of the library in one task, at least.
    does_all : bool
        This worker does all tasks of its jobs: it hashes a recording while it scores it, and draws the picture in a
        task of its own, after the result is there.
    """

    def __init__(
        self,
        engine: Engine,
        recordings: Store,
        results: Store,
        *,
        owner: str,
        executor: Executor | None = None,
        task_chunks: int = 1,
        does_all: bool = False,
    ) -> None:
        self._engine, self._recordings, self._results, self._owner = engine, recordings, results, owner
        self._executor, self._task_chunks = executor, task_chunks
        self._does_all = does_all
        self._opened = OpenRecordings(recordings, self._read_request, engine.settings.decode_limits, hashes=does_all)
        self._undrawn: dict[str, list[Detections]] = {}

    # ------------------------------------------------------------------ the tasks

    def plan(self, job_id: str) -> dict[str, Any]:
        """Cut the recording of a job into chunks.

        Returns
        -------
        plan : dict, ``job_id`` and ``chunks``: a list of small objects, one for each call of `score_chunk`
        """
        key = f"jobs/{job_id}"

        def work(_: Claim) -> dict[str, Any]:
            classifier, config = self._read_settings(job_id)
            recording = self._open_recording(job_id, config)
            channels = self._list_channels(job_id, recording)
            grid = lay_grid(recording.n_samples, sample_rate=recording.sample_rate, **config.grid_settings)
            n_windows = grid.n_windows * len(channels)
            size = CHUNK_WINDOWS * max(self._task_chunks, -(-n_windows // (CHUNK_WINDOWS * MAX_CHUNKS)))
            chunks: list[dict[str, Any]] = []
            for channel in channels:
                prefix = f"channel{channel}-" if len(channels) > 1 else ""
                for first in range(0, grid.n_windows, size):
                    stop = min(grid.n_windows, first + size)
                    chunk = {"name": f"{prefix}{first:08d}-{stop:08d}", "first": first, "stop": stop}
                    chunks.append({**chunk, "channel": channel})
            # One worker hashes beside the scoring, and asks for it in the end; of several, one does nothing else.
            chunks.insert(len(chunks) if self._does_all else 0, {"name": HASH_CHUNK})
            plan = {"chunks": chunks, "model_sha256": classifier.sha256, "settings": config.scores_fingerprint}
            self._recordings.create(f"{key}/plan.json", json.dumps(plan).encode())
            return plan

        plan = self._read_json(f"{key}/plan.json") or self._try_task(job_id, "plan", work, self._fail_now)
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
        AttemptError
            This attempt failed; the last attempt stores its reason instead.
        """
        name = str(chunk["name"])
        stem = f"jobs/{job_id}/chunks/{name}"
        result_key, failed_key = f"{stem}.npy", f"{stem}.failed.json"
        if exists(self._recordings, result_key):
            return {"chunk": name, "failed": False}
        if exists(self._recordings, failed_key):
            return {"chunk": name, "failed": True}

        def work(claim: Claim) -> dict[str, Any]:
            self._recordings.create(result_key, self._score(job_id, chunk, claim.renew, deadline))
            return {"chunk": name, "failed": False}

        def give_up(_: str, failure: Problem) -> dict[str, Any]:
            log.error("chunk %s of job %s failed for good: %s", name, job_id, failure)
            self._recordings.create(failed_key, json.dumps({"reason": failure.message}).encode())
            return {"chunk": name, "failed": True}

        return self._try_task(job_id, name, work, give_up)

    def merge(self, job_id: str, failed: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Join the scores of the chunks and write the result in every format.

        Parameters
        ----------
        job_id : str
        failed : sequence of ``{"chunk": {"name"}, "error"}``
            Chunks whose task returned nothing to the state machine.

        Returns
        -------
        summary : dict, ``job_id``, ``total_events`` of all channels, ``skipped_s`` of the one with most
        """
        key = f"jobs/{job_id}/result.json"
        if exists(self._results, key):
            every = [own["metadata"] for own in list_channels(json.loads(self._results.read(key)))]
        else:
            every = self._try_task(job_id, "merge", lambda _: self._merge(job_id, failed), self._fail_now)
        skipped = max(metadata["audio_duration"] - metadata["coverage"]["analysed_s"] for metadata in every)
        return {"job_id": job_id, "total_events": sum(m["total_events"] for m in every), "skipped_s": skipped}

    def draw(self, job_id: str) -> dict[str, Any]:
        """Draw the pictures of a result that this worker merged without them, and close the recording."""
        for detections in self._undrawn.pop(job_id, ()):
            self._write_picture(job_id, detections)
        self._forget(job_id)
        return {"job_id": job_id}

    def fail(self, job_id: str, reason: str) -> dict[str, Any]:
        """Store the reason why a job cannot be finished, if it has no such reason yet."""
        return self._fail(job_id, report_failed_job(reason))

    def close(self) -> None:
        """Close the recordings of the last tasks."""
        self._undrawn.clear()
        self._opened.close_all()

    # ------------------------------------------------------------------ how a task is done

    def _score(self, job_id: str, chunk: Mapping[str, Any], renew: Callable[[], None], deadline: float | None) -> bytes:
        classifier, config = self._read_settings(job_id)
        recording = self._open_recording(job_id, config, chunk.get("channel"))
        renew()
        if chunk["name"] == HASH_CHUNK:
            return self._opened.find_hash(job_id, recording).encode()
        first, stop = int(chunk["first"]), int(chunk["stop"])
        size = share_windows(stop - first)
        library_chunks = [
            Chunk(number, start, min(stop, start + size)) for number, start in enumerate(range(first, stop, size))
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

    def _merge(self, job_id: str, failed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        classifier, config = self._read_settings(job_id)
        errors = {str(item["chunk"]["name"]): str(item.get("error", "")) for item in failed}
        chunks = json.loads(self._recordings.read(f"jobs/{job_id}/plan.json"))["chunks"]
        results: dict[Channel | None, dict[Chunk, ChunkScores | str]] = {}
        for index, chunk in enumerate(chunks):
            if chunk["name"] != HASH_CHUNK:
                result = self._read_chunk_result(job_id, chunk["name"], errors)
                results.setdefault(chunk.get("channel"), {})[Chunk(index, chunk["first"], chunk["stop"])] = result
        every = [result for of_channel in results.values() for result in of_channel.values()]
        if all(isinstance(result, str) for result in every):
            raise AudioError(f"no part of the recording could be analysed: {every[0]}")
        try:
            digest = self._recordings.read(f"jobs/{job_id}/chunks/{HASH_CHUNK}.npy").decode()
        except MissingObject:
            digest = self._open_recording(job_id, config).sha256
        started = (self._read_json(f"jobs/{job_id}/started.json") or {}).get("at", time.time())
        began, found = time.perf_counter() - max(0.0, time.time() - started), []
        for channel, of_channel in results.items():
            recording = self._open_recording(job_id, config, channel)
            scores = merge(of_channel, recording=recording, classifier=classifier, config=config, sha256=digest)
            detections = decide_detections(scores, recording, config, classifier, began=began)
            found.append(replace(detections, of_each_channel=self._is_of_each(job_id)))
        self._write_results(job_id, found)
        return [detections.metadata for detections in found]

    def _write_results(self, job_id: str, found: list[Detections]) -> None:
        if self._does_all and isinstance(self._results, FolderStore):  # S3 cannot make a request for it wait
            self._undrawn[job_id] = found
        else:
            for detections in found:
                self._write_picture(job_id, detections)
        for detections in found:
            for kind in {*RESULT_FILES} - {"png", "json"}:
                self._write_result(job_id, kind, render(detections, kind), detections.part)
        # It marks the job as done, so it is written last.
        self._write_result(job_id, "json", to_json(join_channels(found)).encode())

    def _write_picture(self, job_id: str, detections: Detections) -> None:
        try:
            self._write_result(job_id, "png", render(detections, "png"), detections.part)
        except Exception:
            log.exception("the overview of job %s could not be drawn", job_id)

    def _write_result(self, job_id: str, kind: str, content: bytes, part: str = "") -> None:
        media_type = RESULT_FILES[kind][1]
        self._results.write(f"jobs/{job_id}/{name_result_file(kind, part)}", content, media_type=media_type)

    def _read_chunk_result(self, job_id: str, name: str, errors: Mapping[str, str]) -> ChunkScores | str:
        """Return the scores of a chunk, or the reason why it has none."""
        stem = f"jobs/{job_id}/chunks/{name}"
        try:
            array = np.load(io.BytesIO(self._recordings.read(f"{stem}.npy")), allow_pickle=False)
            return ChunkScores.from_array(np.asarray(array))
        except MissingObject:
            pass
        if failure := self._read_json(f"{stem}.failed.json"):
            return str(failure["reason"])
        attempts = count_attempts(self._recordings, job_id, name)
        error = f" ({errors[name]})" if errors.get(name) else ""
        return f"its worker was stopped before it was done, {attempts} times{error}"

    def _try_task(self, job_id: str, name: str, work: Callable[[Claim], T], give_up: Callable[[str, Problem], T]) -> T:
        """Claim a task and do it. What cannot be done, or was tried often enough, is given up with its reason."""
        claim = claim_chunk(self._recordings, job_id, name, owner=self._owner)
        if claim.attempt > MAX_ATTEMPTS:
            lost = report_failed_job(f"its worker was stopped before it was done, {MAX_ATTEMPTS} times")
            return give_up(job_id, lost)
        try:
            return work(claim)
        except Exception as error:
            failure = to_failure(error)
            if failure.status == 507:  # nothing can be written, not even a reason
                raise
            if claim.attempt < MAX_ATTEMPTS and not isinstance(error, LimitError):
                log.warning("attempt %d at %s of job %s failed: %s", claim.attempt, name, job_id, error)
                raise AttemptError(failure.message) from error
            return give_up(job_id, failure)

    def _fail(self, job_id: str, failure: Problem) -> dict[str, Any]:
        self._results.create(f"jobs/{job_id}/error.json", json.dumps(failure.to_dict()).encode())
        self._forget(job_id)
        return {"job_id": job_id, "failed": True}

    def _fail_now(self, job_id: str, failure: Problem) -> Any:
        self._fail(job_id, failure)
        raise failure

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

    def _list_channels(self, job_id: str, recording: Recording) -> list[Channel]:
        """Return the channels that a job analyses: one choice, or all by number."""
        return [*range(1, recording.channels + 1)] if self._is_of_each(job_id) else [recording.channel]

    def _is_of_each(self, job_id: str) -> bool:
        return self._read_request(job_id).get("channel") == "each"

    def _open_recording(self, job_id: str, config: InferenceConfig, channel: Channel | None = None) -> Recording:
        return self._opened.open(job_id, target_sr=config.target_sr, channel=channel)

    def _forget(self, job_id: str) -> None:
        """Close the recording of a job."""
        self._undrawn.pop(job_id, None)
        self._opened.close(job_id)

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
