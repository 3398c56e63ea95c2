"""The layers around every route: a request id and one record of each request; an answer to every error."""

import asyncio
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
#: Seconds in which the next piece of a body must arrive.
BODY_IDLE_S = 30.0
#: Seconds in which a whole body must arrive; after them, the lowest speed in bytes a second.
BODY_S, BODY_BYTES_PER_S = 60.0, 10_000.0
#: Seconds after which a client may try again when the service is busy.
RETRY_AFTER_S = 5
#: A function that receives the record of every request, for logs and metrics.
Observer = Callable[[Mapping[str, Any]], None]


class RequestRecorder:
    """Middleware that gives every answer an id, records every request once, and answers HEAD as GET without a body.

    It is the outermost layer, so that preflights and refusals have an id too.

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
        scope["record"], scope["request_id"] = record, request_id
        status, is_head = 0, scope["method"] == "HEAD"
        if is_head:
            scope["method"] = "GET"

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if status in (408, 413, 503) and context is None and not _is_small_enough_to_discard(scope):
                    message["headers"].append((b"connection", b"close"))
            elif is_head:
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, send_with_id)
        self._observe(_complete_record(record, scope, status, request_id, "HEAD" if is_head else scope["method"]))


class ErrorAnswerer:
    """Middleware that answers every error, and stops requests whose body no longer arrives.

    It is inside the CORS middleware, so that a browser may read the errors too.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = is_whole = False
        started, n_bytes = time.monotonic(), 0

        async def receive_in_time() -> Message:
            nonlocal is_whole, n_bytes
            if is_whole:  # after that, only the end of the connection follows, which may take its time
                return await receive()
            left = started + BODY_S + n_bytes / BODY_BYTES_PER_S - time.monotonic()
            try:
                async with asyncio.timeout(min(BODY_IDLE_S, left)):
                    message = await receive()
            except TimeoutError:
                raise Problem(
                    408, "too_slow", f"the body arrives too slowly: {n_bytes:,} bytes until now; send it again"
                ) from None
            is_whole = message["type"] != "http.request" or not message.get("more_body", False)
            n_bytes += len(message.get("body", b""))
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive_in_time, send_and_note)
        except ClientDisconnect:
            scope["record"]["error"] = "client_disconnected"
        except Exception as error:
            problem = to_problem(error)
            scope["record"]["error"] = problem.error
            if problem.status == 500:
                log.exception("request %s failed", scope["request_id"])
            if not began:
                await respond(problem)(scope, receive, send)


def _complete_record(record: dict[str, Any], scope: Scope, status: int, request_id: str, method: str) -> dict[str, Any]:
    seconds = time.perf_counter() - record.pop("began")
    return {
        "request_id": request_id,
        "method": method,
        "route": getattr(scope.get("route"), "path", "") or "none",
        "status": status,
        "seconds": round(seconds, 4),
        **{name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()},
    }


def _is_small_enough_to_discard(scope: Scope) -> bool:
    """Return whether a client may send the rest of a refused body: most clients read the answer only after it."""
    headers = Headers(scope=scope)
    announced = headers.get("content-length", "" if "transfer-encoding" in headers else "0")
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
        503 of a service that is busy has ``Retry-After``.
    """
    fields = dict(headers or {})
    if problem.error in ("busy", "storage_unavailable"):
        fields["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(problem.to_dict(), problem.status, fields)


def log_request(record: Mapping[str, Any]) -> None:
    """Write the record of a request to the log."""
    log.info("%s", " ".join(f"{name}={value}" for name, value in record.items()))
