"""The local process that works on jobs: one, with as many threads as there are cores.

It is a separate process, so that a recording that crashes a decoder ends no request, and a job can be stopped at once.
It starts with the server and has the model ready when the first job comes. Jobs take turns, task by task: a short one
does not wait for the end of a long one. If the process is killed, only its task is lost, and a new process does it
again.
"""

import importlib
import json
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from anemone_lib.service.claims import LEASE_S, BusyError
from anemone_lib.service.engine import Engine
from anemone_lib.service.jobs import make_stores
from anemone_lib.service.problems import Problem, to_failure
from anemone_lib.service.settings import Settings
from anemone_lib.service.stores import Store
from anemone_lib.service.tasks import run_task
from anemone_lib.service.work import AttemptError, Worker

log = logging.getLogger(__name__)

#: Seconds to wait before a task that another worker has claimed is tried again.
BUSY_WAIT_S = LEASE_S / 20
#: Seconds that the current task of a job gets to end by itself when the job is cancelled.
PATIENCE_S = 1.0
#: Number of consecutive deaths of the process after which a job fails.
MAX_DEATHS = 10
#: Seconds without a task after which the process imports the code for pictures, which takes as long as a short job.
IDLE_S = 0.5
#: Chunks of the library in one task of a job.
TASK_CHUNKS = 8


