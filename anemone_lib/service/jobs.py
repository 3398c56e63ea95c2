"""Large recordings: create a job, upload in parts, start, ask how far it is.

*Objects.* Under ``jobs/<id>/`` lie, in the store of recordings (all of it may expire): ``request.json``,
``recording``, ``started.json``, ``plan.json``, ``claims/<piece>/<attempt>.json``, ``pieces/<piece>.npy`` or
``.failed.json``; and in the store of results: ``result.json`` and the same in other spellings, or ``error.json``.
Nothing else is kept anywhere: the state of a job is what of these is there.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from anemone_lib.service.engine import Engine
from anemone_lib.service.incoming import CHANNEL_HELP, ChannelChoice, S3Reference, clean_name
from anemone_lib.service.problems import Problem
from anemone_lib.service.settings import MAX_JOB_BYTES
from anemone_lib.service.stores import FolderStore, MissingObject, S3Store, Store, exists

#: Every part but the last has this size; S3 allows 10,000 parts of 5 MiB to 5 GiB.
PART_BYTES = 64 << 20

#: What a result is kept as: name, media type. A download has the recording's name in place of ``result``.
RESULT_FILES = {
    "json": ("result.json", "application/json"),
    "csv": ("result.events.csv", "text/csv"),
    "raven": ("result.selections.txt", "text/plain"),
    "audacity": ("result.audacity.txt", "text/plain"),
    "png": ("result.png", "image/png"),
}


class JobRequest(BaseModel):
    """Body of ``POST /jobs``: a recording to be uploaded, or one in a bucket of the service."""

    model_config = ConfigDict(extra="forbid")

    filename: str | None = Field(None, max_length=1024, description="Name of the recording; tells when it began.")
    size_bytes: Annotated[int, Field(gt=0)] | None = Field(None, description="Size of the recording to be uploaded.")
    s3_bucket: str | None = Field(None, min_length=3, max_length=63)
    s3_key: str | None = Field(None, min_length=1, max_length=1024)
    config: dict[str, Any] = Field(default={}, description="Event settings that differ from those in force.")
    timezone: str = Field("UTC", max_length=64, description="Clock that named the file.")
    channel: ChannelChoice = Field("mean", description=CHANNEL_HELP)


class UploadedPart(BaseModel):
    """One part that was put to its URL."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    etag: Annotated[str, Field(min_length=1, max_length=100, description="Header ETag of the answer to the PUT.")]


class StartRequest(BaseModel):
    """Body of ``POST /jobs/{id}/start``."""

    model_config = ConfigDict(extra="forbid")

    parts: list[UploadedPart] = Field(default=[], max_length=10_000)


def make_stores(*, input_bucket: str, output_bucket: str, folder: Path | None) -> tuple[Store, Store] | None:
    """Return the stores of recordings and of results; None if there is no place for jobs."""
    if input_bucket:
        return S3Store(input_bucket), S3Store(output_bucket)
    if folder:
        return FolderStore(folder / "recordings"), FolderStore(folder / "results")
    return None


