"""The workers of a run: processes of this machine, a Dask cluster, or any executor.

*Conventions.* When a worker is killed, its pool of processes breaks. A new pool does its work again, alone and in
smaller pieces; after the second failure the work has failed. A process that does not finish a piece of work in its time
ends itself, even if a decoder never returns; this piece has failed at once. A Dask cluster, which starts its workers
itself, is in `anemone_lib.archive.cluster`.
"""

import faulthandler
import math
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from weakref import WeakKeyDictionary

from anemone_lib.archive.units import watch_parent
from anemone_lib.errors import ConfigError, spell_number

#: Memory of one worker process, bytes: what it loads, a chunk, and what decoders hold. Measured: 150 to 250 MB.
WORKER_BYTES = 400 << 20
#: The longest limit for a piece of work, seconds: timers of the system do not take a longer one.
MOST_S = 1e8
#: Headers or objects on servers that are read or written at once.
TRANSFERS = 16
A = TypeVar("A")
B = TypeVar("B")


class Workers:
    """An executor that can be made again after a worker was killed.

    Parameters
    ----------
    make : callable that returns an Executor
    number : int, how many pieces of work it does at once
    renewable : bool, whether another executor may be made if one is broken
    """

    def __init__(self, make: Callable[[], Executor], number: int, *, renewable: bool) -> None:
        self._make, self._number, self.renewable = make, number, renewable
        self._executor: Executor | None = None

    @property
    def number(self) -> int:
        """How many pieces of work it does at once."""
        return self._number

    def submit(self, work: Callable[..., Any], *arguments: Any, limit_s: float = math.inf) -> Future[Any]:
        """Begin a piece of work; `limit_s` is the time, in seconds, that processes and Dask workers have for it."""
        for _ in range(2):
            self._executor = self._executor or self._make()
            try:
                return self._executor.submit(work, *arguments)
            except BrokenExecutor:
                if not self.renewable:
                    raise
                self.renew()
        raise BrokenExecutor("workers end as soon as they are started")

    def wait(self, futures: Collection[Future[Any]]) -> set[Future[Any]]:
        """Wait until some pieces of work have ended; return them."""
        return wait(futures, return_when=FIRST_COMPLETED).done

    def is_late(self, future: Future[Any]) -> bool:
        """Tell whether the process of a piece of work ended itself, because the piece was not done in its time."""
        return False

    def renew(self) -> None:
        """Close an executor that is broken; the next piece of work makes another."""
        if self.renewable and self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def close(self) -> None:
        """Wait for the pieces that were begun, and drop the others."""
        if self.renewable:
            self.renew()


class Processes(Workers):
    """Processes of this machine; each has a limit for its piece of work.

    Parameters
    ----------
    number : int, of processes
    folder : pathlib.Path, where each process notes the number of its piece of work
    """

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(self._make_pool, number, renewable=True)
        self._folder, self._numbers = folder, count()
        self._out: WeakKeyDictionary[Future[Any], str] = WeakKeyDictionary()

    def _make_pool(self) -> Executor:
        method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
        context = get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["anemone_lib.archive.units"])
        return ProcessPoolExecutor(self.number, context, initializer=_begin_worker, initargs=(self._folder,))

    def submit(self, work: Callable[..., Any], *arguments: Any, limit_s: float = math.inf) -> Future[Any]:
        """Begin a piece of work; if it is not done after `limit_s` seconds, its process ends itself."""
        number = f"{next(self._numbers):020d}"
        future = super().submit(_work_in_time, number, min(limit_s, MOST_S), work, *arguments)
        self._out[future] = number
        return future

    def is_late(self, future: Future[Any]) -> bool:
        """Tell whether the process of a piece of work ended itself, because the piece was not done in its time."""
        notes = [path.read_text(errors="replace").partition("\n") for path in self._folder.iterdir()]
        return any(number == self._out.get(future) and said for number, _, said in notes)


