"""A Dask cluster as workers: they come and go, and the run waits for them for a limited time.

*Conventions.* If no result comes back, the run asks the scheduler which workers are working. If no worker is working,
the run says so after `SAY_S`, and ends after the time that it may wait. Dask itself starts a worker again that was
ended because of its memory, and gives its pieces to other workers, three times.

A worker above 80 % of its memory is *paused*: it begins nothing new until it has room. If its memory does not come
back, it stays paused and keeps its pieces, so the run has Dask start it again.

A piece of work that is not done in its time has failed, and its worker begins the next piece. No program can end a
thread: the piece may keep its memory until its worker ends. A decoder that never lets Python run stops the whole
worker; Dask starts a worker again that gives no sign of life for 5 minutes (its setting ``worker-ttl``).
"""

import contextvars
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from anemone_lib.archive.units import Outcome
from anemone_lib.archive.workers import MOST_S, Workers
from anemone_lib.errors import ConfigError, spell_count, spell_number

#: Seconds after which the scheduler is asked again, and after which the run says that no worker works.
ASK_S, SAY_S = 10.0, 60.0
#: Seconds that the run waits for an answer of the scheduler.
ANSWER_S = 60.0
LOST = "the connection to the scheduler was lost"
LATE = (
    "it was not done in its time (--timeout), and its worker went on without it; a decoder may never return from it, "
    "or the disk may not answer"
)


