"""The service on one computer: uvicorn, a folder for jobs, local processes.

``python -m anemone_lib.service.local PORT`` serves on this port of 127.0.0.1, with the settings of the environment.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.lanes import Lanes
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import Settings


def make_local_app(settings: Settings) -> FastAPI:
    """Make an app that works on its jobs itself.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    app : FastAPI

    Raises
    ------
    Problem
        The model cannot be loaded, or does not fit the settings.
    """
    engine = Engine(settings)
    engine.load()
    stores = make_stores(
        input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
    )
    if stores is None:
        return create_app(engine)
    lanes = Lanes(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.store:
            lanes.resume(*stores)
        yield
        lanes.close()

    return create_app(engine, Jobs(engine, *stores, lanes.launch), lifespan=lifespan)


def make_app_from_env() -> FastAPI:
    """Make the app with the settings of the environment.

    Command: ``uvicorn --factory anemone_lib.service.local:make_app_from_env``.

    Returns
    -------
    app : FastAPI
    """
    start_logging()
    return make_local_app(Settings.from_env())


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
        The model cannot be loaded, or does not fit the settings.
    """
    start_logging()
    uvicorn.run(make_local_app(settings), host=host, port=port, log_level="warning")


def start_logging() -> None:
    """Write the log to standard error, from the level of the variable ``LOG_LEVEL`` (default INFO)."""
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(message)s")


if __name__ == "__main__":
    try:
        run_server(Settings.from_env(), port=int(sys.argv[1]))
    except Problem as problem:
        sys.exit(f"error: {problem}")
