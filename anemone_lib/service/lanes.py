"""The tasks of jobs in local processes: a lane is a thread with one process of its own.

A process that is killed takes nothing with it but its own task, which the lane gives to a new process.
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

from anemone_lib.service.engine import Engine
from anemone_lib.service.jobs import make_stores
from anemone_lib.service.settings import Settings
from anemone_lib.service.stores import Store
from anemone_lib.service.work import LEASE_S, MAX_ATTEMPTS, BusyError, Worker, explain_failure

log = logging.getLogger(__name__)

#: Seconds after which a task that somebody else has claimed is looked at again.
BUSY_WAIT_S = LEASE_S / 20


@dataclass(frozen=True)
class Task:
    """One call of a `Worker`."""

    name: str
    job_id: str
    given: Mapping[str, Any] | None = None
    attempt: int = 1


class Lanes:
    """Works on jobs in local processes, one task a process at a time.

    Parameters
    ----------
    settings : Settings
    n_lanes : int > 0
    """

    def __init__(self, settings: Settings, *, n_lanes: int = os.cpu_count() or 1) -> None:
        self._settings, self._owner = settings, f"local-{uuid4().hex}"
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._n_lanes = n_lanes
        self._threads: list[threading.Thread] = []

    def launch(self, job_id: str) -> None:
        """Have a job worked on, unless it is already."""
        with self._lock:
            if job_id in self._left or self._closed.is_set():
                return
            self._left[job_id] = 0
            if not self._threads:  # processes take memory: only when there is a job
                self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self._n_lanes)]
                for thread in self._threads:
                    thread.start()
        self._tasks.put(Task("plan", job_id))

    def resume(self, recordings: Store, results: Store) -> None:
        """Go on with the jobs that were started and are neither done nor failed."""
        ended = {key.split("/")[1] for key in results.keys("jobs/") if key.endswith(("/result.json", "/error.json"))}
        for key in recordings.keys("jobs/"):
            job_id = key.split("/")[1]
            if key.endswith("/started.json") and job_id not in ended:
                self.launch(job_id)

    def close(self) -> None:
        """Stop; what is unfinished goes on at the next start."""
        self._closed.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    # ------------------------------------------------------------------ a lane

    def _run(self) -> None:
        process = self._process()
        while (task := self._tasks.get()) is not None and not self._closed.is_set():
            try:
                result = process.submit(_work, task.name, task.job_id, task.given).result()
            except BusyError:
                timer = threading.Timer(BUSY_WAIT_S, self._tasks.put, (task,))
                timer.daemon = True
                timer.start()
            except Exception as error:
                if isinstance(error, BrokenProcessPool):
                    process.shutdown(wait=False)
                    process = self._process()
                if task.attempt < MAX_ATTEMPTS:
                    log.warning("%s of job %s failed (%s), trying again", task.name, task.job_id, error)
                    self._tasks.put(Task(task.name, task.job_id, task.given, task.attempt + 1))
                else:
                    log.exception("%s of job %s failed for good", task.name, task.job_id)
                    self._follow(task, None, explain_failure(error))
            else:
                self._follow(task, result, "")
        process.shutdown(wait=False, cancel_futures=True)

    def _follow(self, task: Task, result: Mapping[str, Any] | None, reason: str) -> None:
        """Put what comes after a task: the pieces after the plan, the merge after the last piece."""
        job_id = task.job_id
        if task.name == "plan" and result is not None:
            pieces = result["chunks"]
            with self._lock:
                self._left[job_id] = len(pieces)
            for piece in pieces:
                self._tasks.put(Task("score_chunk", job_id, piece))
        elif task.name == "score_chunk":
            with self._lock:
                self._left[job_id] -= 1
                last = self._left[job_id] == 0
            if last:
                self._tasks.put(Task("merge", job_id))
        elif task.name == "fail" or result is not None:
            with self._lock:
                self._left.pop(job_id)
        else:
            self._tasks.put(Task("fail", job_id, {"reason": f"{task.name}: {reason}"}))

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self._settings, self._owner))


# ---------------------------------------------------------------------- in the process

_worker: Worker | None = None


def _begin(settings: Settings, owner: str) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stores = make_stores(
        input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
    )
    assert stores is not None
    _worker = Worker(Engine(settings), *stores, owner=owner)


def _end_with_parent() -> None:
    """Leave no process behind when the server is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(name: str, job_id: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    assert _worker is not None
    if name == "plan":
        return _worker.plan(job_id)
    if name == "score_chunk":
        return _worker.score_chunk(job_id, given or {})
    if name == "merge":
        return _worker.merge(job_id)
    return _worker.fail(job_id, str((given or {})["reason"]))
