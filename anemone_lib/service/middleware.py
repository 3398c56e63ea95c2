"""The layer around every route: a request id, an answer to every error, one record of each request."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anemone_lib.service.problems import Problem, to_problem

log = logging.getLogger(__name__)

#: The connection is closed after a refused body that is larger than this, or whose size is unknown.
MAX_DISCARDED_BYTES = 50_000_000
#: A function that receives the record of every request, for logs and metrics.
Observer = Callable[[Mapping[str, Any]], None]


class RequestRecorder:
    """Middleware that gives every request an id, answers every error, and records every request once.

    It is inside the CORS middleware, so that a browser may read the errors too.

    Parameters
    ----------
    app : ASGIApp
    observe : callable (mapping)
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
        record: dict[str, Any] = {"began": time.perf_counter()}
        scope["record"] = record
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if status == 413 and context is None and not _is_small_enough_to_discard(scope):
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            record["error"] = "client_disconnected"
        except Exception as error:
            problem = to_problem(error)
            record["error"] = problem.error
            if problem.status == 500:
                log.exception("request %s failed", request_id)
            if status == 0:
                await respond(problem)(scope, receive, send_with_id)
        self._observe(_complete_record(record, scope, status, request_id))


def _complete_record(record: dict[str, Any], scope: Scope, status: int, request_id: str) -> dict[str, Any]:
    seconds = time.perf_counter() - record.pop("began")
    return {
        "request_id": request_id,
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", "") or "none",
        "status": status,
        "seconds": round(seconds, 4),
        **{name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()},
    }


def _is_small_enough_to_discard(scope: Scope) -> bool:
    """Return whether a client may send the rest of a refused body: most clients read the answer only after it."""
    announced = Headers(scope=scope).get("content-length", "")
    return announced.isdigit() and int(announced) < MAX_DISCARDED_BYTES


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Make the response for a problem.

    Parameters
    ----------
    problem : Problem
    headers : mapping, optional

    Returns
    -------
    response : Response, with JSON ``{"error", "message"}``
    """
    return JSONResponse(problem.to_dict(), problem.status, headers)


def log_request(record: Mapping[str, Any]) -> None:
    """Write the record of a request to the log."""
    log.info("%s", " ".join(f"{name}={value}" for name, value in record.items()))
