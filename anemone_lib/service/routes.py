"""The routes of the service, one router for each subject: /predict, /jobs, uploads and files, /health and the page."""

import json
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import urljoin

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ValidationError

from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.service import schemas
from anemone_lib.service.engine import Engine
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.incoming import explain_validation, parse_json, read_body, read_bounded, receive_recording
from anemone_lib.service.jobs import RESULT_FILES, JobRequest, Jobs, StartRequest
from anemone_lib.service.predict import compute_deadline, predict
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import MAX_ANSWER_S, MAX_AUDIO_BYTES, MAX_JOB_BYTES, Settings
from anemone_lib.service.stores import MissingObject

M = TypeVar("M", bound=BaseModel)


def make_predict_router(engine: Engine, jobs: Jobs | None) -> APIRouter:
    """Make the route ``POST /predict``.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs, optional
        Where large results are kept.

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter()

    @router.post("/predict", **schemas.PREDICT)
    async def predict_route(request: Request) -> Response:
        deadline = find_deadline(request, engine.settings)
        record = request.scope["record"]
        async with receive_recording(request, limited=engine.settings.limits) as received:
            record["read_s"] = time.perf_counter() - record["began"]
            result, text = await run_in_threadpool(
                predict, engine, jobs, received.source, received.name, received.options, deadline=deadline
            )
        metadata = result["metadata"]
        record |= {
            "detect_s": metadata["processing_time"],
            "audio_s": metadata["audio_duration"],
            "windows": metadata["total_windows"],
        }
        if "result_url" in result:
            text = json.dumps(complete_urls(request, result), ensure_ascii=False)
        return Response(text, media_type="application/json")

    return router


def make_jobs_router(jobs: Jobs | None) -> APIRouter:
    """Make the routes that create, start and describe jobs.

    Parameters
    ----------
    jobs : Jobs, optional
        Without them every route answers 503.

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter()

    def need_jobs() -> Jobs:
        if jobs is None:
            raise Problem(503, "jobs_unavailable", "this service has no store for jobs; POST /predict takes recordings")
        return jobs

    @router.post("/jobs", status_code=201, **schemas.CREATE_JOB)
    async def create_job(request: Request) -> Response:
        job_request = await _read_model(request, JobRequest)
        description = await run_in_threadpool(need_jobs().create, job_request)
        location = urljoin(str(request.base_url), f"jobs/{description['job_id']}")
        return JSONResponse(complete_urls(request, description), 201, {"Location": location})

    @router.post("/jobs/{job_id}/start", status_code=202, **schemas.START_JOB)
    async def start_job(job_id: str, request: Request) -> Response:
        start_request = await _read_model(request, StartRequest)
        parts = {part.number: part.etag for part in start_request.parts}
        return JSONResponse(complete_urls(request, await run_in_threadpool(need_jobs().start, job_id, parts)), 202)

    @router.get("/jobs/{job_id}", **schemas.DESCRIBE_JOB)
    async def describe_job(job_id: str, request: Request) -> Response:
        return JSONResponse(complete_urls(request, await run_in_threadpool(need_jobs().describe, job_id)))

    return router


def make_files_router(jobs: Jobs, recordings: FolderStore) -> APIRouter:
    """Make the routes that receive parts of uploads and serve files of results. On AWS, S3 does both.

    Parameters
    ----------
    jobs : Jobs
    recordings : FolderStore, the store of recordings of `jobs`

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter()

    @router.put("/jobs/{job_id}/parts/{number}", **schemas.PUT_PART)
    async def put_part(job_id: str, number: int, request: Request) -> Response:
        size = await run_in_threadpool(jobs.get_part_size, job_id, number)
        content: AsyncIterator[bytes] = read_bounded(request, size)
        etag = await recordings.receive_part(f"jobs/{job_id}/recording", number, content)
        return Response(status_code=200, headers={"ETag": etag})

    @router.get("/jobs/{job_id}/files/{name}", **schemas.GET_FILE)
    def get_file(job_id: str, name: str) -> Response:
        media_types = dict(RESULT_FILES.values())
        try:
            if name not in media_types or not job_id.isalnum():
                raise MissingObject
            content = jobs.results.read(f"jobs/{job_id}/{name}")
        except MissingObject:
            raise Problem(404, "no_such_file", f"job {job_id[:40]!r} has no {name[:40]!r}") from None
        disposition = f'attachment; filename="{jobs.name_download(job_id, name)}"'
        return Response(content, media_type=media_types[name], headers={"Content-Disposition": disposition})

    return router


def make_health_router(engine: Engine, *, has_jobs: bool) -> APIRouter:
    """Make the routes ``GET /health`` and ``GET /``, the page.

    Parameters
    ----------
    engine : Engine
    has_jobs : bool, whether the service has a store for jobs

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter()
    limits = engine.settings.limits

    @router.get("/health", **schemas.HEALTH)
    def health() -> dict[str, Any]:
        classifier, config = engine.load()
        return {
            "status": "ok",
            "code_version": __version__,
            "code_sha256": code_sha256(),
            "model_version": classifier.version,
            "model_sha256": classifier.sha256,
            "config": config.model_dump(),
            "config_fingerprint": config.fingerprint,
            "limits": {
                "audio_bytes": MAX_AUDIO_BYTES if limits else None,
                "answer_s": MAX_ANSWER_S if limits else None,
                "job_bytes": MAX_JOB_BYTES if has_jobs else None,
            },
        }

    @router.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(read_page())

    return router


async def _read_model(request: Request, model: type[M]) -> M:
    """Read the body of a request as a model."""
    body = parse_json(await read_body(request, 1 << 20) or b"{}")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Problem(400, "malformed", explain_validation(error)) from None


def find_deadline(request: Request, settings: Settings) -> float | None:
    """Return the time at which the work on a request must end.

    Parameters
    ----------
    request : Request
    settings : Settings

    Returns
    -------
    deadline : float, of `time.monotonic` in seconds, or None if the service has no limits
    """
    if not settings.limits:
        return None
    seconds = MAX_ANSWER_S
    context: Any = request.scope.get("aws.context")
    if hasattr(context, "get_remaining_time_in_millis"):
        seconds = min(seconds, context.get_remaining_time_in_millis() / 1000)
    return compute_deadline(seconds)


def complete_urls(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """Add the address of this service to the URLs of its own routes.

    Parameters
    ----------
    request : Request, by which the client reached the service
    answer : dict, changed in place

    Returns
    -------
    answer : dict, the same
    """
    base = str(request.base_url)
    if "result_url" in answer:
        answer["result_url"] = urljoin(base, answer["result_url"])
        answer["files"] = {kind: urljoin(base, url) for kind, url in answer.get("files", {}).items()}
    for part in answer.get("upload", {}).get("parts", ()):
        part["url"] = urljoin(base, part["url"])
    return answer


def read_page() -> str:
    """Return the HTML of the page, with its style and its script inside, so that one route serves all of it."""
    folder = files("anemone_lib.service") / "static"
    html, style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("index.html", "page.css", "page.js")
    )
    return html.replace("/* page.css */", style).replace("/* page.js */", script)
