"""Pieces of work at the workers: they are handed out, collected, and done again if a worker was killed.

*Conventions.* Only as many pieces are handed out as keep the workers busy. When a process is killed, its pool breaks:
all pieces that were handed out are done again, one at a time, first as before and then with less memory; a piece that
is not done in its time is given up. Other executors (Dask) go on without the worker and try its pieces again
themselves. A piece that they give up is done with less memory beside the others, and at the end alone, because another
piece may have killed the worker.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from anemone_lib.archive.units import Heard, Outcome, Task
from anemone_lib.archive.workers import Workers, was_killed
from anemone_lib.detection.events import Event
from anemone_lib.errors import AnemoneError
from anemone_lib.scoring.scores import Chunk, ChunkScores, ScoreCache

KILLED = (
    "a worker process was killed while it analysed this recording, also when it was done in small pieces; the memory "
    "may not be enough for it, or a decoder may not survive it"
)
LATE = (
    "it was not done in its time (--timeout), so that its worker process was ended; a decoder may never return from "
    "it, or the disk may not answer"
)


@dataclass
class Large:
    """A recording that is done in stretches: the results so far, and the number of pieces that are left."""

    task: Task
    cache: ScoreCache
    todo: int
    heard: Heard | Outcome | None = None
    parts: dict[Chunk, ChunkScores | str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Job:
    """A piece of work: a recording; a stretch of it; hearing it; its last piece; calls of events; noise.

    `anemone_lib.archive.running.Run` chooses the function of `anemone_lib.archive.units` for it.
    """

    row: Mapping[str, Any]
    task: Task
    chunk: Chunk | None = None
    large: Large | None = None
    events: tuple[Event, ...] | None = None
    noise: bool = False
    hear: bool = False
    killed: int = 0

    def shrink(self) -> "Job":
        """Return the same piece, to be done with less memory, after a worker was killed."""
        return replace(self, task=self.task.shrink(), killed=self.killed + 1)


class GoneError(Exception):
    """The workers do no more work; what they did before was collected."""


class Pieces:
    """The pieces of work that the workers have.

    Parameters
    ----------
    workers : Workers
    submit : callable (Job) that gives it to the workers and returns a Future
    """

    def __init__(self, workers: Workers, submit: Callable[[Job], Future[Any]]) -> None:
        self._workers, self._submit = workers, submit
        self._out: dict[Future[Any], Job] = {}
        self._alone: list[Job] = []
        self._broken: BaseException | None = None

    def __bool__(self) -> bool:
        return bool(self._out or self._alone) or self._broken is not None

    @property
    def full(self) -> bool:
        """Whether something has to be collected before more is handed out."""
        return self._broken is not None or len(self._out) >= 2 * self._workers.number

    def begin(self, job: Job) -> None:
        """Hand out a piece; if no worker takes it, `collect` says so after the pieces that were handed out before."""
        try:
            self._out[self._submit(job)] = job
        except BrokenExecutor as error:
            self._broken = error

    def collect(self) -> Iterator[tuple[Job, Any]]:
        """Wait until some pieces are done, and yield them with their results.

        Raises
        ------
        GoneError
            The workers are gone, or an error ended a piece that is not about its recording.
        """
        if self._alone and not self._out:
            self.begin(self._alone.pop())
        if not self._out:
            raise GoneError(_spell(self._broken)) from self._broken
        try:
            ready = self._workers.wait(self._out)
        except BrokenExecutor as error:
            raise GoneError(str(error)) from error
        killed: list[tuple[Future[Any], Job]] = []
        for future in ready:
            job = self._out.pop(future)
            reason = future.exception()
            if reason is None:
                yield job, future.result()
            elif not was_killed(reason):
                self._refuse(reason)
            elif isinstance(reason, BrokenExecutor) and not self._workers.renewable:
                self._broken = reason
            else:
                killed.append((future, job))
        if self._workers.renewable:
            yield from self._do_again(killed)
            return
        for _, job in killed:
            if not job.killed:
                self.begin(job.shrink())
            elif job.killed == 1:
                self._alone.append(job.shrink())
            else:
                yield job, Outcome("failed", KILLED)

    def cancel(self) -> None:
        """Cancel the pieces that have not begun."""
        for future in self._out:
            future.cancel()

    def collect_rest(self) -> Iterator[tuple[Job, Any]]:
        """Cancel the pieces that have not begun, wait for the others, and yield those that were done."""
        self.cancel()
        while self._out:
            future, job = self._out.popitem()
            if not future.cancelled() and future.exception() is None:
                yield job, future.result()

    def _do_again(self, killed: list[tuple[Future[Any], Job]]) -> Iterator[tuple[Job, Any]]:
        """Do the pieces again, one after the other, that were handed out when a killed worker broke the pool."""
        if not killed:
            return
        wait(self._out)
        for future, job in list(self._out.items()):
            if future.exception() is None:
                yield job, future.result()
            else:
                killed.append((future, job))
            del self._out[future]
        self._workers.renew()
        for future, job in killed:
            late = self._workers.is_late(future)
            yield job, Outcome("failed", LATE) if late else self._do_alone(job)

    def _do_alone(self, job: Job) -> Any:
        for one in (job, job.shrink()):
            future = self._submit(one)
            error = future.exception()
            if error is None:
                return future.result()
            if not was_killed(error):
                self._refuse(error)
            self._workers.renew()
            if self._workers.is_late(future):
                return Outcome("failed", LATE)
        return Outcome("failed", KILLED)

    def _refuse(self, error: BaseException) -> None:
        if isinstance(error, AnemoneError):
            raise error
        raise GoneError(_spell(error)) from error


def _spell(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
