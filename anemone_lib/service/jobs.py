"""Jobs for large recordings: create a job, upload its recording in parts, start it, ask for its progress.

*Objects.* A job has these objects under ``jobs/<id>/``. In the store of recordings, where everything may expire:
``request.json``, ``recording``, ``started.json``, ``plan.json``, ``claims/<chunk>/<attempt>.json``, and
``chunks/<chunk>.npy`` or ``chunks/<chunk>.failed.json``. In the store of results: ``result.json`` and the other files
of a result, or ``error.json``. There is no database: the state of a job follows from which objects exist.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from anemone_lib.service.engine import Engine
from anemone_lib.service.fields import clean_name
from anemone_lib.service.folder_store import FolderStore
from anemone_lib.service.models import JobRequest, S3Reference
from anemone_lib.service.problems import Problem, report_failed_job
from anemone_lib.service.render import RESULT_FILES, name_result_file, parse_result_file
from anemone_lib.service.s3_store import S3Store, check_room
from anemone_lib.service.settings import MAX_JOB_BYTES
from anemone_lib.service.stores import MissingObject, Store, exists

#: Size of every part of an upload except the last. S3 allows 10,000 parts of 5 MiB to 5 GiB.
PART_BYTES = 64 << 20


def make_stores(*, input_bucket: str, output_bucket: str, folder: Path | None) -> tuple[Store, Store] | None:
    """Make the stores of recordings and of results.

    Parameters
    ----------
    input_bucket, output_bucket : str
        S3 buckets; empty if there are none.
    folder : pathlib.Path, optional
        Folder for both stores if there are no buckets.

    Returns
    -------
    stores : (recordings, results), or None if there are neither buckets nor a folder
    """
    if input_bucket:
        return S3Store(input_bucket), S3Store(output_bucket)
    if folder:
        return FolderStore(folder / "recordings"), FolderStore(folder / "results")
    return None


class Jobs:
    """The requests that clients make about jobs.

    Parameters
    ----------
    engine : Engine
    recordings, results : Store
    launch : callable (job_id)
        Starts the work on a job. A second call for the same job must not start the work a second time while it goes on.
    cancel : callable (job_id), optional
        Stops the work on a job.
    find_trouble : callable (job_id), optional
        Returns why nothing works on a job any more, if starting it again may help; otherwise an empty text.
    is_drawing : callable (job_id), optional
        Returns whether the picture of a finished job is not drawn yet.
    """

    def __init__(
        self,
        engine: Engine,
        recordings: Store,
        results: Store,
        launch: Callable[[str], None],
        *,
        cancel: Callable[[str], None] = lambda _: None,
        find_trouble: Callable[[str], str] = lambda _: "",
        is_drawing: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._engine, self._launch, self._cancel = engine, launch, cancel
        self._find_trouble, self.is_drawing = find_trouble, is_drawing
        self.recordings, self.results = recordings, results

    # ------------------------------------------------------------------ create, start

    def create(self, job_request: JobRequest) -> dict[str, Any]:
        """Create a job.

        Parameters
        ----------
        job_request : JobRequest

        Returns
        -------
        description : dict, as `describe` returns it
            It has the upload URLs if the recording must be uploaded.

        Raises
        ------
        Problem
            403, 404, 413 or 507.
        ConfigError
            A setting cannot be set by a request.
        """
        config = job_request.config.model_dump(exclude_unset=True)
        self._engine.change_config(config)
        request: dict[str, Any] = {
            "filename": clean_name(job_request.filename or job_request.s3_key),
            "config": config,
            "timezone": job_request.timezone,
            "channel": job_request.channel,
            "created": _format_now(),
        }
        job_id = make_id()
        if job_request.s3_bucket and job_request.s3_key:
            reference = S3Reference(s3_bucket=job_request.s3_bucket, s3_key=job_request.s3_key)
            request["size_bytes"], etag = check_object(self._engine.settings.buckets, reference)
            request["s3"] = {**reference.model_dump(), "etag": etag}
        else:
            request["size_bytes"] = job_request.size_bytes
        if request["size_bytes"] > MAX_JOB_BYTES:
            raise Problem(
                413,
                "too_large",
                f"the recording has {request['size_bytes']} bytes; a job takes up to {MAX_JOB_BYTES} (5 GiB): cut it, "
                "or use `anemone detect`, which has no limit",
            )
        if isinstance(self.recordings, S3Store):
            check_room(job_request.s3_key or job_request.filename or "", request["size_bytes"])
        if "s3" not in request:
            if isinstance(self.recordings, FolderStore):  # the parts, and the object that they become
                self.recordings.check_room(request["size_bytes"] * (1 if request["size_bytes"] <= PART_BYTES else 2))
            request["upload_id"] = self.recordings.begin_upload(f"jobs/{job_id}/recording")
        self.recordings.write(
            f"jobs/{job_id}/request.json", json.dumps(request).encode(), media_type="application/json"
        )
        return self.describe(job_id)

    def start(self, job_id: str, parts: Mapping[int, str]) -> dict[str, Any]:
        """Join the uploaded parts and start the work. A second call changes nothing, even at the same time.

        If the work has ended without a result, it is started again, from the results so far.

        Parameters
        ----------
        job_id : str
        parts : mapping of part number (from 1) to ETag

        Returns
        -------
        description : dict, as `describe` returns it

        Raises
        ------
        Problem
            400: parts are missing, or do not have the announced size; 404: there is no such job.
        """
        request = self.read_request(job_id)
        key = f"jobs/{job_id}"
        if not exists(self.recordings, f"{key}/started.json"):
            if "s3" not in request:
                self._complete_upload(job_id, request, parts)
            started = {"started": _format_now(), "at": time.time()}
            self.recordings.create(f"{key}/started.json", json.dumps(started).encode())
        description = self.describe(job_id)
        if description["state"] in ("done", "failed") and not self._find_trouble(job_id):
            return description
        if description["state"] == "failed":  # it is started again, from the results so far
            self.results.delete(f"{key}/error.json")
        self._launch(job_id)
        return self.describe(job_id)

    def _complete_upload(self, job_id: str, request: Mapping[str, Any], parts: Mapping[int, str]) -> None:
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
            self.recordings.complete_upload(key, request["upload_id"], parts, part_bytes=PART_BYTES, size_bytes=size)
        actual = self.recordings.get_size(key)
        if actual != size:
            raise Problem(
                400, "upload_incomplete", f"{actual} bytes were uploaded, {size} were announced; create a new job"
            )

    # ------------------------------------------------------------------ describe

    def read_request(self, job_id: str) -> dict[str, Any]:
        """Return the request that created a job, as it is stored.

        Raises
        ------
        Problem
            404: there is no such job.
        """
        if not is_id(job_id):
            raise report_missing_job(job_id)
        try:
            return dict(json.loads(self.recordings.read(f"jobs/{job_id}/request.json")))
        except MissingObject:
            raise report_missing_job(job_id) from None

    def describe(self, job_id: str) -> dict[str, Any]:
        """Return the state of a job, its progress, and the URLs of its upload or of its result.

        Returns
        -------
        description : dict
            ``state`` is ``uploading``, ``running``, ``done`` or ``failed``. While the job runs, ``chunks`` counts the
            chunks that are ``done``, all of them (``total``, None before there is a plan), and those that ``failed``.

        Raises
        ------
        Problem
            404: there is no such job.
        """
        if not is_id(job_id):
            raise report_missing_job(job_id)
        key = f"jobs/{job_id}"
        description: dict[str, Any] = {"job_id": job_id}
        if exists(self.results, f"{key}/result.json"):
            return {**description, "state": "done", **self._list_result_urls(job_id)}
        if exists(self.results, f"{key}/error.json"):
            return {**description, "state": "failed", **json.loads(self.results.read(f"{key}/error.json"))}
        if trouble := self._find_trouble(job_id):
            return {**description, "state": "failed", **report_failed_job(trouble).to_dict()}
        request = self.read_request(job_id)
        description |= {name: request[name] for name in ("filename", "size_bytes", "created")}
        if not exists(self.recordings, f"{key}/started.json"):
            description["state"] = "uploading"
            if "s3" not in request:
                description["upload"] = self._list_upload_urls(job_id, request)
            return description
        return {**description, "state": "running", "chunks": self._count_chunks(key)}

    def _count_chunks(self, key: str) -> dict[str, int | None]:
        try:
            plan = json.loads(self.recordings.read(f"{key}/plan.json"))
        except MissingObject:
            return {"done": 0, "total": None, "failed": 0}
        names = self.recordings.list_keys(f"{key}/chunks/")
        failed = sum(name.endswith(".failed.json") for name in names)
        return {"done": len(names), "total": len(plan["chunks"]), "failed": failed}

    def get_part_size(self, job_id: str, number: int) -> int:
        """Return the size in bytes that one part of an upload must have.

        Raises
        ------
        Problem
            404: there is no such job, or its upload has no part of this number.
        """
        request = self.read_request(job_id)
        size = min(PART_BYTES, request["size_bytes"] - (number - 1) * PART_BYTES)
        if "s3" in request or number < 1 or size <= 0:
            raise Problem(404, "no_such_part", f"job {job_id} has no part {number}")
        return int(size)

    def _list_upload_urls(self, job_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        key, upload_id = f"jobs/{job_id}/recording", request["upload_id"]
        parts = []
        for number in range(1, -(-request["size_bytes"] // PART_BYTES) + 1):
            url = self.recordings.sign_part_url(key, upload_id, number) or f"jobs/{job_id}/parts/{number}"
            parts.append({"number": number, "url": url})
        return {"part_bytes": PART_BYTES, "parts": parts}

    def _list_result_urls(self, job_id: str) -> dict[str, Any]:
        key = f"jobs/{job_id}"
        names = [name.rpartition("/")[2] for name in self.results.list_keys(f"{key}/")]
        existing = {found for name in names if (found := parse_result_file(name))}
        if isinstance(self.results, FolderStore) and self.is_drawing(job_id):  # the pictures are not drawn yet
            existing |= {("png", part) for kind, part in existing if kind == "csv"}
        files = {}
        for part in sorted({part for _, part in existing}):
            for kind in RESULT_FILES:
                if (kind, part) in existing:
                    name = name_result_file(kind, part)
                    url = self.results.sign_url(f"{key}/{name}", file_name=self.name_download(job_id, name))
                    files[kind + part] = url or f"{key}/files/{name}"
        return {"result_url": files["json"], "files": files}

    # ------------------------------------------------------------------ remove

    def delete(self, job_id: str) -> None:
        """Stop the work on a job and remove everything of it.

        Raises
        ------
        Problem
            404: there is no such job.
        """
        self.describe(job_id)
        self._cancel(job_id)
        for store in (self.recordings, self.results):
            store.delete(f"jobs/{job_id}/")

    def expire(self, *, older_than_s: float) -> list[str]:
        """Remove the jobs of a local store that have not changed for some time; return their ids.

        Parameters
        ----------
        older_than_s : float > 0, seconds

        Returns
        -------
        removed : list of str
        """
        ages: dict[str, float] = {}
        for store in (self.recordings, self.results):
            if isinstance(store, FolderStore):
                for job_id, changed in store.find_ages("jobs").items():
                    ages[job_id] = max(changed, ages.get(job_id, 0.0))
        removed = [job_id for job_id, changed in ages.items() if changed < time.time() - older_than_s]
        for job_id in removed:
            self._cancel(job_id)
            for store in (self.recordings, self.results):
                store.delete(f"jobs/{job_id}/")
        return removed

    # ------------------------------------------------------------------ results

    def name_download(self, job_id: str, name: str) -> str:
        """Make the name of a downloaded file from the name of the recording.

        The name has only letters that every HTTP header and every disk accepts.
        """
        try:
            stem = re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(self.read_request(job_id)["filename"]).stem)
        except Problem:  # the request has expired, or the result was kept without a job
            stem = job_id[:8]
        return stem + name.removeprefix("result")

    def keep(self, result: bytes) -> str:
        """Store a result of ``/predict`` like the result of a job; return the id of this new job."""
        job_id = make_id()
        self.results.write(f"jobs/{job_id}/result.json", result, media_type="application/json")
        return job_id


def make_id() -> str:
    """Return a new random id that nobody can guess."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a job."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def report_missing_job(job_id: str) -> Problem:
    """Return the problem for a job that does not exist."""
    return Problem(
        404, "no_such_job", f"there is no job {job_id[:40]!r}; recordings and results expire after some days"
    )


def check_object(buckets: tuple[str, ...], reference: S3Reference) -> tuple[int, str]:
    """Return the size of an object in one of the service's buckets, and its ETag.

    Parameters
    ----------
    buckets : buckets that a request may name
    reference : S3Reference

    Returns
    -------
    size : int, bytes
    etag : str

    Raises
    ------
    Problem
        403: the bucket is not one of the service; 404: there is no such object; 503: S3 does not answer.
    """
    if reference.s3_bucket not in buckets:
        allowed = f"this service reads {' and '.join(buckets)}" if buckets else "this service has none"
        raise Problem(403, "forbidden_bucket", f"s3_bucket is {reference.s3_bucket!r}; {allowed}")
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return S3Store(reference.s3_bucket).get_version(reference.s3_key)
    except MissingObject:
        raise Problem(
            404, "no_such_object", f"there is no object {reference.s3_key!r} in {reference.s3_bucket}; upload it first"
        ) from None
    except (BotoCoreError, ClientError) as error:
        raise Problem(503, "storage_unavailable", f"S3 does not give {reference.s3_key!r}: {error}") from None


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
