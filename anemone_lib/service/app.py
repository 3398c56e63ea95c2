"""The FastAPI app. It runs on a laptop under uvicorn, and on AWS under Mangum."""

import os
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from anemone_lib.provenance import __version__
from anemone_lib.service.admission import Admission
from anemone_lib.service.documents import add_documents
from anemone_lib.service.engine import Engine
from anemone_lib.service.fields import explain_validation
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.jobs import Jobs
from anemone_lib.service.middleware import ErrorAnswerer, Observer, RequestRecorder, log_request, respond
from anemone_lib.service.openapi import COMMON_ERRORS, DESCRIPTION, describe_app
from anemone_lib.service.problems import Problem
from anemone_lib.service.routes import make_files_router, make_health_router, make_jobs_router, make_predict_router


def create_app(
    engine: Engine,
    jobs: Jobs | None = None,
    *,
    observe: Observer | None = None,
    guards: Sequence[Middleware] = (),
    lifespan: Any = None,
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
    guards : sequence of starlette.middleware.Middleware
        Middleware before the routes, which may refuse a request with a Problem.
    lifespan : async context manager of FastAPI, optional

    Returns
    -------
    app : FastAPI
    """
    settings = engine.settings
    cors: dict[str, Any] = {
        "allow_origins": list(settings.cors_allowed_origins),
        "allow_methods": ["GET", "HEAD", "POST", "PUT", "DELETE"],
        "allow_headers": ["*"],
        "expose_headers": ["ETag", "Location", "Retry-After", "X-Request-Id"],
        "max_age": 3600,
    }
    app = FastAPI(
        title="Anemone",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=COMMON_ERRORS,
        docs_url=None,
        strict_content_type=False,  # JSON without a content type is read as JSON, too
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(RequestRecorder, observe=observe or log_request),
            Middleware(CORSMiddleware, **cors),
            Middleware(ErrorAnswerer),
            *guards,
        ],
    )
    app.openapi = lambda: describe_app(app)  # type: ignore[method-assign]
    _add_error_handlers(app)
    admission = Admission(n_working=os.cpu_count() or 1, n_places=settings.max_requests)
    app.include_router(make_predict_router(engine, jobs, admission))
    app.include_router(make_jobs_router(jobs))
    if jobs is not None and isinstance(jobs.recordings, FolderStore):
        app.include_router(make_files_router(jobs, jobs.recordings))
    app.include_router(make_health_router(engine, has_jobs=jobs is not None))
    add_documents(app)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Answer the errors of the framework in the same form as all other errors."""

    @app.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error.detail, dict):  # of a Problem
            return respond(Problem(error.status_code, **error.detail), error.headers)
        names = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
        problem = Problem(error.status_code, names.get(error.status_code, "refused"), str(error.detail))
        return respond(problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_wrong_field(request: Request, error: RequestValidationError) -> Response:
        return respond(explain_validation(error.errors()))
