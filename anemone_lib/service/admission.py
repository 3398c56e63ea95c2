"""Limit how many recordings a service analyses at once, and how many wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from anemone_lib.service.problems import report_busy

T = TypeVar("T")


class Admission:
    """Accepts a limited number of requests, and lets fewer work at once; other requests get 503 (busy).

    Parameters
    ----------
    n_working : int > 0, requests that work at once
    n_places : int >= n_working, requests that work, wait or are received
    """

    def __init__(self, *, n_working: int, n_places: int) -> None:
        self._n_places, self._n_inside, self._n_working = n_places, 0, n_working
        self._turns = asyncio.Semaphore(n_working)

    def count_working(self) -> int:
        """Count the requests that work or wait for their turn, because they slow each other down."""
        return min(self._n_inside, self._n_working)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Take a place until the end of the ``with`` block.

        Raises
        ------
        Problem
            503: all places are taken.
        """
        if self._n_inside >= self._n_places:
            raise report_busy(f"{self._n_inside} recordings are being analysed or wait")
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

    @asynccontextmanager
    async def _turn(self, deadline: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                await self._turns.acquire()
        except TimeoutError:
            raise report_busy("this recording waited as long as one call may take") from None
        try:
            yield
        finally:
            self._turns.release()

    async def work(self, request: Request, function: Callable[[], T], *, deadline: float | None) -> T:
        """Wait for a turn, and call a function in a thread.

        Parameters
        ----------
        request : Request, of which the body was read; if its client is gone, nothing is done
        function : callable
        deadline : float, optional
            Time of `time.monotonic` in seconds until which it may wait.

        Returns
        -------
        result : what the function returns

        Raises
        ------
        Problem
            503: there was no turn in time.
        """
        async with self._turn(deadline):
            if await request.is_disconnected():
                raise ClientDisconnect
            return await run_in_threadpool(function)
