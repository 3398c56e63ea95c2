"""The descriptions of the routes for OpenAPI."""

import json
from typing import Any, Literal

from fastapi import Response
from pydantic import BaseModel, Field

from anemone_lib.config import EVENT_FIELDS
from anemone_lib.service.incoming import Options, S3Reference
from anemone_lib.service.jobs import RESULT_FILES, JobRequest, StartRequest

DESCRIPTION = f"""
Finds anemonefish calls in hydrophone recordings.

Small recordings (up to 4.5 MB, 29 s of work) go to `POST /predict`. Larger ones, up to 5 GiB, are jobs: `POST /jobs`,
`PUT` each part to its URL, `POST /jobs/{{id}}/start` with the parts' ETags, `GET /jobs/{{id}}` until its state is
`done`, and fetch `result_url`.

A request may change the settings that decide the events: {", ".join(f"`{name}`" for name in EVENT_FIELDS)}.

Every error is `{{"error": "<short name>", "message": "<what is wrong, and what to do>"}}`.
"""


class Error(BaseModel):
    """An error: what is wrong, and what to do."""

    error: str = Field(description="A short name for programs; it does not change.")
    message: str


class Prediction(BaseModel):
    """One window."""

    timestamp: str
    start_time: float
    end_time: float
    class_: str = Field(alias="class")
    confidence: float
    probabilities: dict[str, float]


class FoundEvent(BaseModel):
    """One event."""

    id: str
    class_: str = Field(alias="class")
    start_time: float
    end_time: float
    duration: float
    mean_confidence: float
    max_confidence: float
    num_windows: int
    start_utc: str | None = None


class Result(BaseModel):
    """The result. If it is over 6 MB, it is stored, and the answer has only `metadata`, `job_id` and `result_url`."""

    predictions: list[Prediction] | None = None
    events: list[FoundEvent] | None = None
    metadata: dict[str, Any]
    files: dict[str, str] | None = None
    job_id: str | None = None
    result_url: str | None = None


class UploadPart(BaseModel):
    """The URL to which one part is uploaded."""

    number: int
    url: str


class Upload(BaseModel):
    """The URLs of an upload. Every part except the last has `part_bytes` bytes."""

    part_bytes: int
    parts: list[UploadPart]


class Progress(BaseModel):
    """The number of chunks of a job that are done, that there are, and that failed."""

    done: int
    total: int | None
    failed: int


class Job(BaseModel):
    """The state of a job."""

    job_id: str
    state: Literal["uploading", "running", "done", "failed"]
    filename: str | None = None
    size_bytes: int | None = None
    created: str | None = None
    upload: Upload | None = None
    chunks: Progress | None = None
    result_url: str | None = None
    files: dict[str, str] | None = None
    error: str | None = None
    message: str | None = None


class Health(BaseModel):
    """The versions, settings and limits of this service."""

    status: Literal["ok"]
    code_version: str
    code_sha256: str
    model_version: str
    model_sha256: str
    config: dict[str, Any]
    config_fingerprint: str
    limits: dict[str, float | None]


def _describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "malformed",
        403: "the bucket is not one of the service",
        404: "there is no such object, job or route",
        409: "the upload is complete already",
        413: "too large or too long; use /jobs",
        415: "not audio",
        422: "audio that cannot be decoded or is empty, or a bad setting",
        500: "an unexpected error",
        503: "the model or the store is unavailable",
    }
    return {status: {"model": Error, "description": meanings[status]} for status in statuses}


ERRORS = _describe_errors(500, 503)

_json = "application/json"
_options = Options.model_json_schema()["properties"]
_binary = {"schema": {"type": "string", "format": "binary"}}
_query = [
    {
        "name": "filename",
        "in": "query",
        "description": "Name of the recording, if the body is the audio itself. It tells when the recording began.",
        "schema": {"type": "string", "maxLength": 200},
    },
    {
        "name": "files",
        "in": "query",
        "description": "More formats of the result, separated by commas.",
        "schema": {"type": "string", "examples": ["csv,raven,audacity,png"], "pattern": "^(csv|raven|audacity|png)$"},
    },
]

PREDICT: dict[str, Any] = {
    "summary": "Detect events in one recording",
    "response_model": Result,
    "responses": _describe_errors(400, 403, 404, 413, 415, 422),
    "openapi_extra": {
        "parameters": _query,
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["audio"],
                        "properties": {
                            "audio": {"type": "string", "format": "binary", "description": "The recording."},
                            "config": {
                                "type": "string",
                                "contentMediaType": _json,
                                "description": "Event settings, as JSON.",
                            },
                            "timezone": _options["timezone"],
                            "channel": _options["channel"],
                        },
                    }
                },
                "audio/*": _binary,
                "application/octet-stream": _binary,
                _json: {
                    "schema": {
                        "oneOf": [
                            {
                                "type": "object",
                                "required": ["s3_bucket", "s3_key"],
                                "additionalProperties": False,
                                "properties": {**S3Reference.model_json_schema()["properties"], **_options},
                            },
                            {
                                "type": "object",
                                "required": ["audio_base64"],
                                "additionalProperties": False,
                                "properties": {
                                    "audio_base64": {"type": "string", "contentEncoding": "base64", "minLength": 4},
                                    "filename": {"type": "string"},
                                    **_options,
                                },
                            },
                        ]
                    }
                },
            },
        },
    },
}


def _describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe the body of a route that reads it itself; definitions are inlined, since OpenAPI has another root."""
    text = json.dumps(model.model_json_schema())
    for name, definition in json.loads(text).get("$defs", {}).items():
        text = text.replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(definition))
    schema = json.loads(text)
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {_json: {"schema": schema}}}}


CREATE_JOB: dict[str, Any] = {
    "summary": "Create a job for a large recording",
    "response_model": Job,
    "responses": _describe_errors(400, 403, 404, 413, 422),
    "openapi_extra": _describe_body(JobRequest),
}
START_JOB: dict[str, Any] = {
    "summary": "Join the uploaded parts and start the work",
    "response_model": Job,
    "responses": _describe_errors(400, 404, 413, 422),
    "openapi_extra": _describe_body(StartRequest),
}
DESCRIBE_JOB: dict[str, Any] = {
    "summary": "Return the state of a job, its progress, and the URLs of its result",
    "response_model": Job,
    "responses": _describe_errors(404),
}
PUT_PART: dict[str, Any] = {
    "summary": "Receive one part of an upload (on AWS, S3 does)",
    "response_class": Response,
    "responses": {
        200: {"description": "Received.", "headers": {"ETag": {"schema": {"type": "string"}}}},
        **_describe_errors(400, 404, 409, 413),
    },
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/octet-stream": _binary}}},
}
GET_FILE: dict[str, Any] = {
    "summary": "Return one file of a result (on AWS, S3 does)",
    "response_class": Response,
    "responses": {
        200: {"description": "The file.", "content": {media: {} for _, media in RESULT_FILES.values()}},
        **_describe_errors(404),
    },
}
HEALTH: dict[str, Any] = {"summary": "Versions and fingerprints", "response_model": Health}
