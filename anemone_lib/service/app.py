"""The FastAPI app. It runs on a laptop under uvicorn, and on AWS under Mangum."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from anemone_lib.provenance import __version__
from anemone_lib.service import schemas
from anemone_lib.service.engine import Engine
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.jobs import Jobs
from anemone_lib.service.middleware import Observer, RequestRecorder, log_request, respond
from anemone_lib.service.problems import Problem
from anemone_lib.service.routes import make_files_router, make_health_router, make_jobs_router, make_predict_router


def create_app(
    engine: Engine, jobs: Jobs | None = None, *, observe: Observer | None = None, lifespan: Any = None
) -> FastAPI:
    """Make the app with all its routes.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs, optional
        Without them the routes under ``/jobs`` answer 503.
    observe : callable (mapping), optional
        Receives a record of every request: route, status, durations in seconds, number of windows, seconds of audio,
        error. The record has no audio and no API keys. By default it is written to the log.
    lifespan : async context manager of FastAPI, optional

    Returns
    -------
    app : FastAPI
    """
    app = FastAPI(
        title="Anemone",
        version=__version__,
        description=schemas.DESCRIPTION,
        lifespan=lifespan,
        responses=schemas.ERRORS,
    )
    app.add_middleware(RequestRecorder, observe=observe or log_request)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(engine.settings.cors_allowed_origins),
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["*"],
        expose_headers=["ETag", "X-Request-Id"],
        max_age=3600,
    )
    _add_error_handlers(app)
    app.include_router(make_predict_router(engine, jobs))
    app.include_router(make_jobs_router(jobs))
    if jobs is not None and isinstance(jobs.recordings, FolderStore):
        app.include_router(make_files_router(jobs, jobs.recordings))
    app.include_router(make_health_router(engine, has_jobs=jobs is not None))
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Answer the errors of the framework in the form of all the others."""

    @app.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        names = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
        problem = Problem(error.status_code, names.get(error.status_code, "refused"), str(error.detail))
        return respond(problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_wrong_path(request: Request, error: RequestValidationError) -> Response:
        return respond(Problem(404, "not_found", "no such route; see /docs"))
