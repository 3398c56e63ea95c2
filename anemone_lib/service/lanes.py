"""Local processes that work on jobs. A lane is a thread with one process of its own.

If the process is killed, only its current task is lost. The lane gives this task to a new process.
"""

import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from anemone_lib.service.claims import LEASE_S, MAX_ATTEMPTS, BusyError
from anemone_lib.service.engine import Engine
from anemone_lib.service.jobs import make_stores
from anemone_lib.service.settings import Settings
from anemone_lib.service.stores import Store
from anemone_lib.service.work import Worker, explain_failure, run_task

log = logging.getLogger(__name__)

#: Seconds to wait before a task that another worker has claimed is tried again.
BUSY_WAIT_S = LEASE_S / 20


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task; `task` has the form that `anemone_lib.service.work.run_task` takes."""

    task: Mapping[str, Any]
    number: int = 1


class Lanes:
    """Works on jobs in local processes. Each process does one task at a time.

    Parameters
    ----------
    settings : Settings
    n_lanes : int > 0, number of processes
    """

    def __init__(self, settings: Settings, *, n_lanes: int = os.cpu_count() or 1) -> None:
        self._settings, self._owner = settings, f"local-{uuid4().hex}"
        self._attempts: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._n_waiting_chunks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._n_lanes = n_lanes
        self._threads: list[threading.Thread] = []

    def launch(self, job_id: str) -> None:
        """Start the work on a job, if it has not started yet."""
        with self._lock:
            if job_id in self._n_waiting_chunks or self._closed.is_set():
                return
            self._n_waiting_chunks[job_id] = 0
            if not self._threads:  # processes take memory, so they start with the first job
                self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self._n_lanes)]
                for thread in self._threads:
                    thread.start()
        self._put("plan", job_id)

    def resume(self, recordings: Store, results: Store) -> None:
        """Continue the jobs that were started and are neither done nor failed."""
        ended = {
            key.split("/")[1] for key in results.list_keys("jobs/") if key.endswith(("/result.json", "/error.json"))
        }
        for key in recordings.list_keys("jobs/"):
            job_id = key.split("/")[1]
            if key.endswith("/started.json") and job_id not in ended:
                self.launch(job_id)

    def close(self) -> None:
        """Stop the work. Unfinished jobs continue at the next start."""
        self._closed.set()
        for _ in self._threads:
            self._attempts.put(None)
        for thread in self._threads:
            thread.join()

    # ------------------------------------------------------------------ a lane

    def _put(self, name: str, job_id: str, **fields: Any) -> None:
        self._attempts.put(Attempt({"task": name, "job_id": job_id, **fields}))

    def _run(self) -> None:
        process = self._start_process()
        while (attempt := self._attempts.get()) is not None and not self._closed.is_set():
            task = attempt.task
            try:
                outcome = process.submit(_run_task, task).result()
            except BusyError:
                timer = threading.Timer(BUSY_WAIT_S, self._attempts.put, (attempt,))
                timer.daemon = True
                timer.start()
            except Exception as error:
                if isinstance(error, BrokenProcessPool):
                    process.shutdown(wait=False)
                    process = self._start_process()
                if attempt.number < MAX_ATTEMPTS:
                    log.warning("%s of job %s failed (%s), trying again", task["task"], task["job_id"], error)
                    self._attempts.put(Attempt(task, attempt.number + 1))
                else:
                    log.exception("%s of job %s failed for good", task["task"], task["job_id"])
                    self._put_next(task, None, explain_failure(error))
            else:
                self._put_next(task, outcome, "")
        process.shutdown(wait=False, cancel_futures=True)

    def _put_next(self, task: Mapping[str, Any], outcome: Mapping[str, Any] | None, reason: str) -> None:
        """Queue what follows a task: the chunks after the plan, the merge after the last chunk.

        `outcome` is None, and `reason` says why, if the last attempt at the task failed.
        """
        name, job_id = task["task"], task["job_id"]
        if name == "plan" and outcome is not None:
            with self._lock:
                self._n_waiting_chunks[job_id] = len(outcome["chunks"])
            for chunk in outcome["chunks"]:
                self._put("score_chunk", job_id, chunk=chunk)
        elif name == "score_chunk":
            with self._lock:
                self._n_waiting_chunks[job_id] -= 1
                is_last = self._n_waiting_chunks[job_id] == 0
            if is_last:
                self._put("merge", job_id)
        elif name == "fail" or outcome is not None:
            with self._lock:
                self._n_waiting_chunks.pop(job_id)
        else:
            self._put("fail", job_id, reason=f"{name}: {reason}")

    def _start_process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            1, mp_context=context, initializer=_start_worker, initargs=(self._settings, self._owner)
        )


# ---------------------------------------------------------------------- in the process

_worker: Worker | None = None


def _start_worker(settings: Settings, owner: str) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stores = make_stores(
        input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
    )
    assert stores is not None
    _worker = Worker(Engine(settings), *stores, owner=owner)


def _end_with_parent() -> None:
    """End this process when the server is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_task(task: Mapping[str, Any]) -> dict[str, Any]:
    assert _worker is not None
    return run_task(_worker, task)
