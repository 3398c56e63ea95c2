"""Connections that ask nothing, ask slowly, or do not read the answer: they end, and others do not notice."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from anemone_lib.service import connections, middleware
from tests.service.conftest import Inside, listening

#: Seconds after which a test gives up; the service takes half of one, and more where the machine is busy.
PATIENCE_S = 120
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def impatient(settings, monkeypatch):
    """The service with a patience of half a second."""
    for name in ("HEAD_S", "KEEP_ALIVE_S", "READ_S"):
        monkeypatch.setattr(connections, name, 0.5)
    monkeypatch.setattr(middleware, "BODY_IDLE_S", 0.5)
    with listening(Inside(settings).app) as front:
        yield front


def connect(front):
    parts = urlsplit(front.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)


def read_all(connection):
    content = b""
    with contextlib.suppress(ConnectionError):
        while block := connection.recv(65536):
            content += block
    return content


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_connection_on_which_no_whole_head_arrives_is_closed(impatient, sent):
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert read_all(connection) == b""
    assert impatient("GET", "/health").status == 200


def test_a_head_that_arrives_byte_by_byte_is_not_waited_for(impatient):
    with connect(impatient) as connection, contextlib.suppress(OSError):
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() - began < PATIENCE_S


def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(impatient):
    with connect(impatient) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
        assert read_all(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_that_stops_is_answered_408(impatient):
    with connect(impatient) as connection:
        connection.sendall(POST + b"RIFF")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"too_slow"' in answer
    assert b"x-request-id" in answer.lower()


def test_a_body_that_trickles_is_answered_408(impatient, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_IDLE_S", 10.0)
    monkeypatch.setattr(middleware, "BODY_S", 0.5)
    with connect(impatient) as connection:
        connection.sendall(POST)
        answer, connection_is_open = b"", True
        connection.settimeout(0.1)
        while connection_is_open and not answer:
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                connection_is_open = False
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"A" * 100_000])
def test_what_is_no_http_is_answered_in_the_form_of_all_errors(impatient, sent):
    with connect(impatient) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        answer = read_all(connection)
    if answer:  # the rest of a long one may break the connection first
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'"malformed"' in answer
        assert b"x-request-id" in answer
    assert impatient("GET", "/health").status == 200


def test_there_are_not_too_many_connections(impatient, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(impatient)) for _ in range(20)]
        closed = sum(read_all(connection) == b"" for connection in opened[5:])
        assert closed == 15
        opened[0].close()
        began, status = time.monotonic(), None
        while status is None and time.monotonic() - began < PATIENCE_S:  # until it has noticed that one is closed
            with contextlib.suppress(requests.ConnectionError):
                status = impatient("GET", "/health").status
        assert status == 200