class Cluster(Workers):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    wait_minutes : float >= 0
        The longest time to wait for a worker that can work.
    note : callable (text), called when the run waits, with the reason
    """

    def __init__(self, client: Any, *, wait_minutes: float, note: Callable[[str], None]) -> None:
        super().__init__(client.get_executor, 4, renewable=False)
        self._client, self._wait_s, self._note = client, 60 * wait_minutes, note
        self._address = client.scheduler.address
        self._asked: dict[Future[Any], Any] = {}  # Dask forgets a piece of work to which nobody refers
        self._counted = -math.inf

    @property
    def number(self) -> int:
        """Twice the threads of all workers; at least 4, because workers may still join."""
        if time.monotonic() - self._counted >= ASK_S:
            self._counted = time.monotonic()
            with suppress(OSError, TimeoutError):  # if it stays away, `wait` ends the run
                self._number = max(4, 2 * sum(self._ask("ncores").values()))
        return self._number

    def submit(self, work: Callable[..., Any], *arguments: Any, limit_s: float = math.inf) -> Future[Any]:
        """Begin a piece of work, which has failed if a worker does not finish it in `limit_s` seconds."""
        self._check_connection()
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        self._asked[answer] = self._client.submit(_work_in_time, min(limit_s, MOST_S), work, *arguments, pure=False)
        self._asked[answer].add_done_callback(lambda asked: self._hand_over(asked, answer))
        return answer

    def _hand_over(self, asked: Any, answer: Future[Any]) -> None:
        """Pass on the result or the error of a piece of work, even if it was lost: the executor of Dask does not."""
        try:
            error = asked.exception(timeout=ANSWER_S) if asked.status == "error" else None
            found = None if error else asked.result(timeout=ANSWER_S)
        except BaseException as lost:  # noqa: BLE001 this is a thread of Dask, which would only log it
            error = BrokenExecutor(f"{LOST} ({type(lost).__name__})")
        del self._asked[answer]
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def _check_connection(self) -> None:
        if self._client.status != "running":  # Dask would wait forever
            raise BrokenExecutor(LOST)

    def wait(self, futures: Collection[Future[Any]]) -> set[Future[Any]]:
        """Wait until some pieces of work have ended; return them.

        Raises
        ------
        BrokenExecutor
            No worker worked for as long as a run may wait.
        """
        since, said = None, False
        while not (ready := wait(futures, ASK_S, FIRST_COMPLETED).done):
            self._check_connection()
            trouble, paused = self._find_trouble()
            if not trouble:
                since = None
                continue
            now = time.monotonic()
            since = now if since is None else since
            if now - since >= self._wait_s:
                raise BrokenExecutor(f"{trouble}; the run waited {self._wait_s / 60:.4g} minutes (--wait)")
            if now - since >= SAY_S and not said:
                said = True
                self._note(f"nothing is being analysed: {trouble}; the run waits up to {self._wait_s / 60:.4g} minutes")
                self._restart(paused)
        if said:
            self._note("the cluster is at work again")
        return ready

    def _find_trouble(self) -> tuple[str, list[str]]:
        """Say why no worker is working, and name paused workers that can be started again; empty if one is working."""
        address = self._address
        try:
            workers = self._ask("identity", n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            return f"the scheduler at {address} does not answer ({type(error).__name__})", []
        if any(worker["metrics"].get("task_counts", {}).get("executing") for worker in workers.values()):
            return "", []
        paused = {name: worker for name, worker in workers.items() if worker["status"] == "paused"}
        if paused:
            least = min(worker["memory_limit"] for worker in paused.values()) / 1e9
            return (
                f"of {spell_count(len(workers), 'worker')} at {address}, {len(paused):,} "
                f"{'is' if len(paused) == 1 else 'are'} paused, because more than 80 % of the memory is in use "
                f"({spell_number(least, 2)} GB a worker): give workers more memory (--memory-limit)",
                [name for name, worker in paused.items() if worker["nanny"]],
            )
        if workers:
            return f"none of {spell_count(len(workers), 'worker')} at {address} begins a piece of work", []
        return f"there is no worker at {address}: start workers (dask worker {address})", []

    def _restart(self, names: list[str]) -> None:
        if names:
            try:
                self._client.restart_workers(names, timeout=ANSWER_S, raise_for_error=False)
            except (OSError, TimeoutError, ValueError) as error:
                self._note(f"paused workers could not be started again: {error}")

    def _ask(self, what: str, **options: Any) -> Any:
        """Ask the scheduler for something; if it does not answer, raise an error instead of waiting forever."""
        asked = getattr(self._client.scheduler, what)
        return self._client.sync(asked, callback_timeout=ANSWER_S, **options)


class _Lane(threading.Thread):
    """A thread that does the pieces of work of a Dask thread, one after the other, so that its model is loaded once."""

    def __init__(self) -> None:
        super().__init__(name="anemone-pieces", daemon=True)
        self._pieces: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self.start()

    def submit(self, piece: Callable[[], Any]) -> Future[Any]:
        """Begin a piece of work."""
        answer: Future[Any] = Future()
        self._pieces.put((answer, piece))
        return answer

    def run(self) -> None:
        """Do every piece of work that is submitted."""
        while True:
            answer, piece = self._pieces.get()
            try:
                answer.set_result(piece())
            except BaseException as error:  # noqa: BLE001 it is raised where the answer is read
                answer.set_exception(error)
            del answer, piece  # what they refer to is free while the next piece is awaited


#: The lane of each thread of a Dask worker.
_lanes = threading.local()


def _work_in_time(limit_s: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do a piece of work in a lane; after the limit return that it has failed, and leave the lane to it."""
    lane = getattr(_lanes, "lane", None) or _Lane()
    _lanes.lane = lane
    # The context says which worker this is.
    answer = lane.submit(partial(contextvars.copy_context().run, work, *arguments))
    if wait([answer], limit_s).done:
        return answer.result()
    del _lanes.lane
    return Outcome("failed", LATE)


@contextmanager
def open_cluster(address: str, *, wait_minutes: float, note: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to a Dask scheduler.

    Raises
    ------
    ConfigError
        It does not answer.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--scheduler needs Dask: pip install 'anemone-lib[archive]'") from None
    try:
        client = Client(address, timeout="20s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(f"--scheduler is {address}, where no Dask scheduler answers: {error}") from None
    try:
        yield Cluster(client, wait_minutes=wait_minutes, note=note)
    finally:
        client.close()
