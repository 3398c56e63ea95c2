"""The description of the interface in OpenAPI, from the models and the routes."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from anemone_lib.config import EVENT_FIELDS
from anemone_lib.service.models import Error, PredictAudio, PredictForm, PredictObject

DESCRIPTION = f"""
Finds anemonefish calls in hydrophone recordings.

Small recordings (`GET /health` says how large; 4.5 MB on AWS, 29 s of work) go to `POST /predict`. Larger ones, up to
5 GiB, are jobs: `POST /jobs`, `PUT` each part to its URL, `POST /jobs/{{id}}/start` with the parts' ETags,
`GET /jobs/{{id}}` until its state is `done`, and fetch `result_url`. `DELETE /jobs/{{id}}` stops a job and removes it.

A request may change the settings that decide the events: {", ".join(f"`{name}`" for name in EVENT_FIELDS)}.

Every error is `{{"error": "<short name>", "message": "<what is wrong, and what to do>"}}`. Every answer has the header
`X-Request-Id`. On AWS, requests need the header `x-api-key` if the API uses keys.
"""

#: The meaning of each status; 429 and 504 are answers of the API Gateway.
MEANINGS = {
    400: "Malformed, or an upload that is not complete.",
    403: "The bucket is not one of the service, a page of this origin may not call, or the key is missing.",
    404: "There is no such object, job, part, file or route.",
    408: "The body arrives too slowly.",
    409: "The upload is complete already.",
    413: "Too large or too long; use /jobs.",
    415: "Not audio.",
    421: "The service is called by a name that is not its own.",
    422: "Audio that cannot be decoded or is empty, or a bad setting.",
    429: "Too many requests.",
    500: "An unexpected error.",
    503: "The service is busy, or the model or the store is unavailable. `Retry-After` says when to try again.",
    504: "The answer took too long.",
    507: "A disk is full.",
}

#: The bodies of ``POST /predict`` that are the audio itself.
AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/mpeg", "audio/ogg", "audio/mp4", "application/octet-stream")
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PREDICT_BODIES = (PredictForm, PredictAudio, PredictObject)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route.

    Parameters
    ----------
    statuses : int, besides those that every route may answer

    Returns
    -------
    responses : dict, for FastAPI
    """
    return {status: {"model": Error, "description": MEANINGS[status]} for status in sorted(statuses)}


#: Errors that every route may answer.
COMMON_ERRORS = describe_errors(403, 421, 429, 500, 503, 504)


def describe_predict_body() -> dict[str, Any]:
    """Describe the bodies of ``POST /predict``; FastAPI cannot, because the route reads the bodies as they arrive."""
    reference = "#/components/schemas/"
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": {"$ref": reference + PredictForm.__name__}},
        "application/json": {
            "schema": {"anyOf": [{"$ref": reference + model.__name__} for model in (PredictAudio, PredictObject)]}
        },
    }
    return {"requestBody": {"required": True, "content": content | dict.fromkeys(AUDIO_TYPES, BINARY)}}


def describe_app(app: FastAPI) -> dict[str, Any]:
    """Return the description of an app; it is made once.

    Parameters
    ----------
    app : FastAPI

    Returns
    -------
    description : dict, OpenAPI 3.1
    """
    if app.openapi_schema:
        return app.openapi_schema
    described = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, made = models_json_schema(
        [(model, "validation") for model in _PREDICT_BODIES], ref_template="#/components/schemas/{model}"
    )
    schemas |= made["$defs"]
    schemas["PredictForm"]["properties"]["audio"] = {
        "type": "string",
        "format": "binary",
        "title": "Audio",
        "description": "The recording, as a file. `audio_file` is its older name.",
    }
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "ApiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "Needed on AWS if the API uses keys. A service on a laptop needs none.",
        }
    }
    for path, methods in described["paths"].items():
        for operation in methods.values():
            operation["security"] = [{}] if path == "/health" else [{}, {"ApiKey": []}]
            responses = operation["responses"]
            for status in [status for status, answer in responses.items() if "HTTPValidationError" in str(answer)]:
                del responses[status]  # FastAPI's own form of errors, which the service never sends
            for answer in responses.values():
                answer.setdefault("headers", {})["X-Request-Id"] = {
                    "description": "Names the request in the log.",
                    "schema": {"type": "string"},
                }
    app.openapi_schema = described
    return described
