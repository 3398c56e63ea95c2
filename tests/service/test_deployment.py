import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from anemone_lib import ConfigError, InferenceConfig, detect
from anemone_lib.service.deployment import Check, LocalService, check_deployment
from anemone_lib.service.settings import Settings
from tests.service.conftest import serving


def service(**settings):
    return serving(Settings(**settings))


@contextmanager
def endpoint(answers):
    """Something that answers by path with what it is given: (status, content)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(dict(self.headers))
            status, content = answers[self.path.split("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def recording(write_wav, noise):
    return write_wav(noise(8))


def wrong(checks):
    return {check.name: check.detail for check in checks if not check.ok}


def test_the_service_started_here_answers_as_the_library_does(recording):
    with service() as client:
        checks = check_deployment(client.url, [recording])
    assert wrong(checks) == {}
    assert [check.name for check in checks] == [
        "same code",
        "same model",
        "same settings",
        *(f"reef.wav: {what}" for what in ("arrived whole", "windows", "probabilities", "events")),
    ]


def test_other_settings_are_told_by_name(recording):
    with service(config=InferenceConfig(confidence_threshold=0.9)) as client:
        checks = check_deployment(client.url, [recording])
    assert "confidence_threshold 0.9 ≠ 0.8" in wrong(checks)["same settings"]
    assert "apply Terraform after promoting" in wrong(checks)["same settings"]


def test_another_stride_shows_in_the_windows(recording):
    with service(config=InferenceConfig(stride_duration=0.5)) as client:
        checks = check_deployment(client.url, [recording])
    assert "reef.wav: windows" in wrong(checks)


def test_probabilities_and_events_that_differ_are_red(recording):
    result = detect(recording).to_dict()
    result["predictions"][3]["probabilities"]["noise"] += 3e-4
    result["events"].append({"id": "x", "start_time": 1.0, "end_time": 2.0})
    health = {"code_sha256": "0" * 64}
    answers = {"/health": (200, json.dumps(health).encode()), "/predict": (200, json.dumps(result).encode())}
    with endpoint(answers) as (url, asked):
        checks = check_deployment(url + "/", [recording], api_key="secret")
    found = wrong(checks)
    assert "deploy the image" in found["same code"]
    assert found["same model"].startswith("nothing there")
    assert found["reef.wav: probabilities"] == "differ by 0.0003 at most"
    assert "(1.0, 2.0)" in found["reef.wav: events"]
    assert {headers["X-Api-Key"] for headers in asked} == {"secret"}


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ((503, b'{"error": "model_unavailable"}'), "GET /health answers 503"),
        ((200, b"<html>hello</html>"), "no JSON object; is that address a service of Anemone?"),
    ],
)
def test_an_answer_that_means_nothing_is_one_red_line(recording, health, words):
    with endpoint({"/health": health}) as (url, _):
        checks = check_deployment(url, [recording])
    assert [check.ok for check in checks] == [False]
    assert words in checks[0].detail


@pytest.mark.parametrize(
    ("url", "words"), [("http://127.0.0.1:9", "is the service running"), ("ftp://reef", "must begin with http")]
)
def test_an_endpoint_that_cannot_be_reached_is_one_red_line(recording, url, words):
    checks = check_deployment(url, [recording])
    assert [check.ok for check in checks] == [False]
    assert words in checks[0].detail


def test_a_result_that_is_too_large_for_one_answer_says_where_it_is(recording):
    answer = {"metadata": {}, "result_url": "https://bucket/result.json"}
    answers = {"/health": (200, b"{}"), "/predict": (200, json.dumps(answer).encode())}
    with endpoint(answers) as (url, _):
        found = wrong(check_deployment(url, [recording]))
    assert "https://bucket/result.json" in found["reef.wav: result"]


def test_a_line_is_green_or_red_and_shows_no_markup_of_others():
    good, bad = Check("same model", True, "abc"), Check("events", False, "<script>")
    assert str(good).startswith("ok ")
    assert str(bad).startswith("WRONG ")
    assert "✔" in good._repr_html_()
    assert "&lt;script&gt;" in bad._repr_html_()


def test_the_service_can_be_started_with_settings_and_stopped(recording, tmp_path):
    config = InferenceConfig(confidence_threshold=0.9)
    with LocalService(tmp_path / "service", config=config) as local:
        assert wrong(check_deployment(local.url, [recording], config=config)) == {}
    assert not check_deployment(local.url, [], config=config)[0].ok


def test_a_service_that_cannot_start_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"did not start: .*no-such-model"):
        LocalService(tmp_path, model="no-such-model")
