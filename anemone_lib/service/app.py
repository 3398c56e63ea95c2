"""The routes: one FastAPI app for a laptop (uvicorn) and for AWS (Mangum)."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.service import schemas
from anemone_lib.service.engine import Engine
from anemone_lib.service.incoming import bounded, explain, incoming, parse_json, read_body
from anemone_lib.service.jobs import PART_BYTES, RESULT_FILES, JobRequest, Jobs, StartRequest
from anemone_lib.service.predict import predict
from anemone_lib.service.problems import Problem, to_problem
from anemone_lib.service.settings import MAX_ANSWER_S, MAX_AUDIO_BYTES, MAX_JOB_BYTES, Settings
from anemone_lib.service.stores import FolderStore, MissingObject

log = logging.getLogger(__name__)

#: Seconds of an answer's time that are kept for writing it down.
RESERVE_S = 3.0
#: A refused body that is larger, or does not say how large it is, ends with its connection.
MAX_DISCARDED_BYTES = 50_000_000
#: What is told of every request, for logs and metrics.
Observer = Callable[[Mapping[str, Any]], None]


def create_app(
    engine: Engine, jobs: Jobs | None = None, *, observe: Observer | None = None, lifespan: Any = None
) -> FastAPI:
    """Make the app.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs, optional
        Without them ``/jobs`` answers 503.
    observe : callable (mapping), optional
        Told of every request: route, status, durations in seconds, windows, audio, error. Never of audio or keys.
    lifespan : of FastAPI, optional
    """
    settings = engine.settings
    app = FastAPI(
        title="Anemone",
        version=__version__,
        description=schemas.DESCRIPTION,
        lifespan=lifespan,
        responses=schemas.ERRORS,
    )
    app.add_middleware(Outermost, observe=observe or log_request)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_allowed_origins),
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["*"],
        expose_headers=["ETag", "X-Request-Id"],
        max_age=3600,
    )

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        names = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
        problem = Problem(error.status_code, names.get(error.status_code, "refused"), str(error.detail))
        return answer(problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def no_such_path(request: Request, error: RequestValidationError) -> Response:
        return answer(Problem(404, "not_found", "no such route; see /docs"))

    def need_jobs() -> Jobs:
        if jobs is None:
            raise Problem(503, "jobs_unavailable", "this service has no store for jobs; POST /predict takes recordings")
        return jobs

    # -------------------------------------------------------------- /predict

    @app.post("/predict", **schemas.PREDICT)
    async def predict_route(request: Request) -> Response:
        deadline = find_deadline(request, settings)
        async with incoming(request, limited=settings.limits) as given:
            request.scope["observed"]["read_s"] = time.perf_counter() - request.scope["observed"]["began"]
            result, text = await run_in_threadpool(
                predict, engine, jobs, given.source, given.name, given.options, deadline=deadline
            )
        metadata = result["metadata"]
        request.scope["observed"] |= {
            "detect_s": metadata["processing_time"],
            "audio_s": metadata["audio_duration"],
            "windows": metadata["total_windows"],
        }
        if "result_url" in result:
            text = json.dumps(absolute(request, result), ensure_ascii=False)
        return Response(text, media_type="application/json")

    # -------------------------------------------------------------- /jobs

    async def model_of(request: Request, model: Any) -> Any:
        body = parse_json(await read_body(request, 1 << 20) or b"{}")
        try:
            return model.model_validate(body)
        except ValidationError as error:
            raise Problem(400, "malformed", explain(error)) from None

    @app.post("/jobs", status_code=201, **schemas.CREATE_JOB)
    async def create_job(request: Request) -> Response:
        wanted = await model_of(request, JobRequest)
        told = await run_in_threadpool(need_jobs().create, wanted)
        return JSONResponse(
            absolute(request, told), 201, {"Location": urljoin(str(request.base_url), f"jobs/{told['job_id']}")}
        )

    @app.post("/jobs/{job_id}/start", status_code=202, **schemas.START_JOB)
    async def start_job(job_id: str, request: Request) -> Response:
        given = await model_of(request, StartRequest)
        parts = {part.number: part.etag for part in given.parts}
        return JSONResponse(absolute(request, await run_in_threadpool(need_jobs().start, job_id, parts)), 202)

    @app.get("/jobs/{job_id}", **schemas.DESCRIBE_JOB)
    async def describe_job(job_id: str, request: Request) -> Response:
        return JSONResponse(absolute(request, await run_in_threadpool(need_jobs().describe, job_id)))

    if jobs is not None and isinstance(jobs.recordings, FolderStore):
        _add_local_routes(app, jobs, jobs.recordings)

    # -------------------------------------------------------------- the rest

    @app.get("/health", **schemas.HEALTH)
    def health() -> dict[str, Any]:
        classifier, config = engine.ready()
        return {
            "status": "ok",
            "code_version": __version__,
            "code_sha256": code_sha256(),
            "model_version": classifier.version,
            "model_sha256": classifier.sha256,
            "config": config.model_dump(),
            "config_fingerprint": config.fingerprint,
            "limits": {
                "audio_bytes": MAX_AUDIO_BYTES if settings.limits else None,
                "answer_s": MAX_ANSWER_S if settings.limits else None,
                "job_bytes": MAX_JOB_BYTES if jobs is not None else None,
            },
        }

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(read_page())

    return app


def _add_local_routes(app: FastAPI, jobs: Jobs, recordings: FolderStore) -> None:
    """What S3 does on AWS: take the parts of an upload, give out results."""

    @app.put("/jobs/{job_id}/parts/{number}", **schemas.PUT_PART)
    async def put_part(job_id: str, number: int, request: Request) -> Response:
        wanted = await run_in_threadpool(jobs.request, job_id)
        offset = (number - 1) * PART_BYTES
        room = min(PART_BYTES, wanted["size_bytes"] - offset)
        if "s3" in wanted or number < 1 or room <= 0:
            raise Problem(404, "no_such_part", f"job {job_id} has no part {number}")
        etag = await recordings.take_part(f"jobs/{job_id}/recording", number, bounded(request, room), offset=offset)
        return Response(status_code=200, headers={"ETag": etag})

    @app.get("/jobs/{job_id}/files/{name}", **schemas.GET_FILE)
    def get_file(job_id: str, name: str) -> Response:
        media = dict(RESULT_FILES.values())
        try:
            if name not in media or not job_id.isalnum():
                raise MissingObject
            content = jobs.results.read(f"jobs/{job_id}/{name}")
        except MissingObject:
            raise Problem(404, "no_such_file", f"job {job_id[:40]!r} has no {name[:40]!r}") from None
        disposition = f'attachment; filename="{jobs.download_name(job_id, name)}"'
        return Response(content, media_type=media[name], headers={"Content-Disposition": disposition})


def find_deadline(request: Request, settings: Settings) -> float | None:
    """When the answer must be on its way, in seconds of `time.monotonic`; None without limits."""
    if not settings.limits:
        return None
    seconds = MAX_ANSWER_S
    context: Any = request.scope.get("aws.context")
    if hasattr(context, "get_remaining_time_in_millis"):
        seconds = min(seconds, context.get_remaining_time_in_millis() / 1000)
    return time.monotonic() + seconds - RESERVE_S


def absolute(request: Request, told: dict[str, Any]) -> dict[str, Any]:
    """Make the addresses of our own routes whole."""
    base = str(request.base_url)
    if "result_url" in told:
        told["result_url"] = urljoin(base, told["result_url"])
        told["files"] = {kind: urljoin(base, url) for kind, url in told.get("files", {}).items()}
    for part in told.get("upload", {}).get("parts", ()):
        part["url"] = urljoin(base, part["url"])
    return told


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Spell a problem."""
    return JSONResponse(problem.to_dict(), problem.status, headers)


