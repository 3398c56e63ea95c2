"""The routes of the service, one router for each subject: /predict, /jobs, uploads and files, /health and the page."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import urljoin

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute

from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.service.admission import Admission
from anemone_lib.service.engine import Engine
from anemone_lib.service.fields import parse_json
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.incoming import read_body, read_bounded, receive_recording
from anemone_lib.service.jobs import Jobs, is_id
from anemone_lib.service.models import Health, Job, JobRequest, PredictQuery, Result, StartRequest
from anemone_lib.service.openapi import BINARY, describe_errors, describe_predict_body
from anemone_lib.service.predict import compute_deadline, measure_work, predict
from anemone_lib.service.problems import Problem
from anemone_lib.service.render import RESULT_FILES, parse_result_file
from anemone_lib.service.settings import MAX_ANSWER_S, MAX_JOB_BYTES, Settings
from anemone_lib.service.stores import MissingObject

#: Largest body in JSON of the routes of jobs, bytes.
MAX_JSON_BYTES = 1 << 20
#: Seconds for which a request for a picture waits until it is drawn, and seconds between two checks.
DRAW_S, LOOK_S = 60.0, 0.05

#: The scripts of the page, in the order in which they run.
PAGE_SCRIPTS = (
    "wavesurfer/wavesurfer.min.js",
    "wavesurfer/spectrogram-windowed.min.js",
    "wavesurfer/timeline.min.js",
    "wavesurfer/regions.min.js",
    "service.js",
    "decide.js",
    "noise.js",
    "picture.js",
    "clips.js",
    "calls.js",
    "page.js",
)

JobId = Annotated[
    str, PathParameter(description="Identifier of the job.", examples=["0123456789abcdef0123456789abcdef"])
]


class _StrictRequest(Request):
    """A request whose JSON is read up to a limit, and must be JSON: no NaN, and no key twice."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                self._body = await read_body(self, MAX_JSON_BYTES)
            except Problem as problem:  # FastAPI lets only its own errors pass
                raise HTTPException(problem.status, problem.to_dict()) from None
        return self._body

    async def json(self) -> Any:
        try:
            return parse_json(await self.body())
        except Problem as problem:
            raise HTTPException(problem.status, problem.to_dict()) from None


