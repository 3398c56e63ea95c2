"""One task of a job, as a message names it."""

from collections.abc import Mapping
from typing import Any

from anemone_lib.service.work import Worker


def run_task(worker: Worker, task: Mapping[str, Any], *, deadline: float | None = None) -> dict[str, Any]:
    """Do one task of a job, as a message names it.

    Parameters
    ----------
    worker : Worker
    task : mapping
        ``task`` is ``plan``, ``score_chunk``, ``merge``, ``draw`` or ``fail``; ``job_id`` is the job. ``score_chunk``
        needs ``chunk``; ``merge`` takes ``failed``; ``fail`` takes ``reason``.
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
    if name == "draw":
        return worker.draw(job_id)
    if name == "fail":
        return worker.fail(job_id, str(task["reason"]))
    raise ValueError(f"task is {name!r}; it must be plan, score_chunk, merge, draw or fail")