def work_ahead(work: Callable[[A], B], things: Iterable[A]) -> Iterator[B]:
    """Do some work that waits for a server on several things at once; yield the results in order.

    Parameters
    ----------
    work : callable (thing) -> result
    things : iterable, of which only some are taken ahead, so that memory does not grow with their number

    Examples
    --------
    >>> list(work_ahead(abs, [-1, -2, -3]))
    [1, 2, 3]
    """
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(TRANSFERS, "anemone-transfer") as threads:
        for thing in things:
            waiting.append(threads.submit(work, thing))
            if len(waiting) > 2 * TRANSFERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def open_workers(
    number: int | None = None,
    *,
    memory: int | None = None,
    scheduler: str | None = None,
    executor: Executor | None = None,
    wait_minutes: float = 60.0,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Workers]:
    """Open the workers of a run.

    Parameters
    ----------
    number : int > 0, optional
        Processes; by default one a core, and no more than fit into `memory`.
    memory : int, optional
        Bytes that all processes may take together.
    scheduler : str, optional
        Address of a Dask scheduler, like ``tcp://10.0.0.4:8786``, instead of processes.
    executor : Executor, optional
        Any other, instead of both.
    wait_minutes : float >= 0
        The longest time to wait for a Dask worker that can work.
    note : callable (text), called when the run waits

    Raises
    ------
    ConfigError
        The scheduler does not answer, or the memory is too little for one worker.
    """
    if executor is not None:
        yield Workers(lambda: executor, number or getattr(executor, "_max_workers", None) or 4, renewable=False)
    elif scheduler is not None:
        from anemone_lib.archive.cluster import open_cluster

        with open_cluster(scheduler, wait_minutes=wait_minutes, note=note) as cluster:
            yield cluster
    else:
        with tempfile.TemporaryDirectory(prefix="anemone-workers-", ignore_cleanup_errors=True) as folder:
            workers = Processes(count_workers(number, memory), Path(folder))
            try:
                yield workers
            finally:
                workers.close()


def count_workers(number: int | None, memory: int | None) -> int:
    """Return the number of processes: `number`, or one for each core, as far as the memory is enough."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = number or cores
    if memory is None:
        return most
    fitting = memory // WORKER_BYTES - 1  # the run itself takes as much as a worker
    if fitting < 1:
        raise ConfigError(
            f"--memory is {spell_number(memory / 1e9, 2)} GB; the run and one worker need "
            f"{2 * WORKER_BYTES / 1e9:.2g} GB"
        )
    return min(most, fitting)


def parse_memory(text: str) -> int:
    """Read an amount of memory, like ``4GB``, ``512MiB``, ``2.5G``.

    Raises
    ------
    ConfigError
        It is not an amount of memory.

    Examples
    --------
    >>> parse_memory("4GB"), parse_memory("512 MiB")
    (4000000000, 536870912)
    """
    units = {"": 1, "B": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    units |= {f"{letter}B": units[letter] for letter in "KMGT"}
    units |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}
    number = text.strip().upper().rstrip("KMGTIB ")
    unit = text.strip().upper()[len(number) :].strip()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"--memory is {text!r}; give an amount like 4GB or 512MiB") from None


# ---------------------------------------------------------------------- in a worker process

#: The file with the number of this process's piece of work and, if the piece was late, the traceback of Python.
_note: BinaryIO | None = None


def _begin_worker(folder: Path) -> None:
    global _note
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends its workers itself
    watch_parent()
    _note = (folder / str(os.getpid())).open("wb", buffering=0)


def _work_in_time(number: str, limit_s: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do a piece of work; after the limit this process ends, even if a decoder never lets Python run."""
    assert _note is not None
    _note.seek(0)
    _note.write(f"{number}\n".encode())  # it replaces the one before, which has the same length
    faulthandler.dump_traceback_later(limit_s, exit=True, file=_note)
    try:
        return work(*arguments)
    finally:
        faulthandler.cancel_dump_traceback_later()


def was_killed(error: BaseException) -> bool:
    """Tell whether an error means that a worker ended in the middle of its work, or had no memory."""
    return isinstance(error, BrokenExecutor | MemoryError) or type(error).__name__ == "KilledWorker"
