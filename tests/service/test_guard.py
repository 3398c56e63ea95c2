"""Who may call a service on a laptop: a page of another origin may not, and nobody under another host's name."""

from dataclasses import replace

import pytest

from tests.service.conftest import ORIGIN, Inside, as_json

JOB = as_json({"filename": "a.wav", "size_bytes": 10})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "evil.example/localhost",
        "localhost:port",
        "",
        "[::1",
        "2130706433",
        "0x7f.1",
    ],
)
def test_a_name_that_is_not_ours_is_refused(inside, host):
    answer = inside("GET", "/health", headers={"Host": host})
    assert (answer.status, answer.json()["error"]) == (421, "foreign_host")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:8000", "[::1]:8000", "192.168.0.7", "a.localhost"]
)
def test_the_computer_itself_and_addresses_in_numbers_may_be_called(inside, host):
    assert inside("GET", "/health", headers={"Host": host}).status == 200


def test_a_name_can_be_allowed(settings):
    for hosts, status in (((), 421), (("reef.example",), 200), (("*",), 200)):
        inside = Inside(replace(settings, store=None, allowed_hosts=hosts))
        assert inside("GET", "/health", headers={"Host": "Reef.Example:80"}).status == status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999", "https://localhost", "x"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("GET", "/health"), ("POST", "/predict")])
def test_a_page_of_another_origin_does_nothing(inside, method, path, origin):
    before = list(inside.folder.rglob("*.json"))
    answer = inside(method, path, **{**JOB, "headers": JOB["headers"] | {"Origin": origin}})
    assert (answer.status, answer.json()["error"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in answer.headers
    assert list(inside.folder.rglob("*.json")) == before


@pytest.mark.parametrize("origin", ["http://localhost", ORIGIN])
def test_the_own_page_and_pages_that_are_named_may_call(inside, origin):
    assert inside("POST", "/jobs", **{**JOB, "headers": JOB["headers"] | {"Origin": origin}}).status == 201


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/health", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("PATCH", "/health", {}, 405),
        ("POST", "/jobs", {"body": b"{"}, 400),
        ("POST", "/jobs", {"headers": {"Host": "evil.example"}}, 421),
        ("POST", "/predict", {"body": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ("GET", f"/jobs/{'0' * 32}", {}, 404),
        ("OPTIONS", "/predict", {"headers": {"Access-Control-Request-Method": "POST"}}, 200),
        ("HEAD", "/health", {}, 200),
        ("HEAD", "/jobs", {}, 405),
    ],
)
def test_every_answer_has_an_id_and_can_be_read_by_an_allowed_page(inside, method, path, sent, status):
    headers = {"Origin": ORIGIN, **sent.get("headers", {})}
    answer = inside(method, path, body=sent.get("body", b""), headers=headers)
    assert answer.status == status
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_defect_too_is_answered_with_an_id_that_an_allowed_page_can_read(inside, monkeypatch):
    def fail(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(inside.jobs, "describe", fail)
    answer = inside("GET", f"/jobs/{'0' * 32}", headers={"Origin": ORIGIN})
    assert (answer.status, answer.json()["error"]) == (500, "internal_error")
    assert b"secret" not in answer.content
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_head_is_get_without_a_body(inside):
    whole, head = inside("GET", "/health"), inside("HEAD", "/health")
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]