def log_request(observed: Mapping[str, Any]) -> None:
    """Tell of a request in the log."""
    log.info("%s", " ".join(f"{name}={value}" for name, value in observed.items()))


class Outermost:
    """Around every route: a request id, an answer to every error, one observation a request.

    Inside the CORS layer, so that a browser may read errors too.
    """

    def __init__(self, app: ASGIApp, *, observe: Observer) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = scope.get("aws.context")
        request_id = str(getattr(context, "aws_request_id", "") or uuid4())
        observed: dict[str, Any] = {"began": time.perf_counter()}
        scope["observed"] = observed
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if status == 413 and context is None and not _small_enough_to_discard(scope):
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except ClientDisconnect:
            observed["error"] = "client_disconnected"
        except Exception as error:
            problem = to_problem(error)
            observed["error"] = problem.error
            if problem.status == 500:
                log.exception("request %s failed", request_id)
            if status == 0:
                await answer(problem)(scope, receive, tell)
        route = getattr(scope.get("route"), "path", "")
        seconds = time.perf_counter() - observed.pop("began")
        self._observe(
            {
                "request_id": request_id,
                "method": scope["method"],
                "route": route or "none",
                "status": status,
                "seconds": round(seconds, 4),
                **{name: round(value, 4) if isinstance(value, float) else value for name, value in observed.items()},
            }
        )


def _small_enough_to_discard(scope: Scope) -> bool:
    """Tell whether to let a client finish sending a body that was refused: most read the answer only then."""
    announced = Headers(scope=scope).get("content-length", "")
    return announced.isdigit() and int(announced) < MAX_DISCARDED_BYTES


def read_page() -> str:
    """The page at ``/``, whole: its style and its script are in it, so that one route serves it anywhere."""
    folder = files("anemone_lib.service") / "static"
    html, style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("index.html", "page.css", "page.js")
    )
    return html.replace("/* page.css */", style).replace("/* page.js */", script)
