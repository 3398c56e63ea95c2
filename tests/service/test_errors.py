"""Every row of the list of errors, over HTTP and through the Lambda entry: status, JSON, CORS header."""

import base64
import contextlib
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Semaphore
from urllib.parse import urlsplit

import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.service import engine as engine_module
from anemone_lib.service import routes
from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from tests.service.conftest import INPUT, ORIGIN, Runtime, as_json, listening, multipart, without_jobs

WAV = {"Content-Type": "audio/wav"}
MISSING_JOB = f"/jobs/{'0' * 32}"


def error_of(answer, status, name):
    """The message, when the answer is the error that it should be."""
    assert (answer.status, answer.json()["error"]) == (status, name), answer.content
    assert set(answer.json()) == {"error", "message"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-request-id"]
    return answer.json()["message"]


@pytest.mark.parametrize(
    ("call", "status", "name", "message"),
    [
        # 400 malformed
        (("POST", "/predict", {"body": b"", "headers": WAV}), 400, "malformed", "body is empty"),
        (("POST", "/predict", multipart({"sound": ("a.wav", b"x", "audio/wav")})), 400, "malformed", "field `audio`"),
        (("POST", "/predict", multipart({"audio": "text"})), 400, "malformed", "mind the @"),
        (
            ("POST", "/predict", {"body": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
            400,
            "malformed",
            "boundary",
        ),
        (
            ("POST", "/predict", {"body": b"{", "headers": {"Content-Type": "application/json"}}),
            400,
            "malformed",
            "JSON",
        ),
        (
            ("POST", "/predict", {"body": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
            400,
            "malformed",
            "JSON",
        ),
        (("POST", "/predict", as_json([1])), 400, "malformed", "list"),
        (("POST", "/predict", as_json({})), 400, "malformed", "audio_base64, or s3_bucket and s3_key"),
        (("POST", "/predict", as_json({"audio_base64": "§"})), 400, "malformed", "not base64"),
        (("POST", "/predict", as_json({"audio_base64": 7})), 400, "malformed", "not base64"),
        (("POST", "/predict", as_json({"s3_bucket": INPUT})), 400, "malformed", "s3_key"),
        (
            ("POST", "/predict", multipart({"audio": ("a.wav", b"x", "audio/wav"), "config": "{"})),
            400,
            "malformed",
            "config is not JSON",
        ),
        (("POST", "/jobs", as_json({"filename": "a.wav"})), 400, "malformed", "size_bytes"),
        (("POST", "/jobs", as_json({"filename": "a.wav", "size_bytes": -1})), 400, "malformed", "size_bytes is -1"),
        # 403 bucket not ours
        (("POST", "/predict", as_json({"s3_bucket": "theirs", "s3_key": "a"})), 403, "forbidden_bucket", "theirs"),
        (("POST", "/jobs", as_json({"s3_bucket": "theirs", "s3_key": "a"})), 403, "forbidden_bucket", "theirs"),
        # 404 no such object, job, route
        (("POST", "/predict", as_json({"s3_bucket": INPUT, "s3_key": "no.wav"})), 404, "no_such_object", "no.wav"),
        (("POST", "/jobs", as_json({"s3_bucket": INPUT, "s3_key": "no.wav"})), 404, "no_such_object", "no.wav"),
        (("GET", MISSING_JOB, {}), 404, "no_such_job", "000"),
        (("GET", "/jobs/..%2f..%2fsecret", {}), 404, "not_found|no_such_job", ""),
        (("POST", f"{MISSING_JOB}/start", as_json({"parts": []})), 404, "no_such_job", "000"),
        (("GET", "/nothing", {}), 404, "not_found", ""),
        (("GET", "/predict", {}), 405, "method_not_allowed", ""),
        # 413 too large
        (("POST", "/predict", {"body": bytes(4_500_001), "headers": WAV}), 413, "too_large", "POST /jobs"),
        (
            ("POST", "/predict", multipart({"audio": ("a.wav", bytes(4_500_001), "audio/wav")})),
            413,
            "too_large",
            "POST /jobs",
        ),
        (("POST", "/jobs", as_json({"filename": "a", "size_bytes": 6 << 30})), 413, "too_large", "5 GiB"),
        # 415 not audio
        (
            ("POST", "/predict", {"body": b"x", "headers": {"Content-Type": "text/plain"}}),
            415,
            "not_audio",
            "text/plain",
        ),
        (
            ("POST", "/predict", {"body": b"x", "headers": {"Content-Type": "audio/x-unheard-of"}}),
            415,
            "not_audio",
            "audio/x-unheard-of",
        ),
        (("POST", "/predict", multipart({"audio": ("a.png", b"x", "image/png")})), 415, "not_audio", "image/png"),
        # 422 undecodable or empty audio, or a bad setting
        (("POST", "/predict", {"body": b"RIFF1234WAVE", "headers": WAV}), 422, "undecodable_audio", "recording"),
        (("POST", "/predict", multipart({"audio": ("a.wav", b"", "audio/wav")})), 422, "undecodable_audio", "a.wav"),
        (
            ("POST", "/predict", multipart({"audio": ("a.wav", b"x", "audio/wav"), "config": '{"n_fft": 512}'})),
            422,
            "bad_setting",
            "n_fft cannot be set",
        ),
        (
            ("POST", "/predict", as_json({"audio_base64": "AAAA", "config": {"confidence_threshold": 2}})),
            422,
            "bad_setting",
            "confidence_threshold is 2",
        ),
        (("POST", "/predict?colour=red", {"body": b"x", "headers": WAV}), 422, "bad_setting", "colour"),
        (("POST", "/predict?timezone=Atlantis", {"body": b"x", "headers": WAV}), 422, "", "Atlantis|decoded"),
        (("POST", "/jobs", as_json({"size_bytes": 1, "config": {"n_fft": 512}})), 422, "bad_setting", "n_fft"),
    ],
)
def test_errors_name_what_is_wrong_and_the_way_out(front, call, status, name, message):
    method, path, values = call
    answer = front(method, path, **values)
    found = error_of(answer, status, answer.json()["error"])
    assert re.fullmatch(name or ".*", answer.json()["error"])
    assert re.search(message, found)


def test_a_body_that_does_not_say_its_length_is_read_only_to_the_limit(local):
    """By hand, in chunks, as no client library would: the answer comes long before all is sent."""
    host = urlsplit(local.url)
    with socket.create_connection((host.hostname, host.port), timeout=20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: [::1]\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        sent, block = 0, bytes(100_000)
        with contextlib.suppress(OSError):
            while sent < 100e6:
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
                sent += len(block)
        assert sent < 30e6  # the limit, and what the sockets buffer


def test_a_recording_that_cannot_be_done_in_time_is_refused_before_that(
    settings, function, write_wav, monkeypatch, loudness
):
    class Slow(type(loudness)):
        def classify(self, images):
            turn.acquire(timeout=60)
            clock[0] += 10.0
            return super().classify(images)

    def watch_in_turn(*options):
        """Let the next chunk begin only when the deadline was looked at, whoever runs first."""
        watch = watch_deadline(*options)

        def look(done, total):
            try:
                watch(done, total)
            finally:
                turn.release()

        return look

    clock, turn, watch_deadline = [0.0], Semaphore(1), engine_module._watch_deadline
    long = write_wav(np.zeros(16000 * 120, np.int16), 16000, name="long.flac").read_bytes()
    engine = Engine(settings)
    engine._loaded = Slow(), InferenceConfig()
    engine.threads = ThreadPoolExecutor(1)  # several would turn the clock at once
    with listening(create_app(engine)) as slow, monkeypatch.context() as patch:
        patch.setattr(engine_module, "monotonic", lambda: clock[0])
        patch.setattr(engine_module, "_watch_deadline", watch_in_turn)
        patch.setattr(routes, "find_deadline", lambda *_: 26.0)
        answer = slow("POST", "/predict", body=long, headers={"Content-Type": "audio/flac"})
    assert re.search("the recording needs about .* s.*POST /jobs", error_of(answer, 413, "too_long"))
    assert clock[0] <= 50  # of the 190 that all windows would take
    # in Lambda the deadline is the function's own
    hours = write_wav(np.zeros(800 * 3600 * 16, np.int16), 800, name="hours.flac").read_bytes()
    answer = function("POST", "/predict", body=hours, headers={"Content-Type": "audio/flac"}, timeout=20)
    assert "POST /jobs" in error_of(answer, 413, "too_long")


def test_a_defect_is_answered_with_nothing_of_the_inside(settings, patched_function, wav, monkeypatch):
    def defect(*_, **__):
        raise RuntimeError("a defect in /var/task/anemone_lib/secret.py")

    engine = Engine(settings)
    monkeypatch.setattr(engine, "open_detections", defect)
    content = wav.read_bytes()
    with listening(create_app(engine)) as local:
        message = error_of(local("POST", "/predict", body=content, headers=WAV), 500, "internal_error")
        assert "secret" not in message
    answer = patched_function("POST", "/predict?filename=defect.wav", body=content, headers=WAV)
    assert "secret" not in error_of(answer, 500, "internal_error")
    assert patched_function.logged(lambda line: "secret.py" in line.get("exception", ""))


def test_without_its_model_the_service_says_so(settings, tmp_path, wav):
    with without_jobs(replace(settings, model=str(tmp_path))) as local:
        assert str(tmp_path) in error_of(local("POST", "/predict", body=b"x", headers=WAV), 503, "model_unavailable")
        error_of(local("GET", "/health"), 503, "model_unavailable")
        error_of(local("POST", "/jobs", **as_json({"size_bytes": 1})), 503, "jobs_unavailable")


def test_the_function_refuses_settings_other_than_those_promised_and_goes_on_refusing(model):
    wrong = {**InferenceConfig().to_env(), "INFERENCE_CONFIG_FINGERPRINT": "0" * 64, "MODEL_LOCAL_PATH": model}
    with Runtime(**wrong) as function:
        for _ in range(2):
            message = error_of(function("POST", "/predict", body=b"x", headers=WAV), 503, "misconfigured")
            assert InferenceConfig().fingerprint in message
            assert "0" * 64 in message


@pytest.mark.parametrize(
    ("environ", "name", "message"),
    [
        ({"N_FFT": "7"}, "misconfigured", "in the environment: n_fft is '7'"),
        ({"FMAX_HZ": "3000"}, "model_unavailable", "fmax_hz is 3000"),
        ({"MODEL_SHA256": "0" * 64}, "model_unavailable", "0000.*copy the bundle again"),
        ({"S3_MODEL_BUCKET": "nowhere", "S3_MODEL_KEY": "models/a.keras"}, "model_unavailable", "s3://nowhere/models"),
        ({"S3_INPUT_BUCKET": "one"}, "misconfigured", "set both S3_INPUT_BUCKET and S3_OUTPUT_BUCKET"),
    ],
)
def test_a_deployment_that_cannot_work_answers_why(s3, model, environ, name, message):
    from anemone_lib.service.settings import Settings

    values = {"CORS_ALLOWED_ORIGINS": ORIGIN, "MODEL_LOCAL_PATH": str(model), **environ}
    if "S3_MODEL_BUCKET" in environ:
        del values["MODEL_LOCAL_PATH"]
    with without_jobs(Settings.from_env(values)) as front:
        assert re.search(message, error_of(front("GET", "/health"), 503, name))


def test_a_preflight_is_answered_for_our_origins_only(front):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,content-type"}
    answer = front("OPTIONS", "/predict", headers=asked)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-api-key" in answer.headers["access-control-allow-headers"]
    other = front("OPTIONS", "/predict", headers={**asked, "Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_direct_invocation_answers_errors_as_json(function, wav, s3):
    context = {"s3_bucket": "theirs", "s3_key": "a.wav"}
    succeeded, answer = function.invoke(context)
    assert (succeeded, answer["status"], answer["error"]) == (True, 403, "forbidden_bucket")
    _, answer = function.invoke({"s3_bucket": INPUT, "s3_key": "no.wav"})
    assert (answer["status"], answer["error"]) == (404, "no_such_object")
    s3.put_object(Bucket=INPUT, Key="text.wav", Body=b"not audio")
    _, answer = function.invoke({"s3_bucket": INPUT, "s3_key": "text.wav"})
    assert (answer["status"], answer["error"]) == (422, "undecodable_audio")
    _, answer = function.invoke({"s3_bucket": INPUT, "s3_key": "text.wav", "config": {"n_fft": 3}})
    assert (answer["status"], answer["error"]) == (422, "bad_setting")
    succeeded, answer = function.invoke({"hello": "world"})
    assert not succeeded
    assert "hello" in answer["errorMessage"]


def test_no_audio_and_no_key_reaches_the_log(function, wav):
    secret = base64.b64encode(wav.read_bytes()).decode()
    values = as_json({"audio_base64": secret})
    values["headers"]["x-api-key"] = "not-to-be-logged"
    assert function("POST", "/predict", **values).status == 200
    call = function.logged(lambda line: line.get("call", {}).get("audio_s") == 10.0)["call"]
    assert {"request_id", "route", "status", "seconds", "detect_s", "windows"} <= set(call)
    metrics = function.logged(lambda line: line.get("AudioSeconds") == [10.0])
    assert metrics["Windows"] == [24.0]
    assert metrics["WindowsPerSecond"][0] > 0
    assert function.logged(lambda line: "ColdStart" in line)
    log = "".join(function.log)
    assert log.count('"ColdStart":') == 1  # of all calls of this process
    assert secret[1000:1050] not in log
    assert "not-to-be-logged" not in log