class StrictRoute(APIRoute):
    """A route that reads its JSON strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


def make_predict_router(engine: Engine, jobs: Jobs | None, admission: Admission) -> APIRouter:
    """Make the route ``POST /predict``.

    Parameters
    ----------
    engine : Engine
    jobs : Jobs, optional
        Where large results are kept.
    admission : Admission

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter(tags=["predict"])
    settings = engine.settings

    @router.post(
        "/predict",
        summary="Detect events in one recording",
        response_model=Result,
        responses=describe_errors(400, 403, 404, 408, 413, 415, 422, 507),
        openapi_extra=describe_predict_body(),
    )
    async def predict_recording(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        with admission.enter():
            deadline = find_deadline(request, settings)
            record = request.scope["record"]
            limit = settings.max_audio_bytes if settings.limits else None
            async with receive_recording(request, query, limit=limit) as got:
                record["read_s"] = time.perf_counter() - record["began"]

                def work() -> tuple[dict[str, Any], str]:
                    count = admission.count_working
                    return predict(
                        engine, jobs, got.source, got.name, got.options, deadline=deadline, count_sharing=count
                    )

                result, text = await admission.work(request, work, deadline=deadline)
        record |= measure_work(result)
        if "result_url" in result:
            text = json.dumps(complete_urls(request, result), ensure_ascii=False)
        return Response(text, media_type="application/json")

    return router


def make_jobs_router(jobs: Jobs | None) -> APIRouter:
    """Make the routes that create, start, describe and delete jobs.

    Parameters
    ----------
    jobs : Jobs, optional
        Without them every route answers 503.

    Returns
    -------
    router : APIRouter
    """
    router = APIRouter(tags=["jobs"], route_class=StrictRoute)

    def need_jobs() -> Jobs:
        if jobs is None:
            raise Problem(503, "jobs_unavailable", "this service has no store for jobs; POST /predict takes recordings")
        return jobs

    @router.post(
        "/jobs",
        status_code=201,
        summary="Create a job for a large recording",
        response_model=Job,
        responses=describe_errors(400, 403, 404, 408, 413, 422, 507),
    )
    async def create_job(job_request: JobRequest, request: Request) -> Response:
        description = await run_in_threadpool(need_jobs().create, job_request)
        location = urljoin(str(request.base_url), f"jobs/{description['job_id']}")
        return JSONResponse(complete_urls(request, description), 201, {"Location": location})

    @router.post(
        "/jobs/{job_id}/start",
        status_code=202,
        summary="Join the uploaded parts and start the work",
        response_model=Job,
        responses=describe_errors(400, 404, 408, 413, 422, 507),
    )
    async def start_job(job_id: JobId, request: Request, start_request: StartRequest | None = None) -> Response:
        parts = {part.number: part.etag for part in start_request.parts} if start_request else {}
        return JSONResponse(complete_urls(request, await run_in_threadpool(need_jobs().start, job_id, parts)), 202)

    @router.get(
        "/jobs/{job_id}",
        summary="Return the state of a job, its progress, and the URLs of its result",
        response_model=Job,
        responses=describe_errors(404),
    )
    async def describe_job(job_id: JobId, request: Request) -> Response:
        return JSONResponse(complete_urls(request, await run_in_threadpool(need_jobs().describe, job_id)))

    @router.delete(
        "/jobs/{job_id}",
        status_code=204,
        summary="Stop a job and remove its recording and its result",
        responses=describe_errors(404),
    )
    async def delete_job(job_id: JobId) -> Response:
        await run_in_threadpool(need_jobs().delete, job_id)
        return Response(status_code=204)

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
    router = APIRouter(tags=["files"])

    @router.put(
        "/jobs/{job_id}/parts/{number}",
        summary="Receive one part of an upload (on AWS, S3 does)",
        response_class=Response,
        responses={
            200: {
                "description": "Received.",
                "headers": {
                    "ETag": {
                        "description": "Names the content of the part, to start the job with.",
                        "schema": {"type": "string"},
                    }
                },
            },
            **describe_errors(400, 404, 408, 409, 413, 507),
        },
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": BINARY}}},
    )
    async def upload_part(
        job_id: JobId,
        number: Annotated[int, PathParameter(description="Number of the part, from 1.", examples=[1])],
        request: Request,
    ) -> Response:
        size = await run_in_threadpool(jobs.get_part_size, job_id, number)
        content: AsyncIterator[bytes] = read_bounded(request, size)
        etag = await recordings.receive_part(f"jobs/{job_id}/recording", number, content)
        return Response(status_code=200, headers={"ETag": etag})

    @router.get(
        "/jobs/{job_id}/files/{name}",
        summary="Return one file of a result (on AWS, S3 does)",
        response_class=Response,
        responses={
            200: {"description": "The file.", "content": {media: {} for _, media in RESULT_FILES.values()}},
            **describe_errors(404),
        },
    )
    async def download_file(
        job_id: JobId,
        name: Annotated[str, PathParameter(description="Name of the file.", examples=["result.json"])],
    ) -> Response:
        parsed = parse_result_file(name)
        if parsed is None or not is_id(job_id):
            raise report_missing_file(job_id, name)
        content = await _read_when_there(jobs, job_id, name)
        disposition = f'attachment; filename="{await run_in_threadpool(jobs.name_download, job_id, name)}"'
        return Response(content, media_type=RESULT_FILES[parsed[0]][1], headers={"Content-Disposition": disposition})

    return router


async def _read_when_there(jobs: Jobs, job_id: str, name: str) -> bytes:
    """Read a file of a result; wait for a picture that is being drawn."""
    until = time.monotonic() + DRAW_S
    while True:
        is_drawing = jobs.is_drawing(job_id)
        try:
            return await run_in_threadpool(jobs.results.read, f"jobs/{job_id}/{name}")
        except MissingObject:
            if not name.endswith(RESULT_FILES["png"][0]) or not is_drawing or time.monotonic() > until:
                raise report_missing_file(job_id, name) from None
        await asyncio.sleep(LOOK_S)


def report_missing_file(job_id: str, name: str) -> Problem:
    """Return the problem for a file that a result does not have."""
    return Problem(404, "no_such_file", f"job {job_id[:40]!r} has no {name[:40]!r}")


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
    router = APIRouter(tags=["health"])
    settings = engine.settings

    @router.get("/health", summary="Versions and fingerprints", response_model=Health)
    def check_health() -> dict[str, Any]:
        classifier, config = engine.load()
        return {
            "status": "ok",
            "code_version": __version__,
            "code_sha256": code_sha256(),
            "model_version": classifier.version,
            "model_sha256": classifier.sha256,
            "model": {"name": classifier.card.name, "summary": classifier.card.summary} if classifier.card else None,
            "config": config.model_dump(),
            "config_fingerprint": config.fingerprint,
            "limits": {
                "audio_bytes": settings.max_audio_bytes if settings.limits else None,
                "answer_s": MAX_ANSWER_S if settings.limits else None,
                "job_bytes": MAX_JOB_BYTES if has_jobs else None,
            },
        }

    @router.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(read_page())

    return router


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
    """Return the HTML of the page, with its style and its scripts inside, so that one route serves all of it.

    ``static/wavesurfer`` holds wavesurfer.js and three of its plugins as their makers publish them (npm package
    ``wavesurfer.js``), with their licence.
    """
    folder = files("anemone_lib.service") / "static"
    html, style, *scripts = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("index.html", "page.css", *PAGE_SCRIPTS)
    )
    script = "\n".join(["/*", folder.joinpath("wavesurfer/LICENSE").read_text(encoding="utf-8"), "*/", *scripts])
    return html.replace("/* page.css */", style).replace("/* scripts */", script)
