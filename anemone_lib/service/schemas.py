"""What OpenAPI says of the routes."""

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
    """What is wrong, and what to do."""

    error: str = Field(description="A short name that programs can rely on.")
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
    """The result; over 6 MB it is kept, and the answer holds `metadata`, `job_id` and `result_url` only."""

    predictions: list[Prediction] | None = None
    events: list[FoundEvent] | None = None
    metadata: dict[str, Any]
    files: dict[str, str] | None = None
    job_id: str | None = None
    result_url: str | None = None


class UploadPart(BaseModel):
    """Where to put one part."""

    number: int
    url: str


class Upload(BaseModel):
    """Where to put the recording: every part but the last has `part_bytes` bytes."""

    part_bytes: int
    parts: list[UploadPart]


class Progress(BaseModel):
    """How far a job is."""

    done: int
    total: int | None
    failed: int


class Job(BaseModel):
    """A job."""

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
    """What answers here."""

    status: Literal["ok"]
    code_version: str
    code_sha256: str
    model_version: str
    model_sha256: str
    config: dict[str, Any]
    config_fingerprint: str
    limits: dict[str, float | None]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "malformed",
        403: "the bucket is none of the service's",
        404: "there is no such object, job or route",
        409: "the upload is complete already",
        413: "too large or too long; use /jobs",
        415: "not audio",
        422: "audio that cannot be decoded or is empty, or a bad setting",
        500: "an error that was not foreseen",
        503: "the model or the store is unavailable",
    }
    return {status: {"model": Error, "description": meanings[status]} for status in statuses}


ERRORS = _errors(500, 503)

_json = "application/json"
_options = Options.model_json_schema()["properties"]
_binary = {"schema": {"type": "string", "format": "binary"}}
_query = [
    {
        "name": "filename",
        "in": "query",
        "description": "Name of the recording, where the body is the audio itself; tells when it began.",
        "schema": {"type": "string", "maxLength": 200},
    },
    {
        "name": "files",
        "in": "query",
        "description": "More spellings of the result, separated by commas.",
        "schema": {"type": "string", "examples": ["csv,raven,audacity,png"], "pattern": "^(csv|raven|audacity|png)$"},
    },
]

PREDICT: dict[str, Any] = {
    "summary": "Detect events in one recording",
    "response_model": Result,
    "responses": _errors(400, 403, 404, 413, 415, 422),
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


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its own body says of it; the definitions in place, since OpenAPI has another root."""
    text = json.dumps(model.model_json_schema())
    for name, definition in json.loads(text).get("$defs", {}).items():
        text = text.replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(definition))
    schema = json.loads(text)
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {_json: {"schema": schema}}}}


CREATE_JOB: dict[str, Any] = {
    "summary": "Make a job for a large recording",
    "response_model": Job,
    "responses": _errors(400, 403, 404, 413, 422),
    "openapi_extra": _body(JobRequest),
}
START_JOB: dict[str, Any] = {
    "summary": "Put the uploaded parts together and begin",
    "response_model": Job,
    "responses": _errors(400, 404, 413, 422),
    "openapi_extra": _body(StartRequest),
}
DESCRIBE_JOB: dict[str, Any] = {
    "summary": "Tell how far a job is, and where its result is",
    "response_model": Job,
    "responses": _errors(404),
}
PUT_PART: dict[str, Any] = {
    "summary": "Take one part of an upload (on AWS, S3 does)",
    "response_class": Response,
    "responses": {
        200: {"description": "Taken.", "headers": {"ETag": {"schema": {"type": "string"}}}},
        **_errors(400, 404, 409, 413),
    },
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/octet-stream": _binary}}},
}
GET_FILE: dict[str, Any] = {
    "summary": "Give out one file of a result (on AWS, S3 does)",
    "response_class": Response,
    "responses": {
        200: {"description": "The file.", "content": {media: {} for _, media in RESULT_FILES.values()}},
        **_errors(404),
    },
}
HEALTH: dict[str, Any] = {"summary": "Versions and fingerprints", "response_model": Health}