class Jobs:
    """What clients ask of jobs.

    Parameters
    ----------
    engine : Engine
    recordings, results : Store
    launch : callable (job_id)
        Sees to it that the job's tasks are worked on; called again, it does so once all the same.
    """

    def __init__(self, engine: Engine, recordings: Store, results: Store, launch: Callable[[str], None]) -> None:
        self._engine, self._launch = engine, launch
        self.recordings, self.results = recordings, results

    # ------------------------------------------------------------------ create, start

    def create(self, wanted: JobRequest) -> dict[str, Any]:
        """Make a job; return its description, with the URLs of an upload if there is to be one.

        Raises
        ------
        Problem
            400, 403, 404, 413; ConfigError for a setting that cannot be set.
        """
        self._engine.config_with(wanted.config)
        named = wanted.s3_bucket is not None or wanted.s3_key is not None
        if named == (wanted.size_bytes is not None):
            raise Problem(400, "malformed", "give either filename and size_bytes, or s3_bucket and s3_key")
        request: dict[str, Any] = {
            "filename": clean_name(wanted.filename or wanted.s3_key),
            "config": wanted.config,
            "timezone": wanted.timezone,
            "channel": wanted.channel,
            "created": _now(),
        }
        job_id = new_id()
        if named:
            if not (wanted.s3_bucket and wanted.s3_key):
                raise Problem(400, "malformed", "give both s3_bucket and s3_key")
            reference = S3Reference(s3_bucket=wanted.s3_bucket, s3_key=wanted.s3_key)
            request["size_bytes"] = check_object(self._engine.settings.buckets, reference)
            request["s3"] = reference.model_dump()
        else:
            request["size_bytes"] = wanted.size_bytes
        if request["size_bytes"] > MAX_JOB_BYTES:
            raise Problem(
                413,
                "too_large",
                f"the recording has {request['size_bytes']} bytes; a job takes up to {MAX_JOB_BYTES} (5 GiB): cut it, "
                "or use `anemone detect`, which has no limit",
            )
        if not named:
            request["upload_id"] = self.recordings.begin_upload(f"jobs/{job_id}/recording")
        self.recordings.write(
            f"jobs/{job_id}/request.json", json.dumps(request).encode(), media_type="application/json"
        )
        return self.describe(job_id)

    def start(self, job_id: str, parts: Mapping[int, str]) -> dict[str, Any]:
        """Put the uploaded parts together and have the job worked on; to do so again changes nothing.

        Raises
        ------
        Problem
            400: parts are missing, or do not make up the size that was announced; 404: no such job.
        """
        request = self.request(job_id)
        key = f"jobs/{job_id}"
        if not exists(self.recordings, f"{key}/started.json"):
            if "s3" not in request:
                self._complete(job_id, request, parts)
            self.recordings.create(f"{key}/started.json", json.dumps({"started": _now(), "at": time.time()}).encode())
        description = self.describe(job_id)
        if description["state"] not in ("done", "failed"):
            self._launch(job_id)
        return description

    def _complete(self, job_id: str, request: Mapping[str, Any], parts: Mapping[int, str]) -> None:
        key, size = f"jobs/{job_id}/recording", request["size_bytes"]
        n_parts = -(-size // PART_BYTES)
        if not exists(self.recordings, key):
            if sorted(parts) != list(range(1, n_parts + 1)):
                raise Problem(
                    400,
                    "upload_incomplete",
                    f"the recording has {n_parts} parts, numbered from 1; {len(parts)} were named: give number and "
                    "etag of each",
                )
            self.recordings.complete_upload(key, request["upload_id"], dict(parts), part_bytes=PART_BYTES)
        actual = self.recordings.size(key)
        if actual != size:
            raise Problem(
                400, "upload_incomplete", f"{actual} bytes were uploaded, {size} were announced; create a new job"
            )

    # ------------------------------------------------------------------ describe

    def request(self, job_id: str) -> dict[str, Any]:
        """Return what a job was created with."""
        if not re.fullmatch(r"[0-9a-f]{32}", job_id):
            raise report_missing_job(job_id)
        try:
            return dict(json.loads(self.recordings.read(f"jobs/{job_id}/request.json")))
        except MissingObject:
            raise report_missing_job(job_id) from None

    def describe(self, job_id: str) -> dict[str, Any]:
        """Tell a job's state (uploading, running, done, failed), how far it is, and where its result is."""
        if not re.fullmatch(r"[0-9a-f]{32}", job_id):
            raise report_missing_job(job_id)
        key = f"jobs/{job_id}"
        told: dict[str, Any] = {"job_id": job_id}
        if exists(self.results, f"{key}/result.json"):
            return {**told, "state": "done", **self._result_urls(job_id)}
        if exists(self.results, f"{key}/error.json"):
            return {**told, "state": "failed", **json.loads(self.results.read(f"{key}/error.json"))}
        request = self.request(job_id)
        told |= {"filename": request["filename"], "size_bytes": request["size_bytes"], "created": request["created"]}
        if not exists(self.recordings, f"{key}/started.json"):
            told["state"] = "uploading"
            if "s3" not in request:
                told["upload"] = self._upload_urls(job_id, request)
            return told
        progress: dict[str, Any] = {"done": 0, "total": None, "failed": 0}
        try:
            plan = json.loads(self.recordings.read(f"{key}/plan.json"))
        except MissingObject:
            return {**told, "state": "running", "chunks": progress}
        names = self.recordings.keys(f"{key}/pieces/")
        failed = sum(name.endswith(".failed.json") for name in names)
        progress = {"done": len(names), "total": len(plan["pieces"]), "failed": failed}
        return {**told, "state": "running", "chunks": progress}

    def _upload_urls(self, job_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        key, upload_id = f"jobs/{job_id}/recording", request["upload_id"]
        parts = []
        for number in range(1, -(-request["size_bytes"] // PART_BYTES) + 1):
            url = self.recordings.part_url(key, upload_id, number) or f"jobs/{job_id}/parts/{number}"
            parts.append({"number": number, "url": url})
        return {"part_bytes": PART_BYTES, "parts": parts}

    def _result_urls(self, job_id: str) -> dict[str, Any]:
        key = f"jobs/{job_id}"
        there = set(self.results.keys(f"{key}/"))
        files = {}
        for kind, (name, _) in RESULT_FILES.items():
            if f"{key}/{name}" in there:
                url = self.results.url(f"{key}/{name}", file_name=self.download_name(job_id, name))
                files[kind] = url or f"{key}/files/{name}"
        return {"result_url": files["json"], "files": files}

    # ------------------------------------------------------------------ results

    def download_name(self, job_id: str, name: str) -> str:
        """Name a file of a result after its recording, in letters that every header and disk can hold."""
        try:
            stem = re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(self.request(job_id)["filename"]).stem)
        except Problem:  # the request has expired, or there was none
            stem = job_id[:8]
        return stem + name.removeprefix("result")

    def keep(self, result: bytes) -> str:
        """Keep a result that no job made, as that of a new job; return the id."""
        job_id = new_id()
        self.results.write(f"jobs/{job_id}/result.json", result, media_type="application/json")
        return job_id


def new_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_hex(16)


def report_missing_job(job_id: str) -> Problem:
    """Say that there is no such job."""
    return Problem(
        404, "no_such_job", f"there is no job {job_id[:40]!r}; recordings and results expire after some days"
    )


def check_object(buckets: tuple[str, ...], reference: S3Reference) -> int:
    """Return the size of an object in one of our buckets.

    Raises
    ------
    Problem
        403: not our bucket; 404: no such object; 503: S3 does not answer.
    """
    if reference.s3_bucket not in buckets:
        ours = f"this service reads {' and '.join(buckets)}" if buckets else "this service has none"
        raise Problem(403, "forbidden_bucket", f"s3_bucket is {reference.s3_bucket!r}; {ours}")
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return S3Store(reference.s3_bucket).size(reference.s3_key)
    except MissingObject:
        raise Problem(
            404, "no_such_object", f"there is no object {reference.s3_key!r} in {reference.s3_bucket}; upload it first"
        ) from None
    except (BotoCoreError, ClientError) as error:
        raise Problem(503, "storage_unavailable", f"S3 does not give {reference.s3_key!r}: {error}") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