class Lane:
    """Works on jobs in a local process.

    Parameters
    ----------
    settings : Settings
    recordings, results : Store
    owner : str, to whom the claims on tasks belong
    """

    def __init__(self, settings: Settings, recordings: Store, results: Store, *, owner: str) -> None:
        self._settings, self._recordings, self._results, self._owner = settings, recordings, results, owner
        self._jobs: OrderedDict[str, deque[dict[str, Any]]] = OrderedDict()
        self._troubles: dict[str, str] = {}
        self._current = ""
        self._changed = threading.Condition()
        self._closed = False
        self._process: Any = None
        self._thread = threading.Thread(target=self._run, name="anemone-lane", daemon=True)

    def open(self) -> None:
        """Start the process."""
        self._thread.start()

    def launch(self, job_id: str) -> None:
        """Start the work on a job, if it has not started yet."""
        with self._changed:
            if job_id not in self._jobs and not self._closed:
                self._troubles.pop(job_id, None)
                self._jobs[job_id] = deque([{"task": "plan", "job_id": job_id}])
                self._changed.notify_all()

    def resume(self) -> None:
        """Continue the jobs that were started and are neither done nor failed."""
        ended = {
            key.split("/")[1]
            for key in self._results.list_keys("jobs/")
            if key.endswith(("/result.json", "/error.json"))
        }
        for key in self._recordings.list_keys("jobs/"):
            job_id = key.split("/")[1]
            if key.endswith("/started.json") and job_id not in ended:
                self.launch(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop the work on a job. After that nothing more is written for it."""
        with self._changed:
            self._jobs.pop(job_id, None)
            self._troubles.pop(job_id, None)
            # A task that ends soon is cheaper than another process.
            is_over = self._changed.wait_for(lambda: self._current != job_id, timeout=PATIENCE_S)
            if not is_over and self._process is not None:
                self._process.kill()
            self._changed.wait_for(lambda: self._current != job_id, timeout=10)

    def find_trouble(self, job_id: str) -> str:
        """Return why a job cannot go on, if the reason could not be stored; otherwise an empty text."""
        return self._troubles.get(job_id, "")

    def is_drawing(self, job_id: str) -> bool:
        """Return whether the picture of a job is not drawn yet."""
        return job_id in self._jobs

    def close(self) -> None:
        """Stop the work at once. Unfinished jobs continue at the next start."""
        with self._changed:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # ------------------------------------------------------------------ the thread that hands out tasks

    def _run(self) -> None:
        connection, n_deaths = self._start_process(), 0
        while (task := self._take()) is not None:
            try:
                connection.send(task)
                error, outcome = connection.recv()
                n_deaths = 0
            except (EOFError, OSError):
                if self._closed:
                    break
                log.warning("the process that works on jobs was killed; starting another")
                connection.close()
                connection = self._start_process()
                n_deaths += 1
                error, outcome = AttemptError("the process was killed"), None
                if n_deaths > MAX_DEATHS:
                    error = RuntimeError("the process that works on jobs dies again and again")
            self._note(task, error, outcome)
        connection.close()
        self._process.kill()
        self._process.join()

    def _take(self) -> dict[str, Any] | None:
        """Wait for a task; the jobs take turns."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if self._closed:
                return None
            self._current = job_id = next(iter(self._jobs))
            self._jobs.move_to_end(job_id)
            return self._jobs[job_id][0]

    def _note(self, task: Mapping[str, Any], error: Exception | None, outcome: Any) -> None:
        """Note the outcome of a task, and queue the tasks that follow it."""
        job_id = task["job_id"]
        with self._changed:
            self._current = ""
            self._changed.notify_all()
            tasks = self._jobs.get(job_id)
            if tasks is None or isinstance(error, AttemptError):  # cancelled, or to be tried once more
                return
            if isinstance(error, BusyError):
                self._changed.wait_for(lambda: self._closed, timeout=BUSY_WAIT_S if len(self._jobs) == 1 else 0.1)
                return
            if error is None:
                tasks.popleft()
                tasks.extend(_follow(task, outcome))
            if error is not None or not tasks:
                del self._jobs[job_id]
        if error is not None:
            self._give_up(job_id, to_failure(error))

    def _give_up(self, job_id: str, failure: Problem) -> None:
        """Store why a job cannot go on; if that is impossible, remember it."""
        try:
            self._results.create(f"jobs/{job_id}/error.json", json.dumps(failure.to_dict()).encode())
        except Exception as error:  # noqa: BLE001 whatever it is, the reason must be told
            log.error("job %s cannot go on: %s (%s)", job_id, failure, error)
            self._troubles[job_id] = failure.message

    def _start_process(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with self._changed:
            self._process = context.Process(
                target=_work, args=(theirs, self._settings, self._owner), name="anemone-work", daemon=True
            )
            self._process.start()
            if self._closed:
                self._process.kill()
        theirs.close()
        return ours


def _follow(task: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks that follow one: the chunks and the merge after the plan, the picture after the merge."""
    job_id = task["job_id"]
    if task["task"] == "plan":
        chunks = [{"task": "score_chunk", "job_id": job_id, "chunk": chunk} for chunk in outcome["chunks"]]
        return [*chunks, {"task": "merge", "job_id": job_id}]
    return [{"task": "draw", "job_id": job_id}] if task["task"] == "merge" else []


# ---------------------------------------------------------------------- in the process


def _work(connection: Connection, settings: Settings, owner: str) -> None:
    """Do the tasks that arrive over a connection, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the server ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stores = make_stores(
        input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
    )
    assert stores is not None
    engine = Engine(settings)
    engine.warm_up()
    with ThreadPoolExecutor(os.cpu_count() or 1, "anemone-score") as threads:
        worker = Worker(engine, *stores, owner=owner, executor=threads, task_chunks=TASK_CHUNKS, does_all=True)
        if not connection.poll(IDLE_S):
            importlib.import_module("anemone_lib.plots.recording")
        while True:
            try:
                task = connection.recv()
            except EOFError:
                return
            answer: tuple[Exception | None, Any]
            try:
                answer = None, run_task(worker, task)
            except Exception as error:
                if not isinstance(error, AttemptError | BusyError):
                    log.exception("%s of job %s", task["task"], task["job_id"])
                answer = _make_sendable(error), None
            connection.send(answer)


def _make_sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 some errors of other packages cannot travel
        return RuntimeError(str(to_failure(error)))
    return error


def _end_with_parent() -> None:
    """End this process when the server is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
