"""Connections of a local service: idle connections are closed, and their number is limited."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.h11_impl import H11Protocol, h11

#: Seconds in which the head of a request must arrive, from the start of the connection or of the request.
HEAD_S = 15.0
#: Seconds for which a connection stays open after an answer, even if the next request is not complete.
KEEP_ALIVE_S = 15
#: Seconds in which a client must continue to read when its connection is full.
READ_S = 60.0
#: Largest number of connections that are open at once.
MAX_CONNECTIONS = 768


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with time limits: uvicorn itself waits forever for the head of a request."""

    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, or close it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
            return
        self._timer = self.loop.call_later(HEAD_S, self._close_unless_asked)

    def data_received(self, data: bytes) -> None:
        """Take bytes; if the head is not complete, begin to wait for the rest."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_S, self._close_unless_asked)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that does not read, up to the time limit."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP, in the form of all errors."""
        body = json.dumps({"error": "malformed", "message": f"this is no HTTP/1.1 request: {msg}"}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", str(uuid4()).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_unless_asked(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
