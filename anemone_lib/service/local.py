"""The service on a laptop: uvicorn, a folder for jobs, local processes."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.lanes import Lanes
from anemone_lib.service.settings import Settings


def from_env() -> FastAPI:
    """Make an app by the environment's settings: ``uvicorn --factory anemone_lib.service.local:from_env``."""
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(message)s")
    return local_app(Settings.from_env())


def local_app(settings: Settings) -> FastAPI:
    """Make an app that works on its jobs itself.

    Raises
    ------
    Problem
        The model cannot be loaded, or does not fit the settings.
    """
    engine = Engine(settings)
    engine.ready()
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
