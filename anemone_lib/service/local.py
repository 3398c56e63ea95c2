"""The service on one computer: uvicorn, a folder for jobs, a local process that works on them.

``python -m anemone_lib.service.local PORT`` serves on this port of 127.0.0.1, with the settings of the environment.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import filelock
import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from anemone_lib.service import connections
from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.guard import CallerGuard
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.lane import Lane
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import Settings
from anemone_lib.service.stores import Store

log = logging.getLogger(__name__)

#: Seconds between two searches for expired jobs.
EXPIRE_EVERY_S = 3600.0
#: Seconds that requests under way get when the server is stopped.
GRACE_S = 3


def make_local_app(settings: Settings) -> FastAPI:
    """Make an app that works on its jobs itself.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    app : FastAPI
        While it runs, it owns the folder of its jobs.

    Raises
    ------
    Problem
        The model cannot be loaded, or does not fit the settings.
    """
    engine = Engine(settings)
    engine.load()
    guards = [Middleware(CallerGuard, hosts=settings.allowed_hosts, origins=settings.cors_allowed_origins)]
    stores = make_stores(
        input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
    )
    if stores is None:
        return create_app(engine, guards=guards)
    is_folder = isinstance(stores[0], FolderStore)
    # A folder has one server, so the claims of this server are its own after a restart, too.
    lane = Lane(settings, *stores, owner="local" if is_folder else f"local-{uuid4().hex}")
    jobs = Jobs(
        engine,
        *stores,
        lane.launch,
        cancel=lane.cancel,
        find_trouble=lane.find_trouble,
        is_drawing=lane.is_drawing,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _own_store(settings.store) if settings.store and is_folder else contextlib.nullcontext():
            if is_folder:
                _forget_the_dead(*stores)
                lane.resume()
            lane.open()
            await run_in_threadpool(engine.warm_up)
            expiring = asyncio.create_task(_expire_jobs(jobs, settings.jobs_expire_days * 86400))
            try:
                yield
            finally:
                expiring.cancel()
                lane.close()

    return create_app(engine, jobs, guards=guards, lifespan=lifespan)


@contextmanager
def _own_store(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; two servers would do each other's jobs and drop each other's claims."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Problem(
            503, "misconfigured", f"another server uses the folder {folder}; stop it, or choose another with --store"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _forget_the_dead(recordings: Store, results: Store) -> None:
    """Drop the claims and the half-written files of a server that has ended."""
    for store in (recordings, results):
        if isinstance(store, FolderStore):
            store.remove_leftovers()
    for prefix in {key.rpartition("/claims/")[0] for key in recordings.list_keys("jobs/") if "/claims/" in key}:
        recordings.delete(f"{prefix}/claims/")


async def _expire_jobs(jobs: Jobs, older_than_s: float) -> None:
    while True:
        try:
            for job_id in await run_in_threadpool(jobs.expire, older_than_s=older_than_s):
                log.info("job %s has expired and was removed", job_id)
        except OSError:
            log.exception("jobs that have expired could not be removed")
        await asyncio.sleep(EXPIRE_EVERY_S)


def make_app_from_env() -> FastAPI:
    """Make the app with the settings of the environment.

    Command: ``uvicorn --factory anemone_lib.service.local:make_app_from_env``.

    Returns
    -------
    app : FastAPI
    """
    start_logging()
    return make_local_app(Settings.from_env())


def make_server(app: FastAPI, *, host: str = "127.0.0.1", port: int = 8000) -> uvicorn.Server:
    """Make the server of a local app: idle and slow connections end, and it stops within seconds.

    Parameters
    ----------
    app : FastAPI
    host : str, address to listen on
    port : int, 1 to 65535

    Returns
    -------
    server : uvicorn.Server
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        http=connections.PatientProtocol,
        ws="none",
        timeout_keep_alive=connections.KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    return uvicorn.Server(config)


def run_server(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until the process is stopped.

    Parameters
    ----------
    settings : Settings
    host : str, address to listen on
    port : int, 1 to 65535

    Raises
    ------
    Problem
        The model cannot be loaded, or does not fit the settings; another server uses the folder of jobs.
    """
    start_logging()
    if settings.store:
        with _own_store(settings.store):  # otherwise an error at the start of the app would be a traceback
            pass
    make_server(make_local_app(settings), host=host, port=port).run()


def start_logging() -> None:
    """Write the log to standard error, from the level of the variable ``LOG_LEVEL`` (default INFO)."""
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(message)s")


if __name__ == "__main__":
    try:
        run_server(Settings.from_env(), port=int(sys.argv[1]))
    except Problem as problem:
        sys.exit(f"error: {problem}")
