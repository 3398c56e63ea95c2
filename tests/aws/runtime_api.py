"""A Lambda Runtime API on this machine (version 2018-06-01): enough for the real ``awslambdaric`` to serve from it."""

import queue
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

PREFIX = "/2018-06-01/runtime"


@dataclass
class Invocation:
    """One event on its way through the runtime."""

    payload: bytes
    deadline_ms: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    succeeded: bool = False
    answer: bytes = b""


class RuntimeApi(ThreadingHTTPServer):
    """Hands events to one runtime process and takes its answers.

    Parameters
    ----------
    arn : of the function, as the runtime is told it
    """

    daemon_threads = True

    def __init__(self, arn: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arn = arn
        self.waiting: queue.Queue[Invocation] = queue.Queue()
        self.running: dict[str, Invocation] = {}
        self.init_error = b""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Host and port, as AWS_LAMBDA_RUNTIME_API wants them."""
        return f"127.0.0.1:{self.server_address[1]}"

    def invoke(self, payload: bytes, *, timeout: float) -> tuple[bool, bytes]:
        """Return whether the handler succeeded and what it answered.

        Raises
        ------
        TimeoutError
            No answer in time; the runtime process must be ended.
        """
        invocation = Invocation(payload, deadline_ms=int((time.time() + timeout) * 1000))
        self.running[invocation.request_id] = invocation
        self.waiting.put(invocation)
        try:
            if not invocation.answered.wait(timeout):
                raise TimeoutError(f"{invocation.request_id} Task timed out after {timeout:.2f} seconds")
        finally:
            del self.running[invocation.request_id]
        return invocation.succeeded, invocation.answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits some 80 ms for an acknowledgement
    server: RuntimeApi

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The runtime asks for the next event."""
        invocation = self.server.waiting.get()
        self._answer(
            200,
            invocation.payload,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": self.server.arn,
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            },
        )

    def do_POST(self) -> None:
        """The runtime answers an event, or tells that it could not start."""
        body = self._body()
        match PurePosixPath(self.path).relative_to(PREFIX).parts:
            case ("init", "error"):
                self.server.init_error = body
                for invocation in list(self.server.running.values()):
                    invocation.answer = body
                    invocation.answered.set()
            case ("invocation", request_id, kind):
                if invocation := self.server.running.get(request_id):
                    invocation.succeeded, invocation.answer = kind == "response", body
                    invocation.answered.set()
        self._answer(202, b'{"status":"OK"}')

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
