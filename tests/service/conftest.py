"""The service as clients meet it: uvicorn over HTTP, and the Lambda entry run by the real runtime client."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from starlette.middleware import Middleware

from anemone_lib.scoring import DEMONSTRATION_MODEL
from anemone_lib.service.app import create_app
from anemone_lib.service.engine import Engine
from anemone_lib.service.guard import CallerGuard
from anemone_lib.service.jobs import Jobs, make_stores
from anemone_lib.service.local import make_local_app, make_server
from anemone_lib.service.settings import Settings
from tests.aws.runtime_api import RuntimeApi

ACCOUNT = "123456789012"
ORIGIN = "https://reef.example"
INPUT, OUTPUT, MODELS = "reef-input", "reef-output", "reef-models"


@dataclass
class Answer:
    """What a client sees, however it called."""

    status: int
    headers: dict
    content: bytes

    def json(self):
        return json.loads(self.content)


class Http:
    """A client of a server that listens."""

    def __init__(self, url):
        self.url = url

    def __call__(self, method, path, *, body=b"", headers=None):
        answer = requests.request(method, self.url + path, data=body, headers={"Origin": ORIGIN, **(headers or {})})
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)


class Runtime:
    """A client of the Lambda entry: what API Gateway does, then the runtime client in a process of its own."""

    def __init__(self, handler="anemone_lib.service.aws.handler", **environ):
        self.api = RuntimeApi(f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:anemone")
        values = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_LAMBDA", "_X_AMZN"))}
        values |= {
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "anemone",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "LAMBDA_TASK_ROOT": str(Path(__file__).parent.parent.parent),
            "CORS_ALLOWED_ORIGINS": ORIGIN,
            "PYTHONPATH": str(Path(__file__).parent.parent.parent),
            **{name: str(value) for name, value in environ.items()},
        }
        command = [sys.executable, "-m", "awslambdaric", handler]
        self.log = []
        self.process = subprocess.Popen(
            command, env=values, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/"
        )
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stdout), daemon=True)
        self._reader.start()

    def logged(self, matches):
        """The first line of the log, as JSON, for which `matches` is true; the pipe may be a moment behind."""
        for _ in range(1200):
            lines = [json.loads(line) for line in list(self.log) if line.startswith("{")]
            if found := [line for line in lines if matches(line)]:
                return found[0]
            time.sleep(0.1)
        raise AssertionError("".join(self.log)[-3000:])

    def invoke(self, event, *, timeout=60.0):
        succeeded, answer = self.api.invoke(json.dumps(event).encode(), timeout=timeout)
        return succeeded, json.loads(answer)

    def __call__(self, method, path, *, body=b"", headers=None, timeout=60.0):
        event = proxy_event(method, path, body=body, headers=headers)
        succeeded, answer = self.invoke(event, timeout=timeout)
        assert succeeded, answer
        content = answer["body"].encode()
        if answer["isBase64Encoded"]:
            content = base64.b64decode(content)
        return Answer(answer["statusCode"], {k.lower(): v for k, v in answer["headers"].items()}, content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.api.shutdown()
        self.api.server_close()


def proxy_event(method, path, *, body=b"", headers=None):
    """Write a request as API Gateway does for AWS_PROXY."""
    options = {"Origin": ORIGIN, **(headers or {})}
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    binary = not options.get("Content-Type", "").startswith(("application/json", "text/"))
    return {
        "resource": parts.path,
        "path": parts.path,
        "httpMethod": method,
        "headers": options,
        "multiValueHeaders": {name: [value] for name, value in options.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {
            "resourcePath": parts.path,
            "httpMethod": method,
            "stage": "api",
            "path": f"/api{parts.path}",
        },
        "body": (base64.b64encode(body).decode() if binary else body.decode()) if body else None,
        "isBase64Encoded": bool(body) and binary,
    }


@contextmanager
def listening(app):
    """Serve an app over real HTTP in a thread."""
    # Where the protocol is named, asyncio turns off Nagle's algorithm, by which part of each answer waits 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Http(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving(settings):
    """Serve what ``anemone serve`` serves."""
    with listening(make_local_app(settings)) as front:
        yield front


@contextmanager
def without_jobs(settings):
    """Serve without looking at the model first, as Lambda does."""
    with listening(create_app(Engine(settings))) as front:
        yield front


with warnings.catch_warnings():  # it would like a package that is no stable release yet
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


class Inside:
    """A client of an app in this process, without a socket; nobody works on its jobs."""

    def __init__(self, settings, **options):
        self.engine, self.launched, self.folder = Engine(settings), [], settings.store
        stores = make_stores(
            input_bucket=settings.input_bucket, output_bucket=settings.output_bucket, folder=settings.store
        )
        self.jobs = Jobs(self.engine, *stores, self.launched.append, **options) if stores else None
        guard = Middleware(CallerGuard, hosts=settings.allowed_hosts, origins=settings.cors_allowed_origins)
        self.app = create_app(self.engine, self.jobs, guards=[guard])
        self.client = TestClient(self.app, base_url="http://localhost", raise_server_exceptions=False)

    def __call__(self, method, path, *, body=b"", headers=None):
        # no "with": the app has no lifespan, and closing the client closes nothing
        answer = self.client.request(method, path, content=body, headers=headers, follow_redirects=False)
        return Answer(answer.status_code, dict(answer.headers), answer.content)


@pytest.fixture(scope="module")
def inside(settings, tmp_path_factory):
    """A client of an app in this process, with a store of its own."""
    return Inside(replace(settings, store=tmp_path_factory.mktemp("inside")))


@pytest.fixture(scope="session")
def model():
    """The demonstration bundle."""
    return DEMONSTRATION_MODEL


@pytest.fixture(scope="package")
def settings(model, tmp_path_factory):
    return Settings(model=str(model), store=tmp_path_factory.mktemp("store"), cors_allowed_origins=(ORIGIN,))


@pytest.fixture(scope="package")
def local(settings):
    """A client of the service on a laptop."""
    with serving(settings) as front:
        yield front


@pytest.fixture(scope="package")
def s3_server(tmp_path_factory):
    """moto's S3 over real HTTP: the address of its own process, since `mock_aws` in another test empties moto."""
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=output
        )
    try:
        for _ in range(1200):
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text()):
                break
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="package")
def s3(s3_server):
    """The three buckets; a boto3 client of them."""
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": s3_server,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        for bucket in (INPUT, OUTPUT, MODELS):
            client.create_bucket(Bucket=bucket)
        yield client
        client.close()


@pytest.fixture(scope="package")
def cloud(s3, settings):
    """A client of the service on a laptop, with its recordings and results in S3."""
    with serving(replace(settings, store=None, input_bucket=INPUT, output_bucket=OUTPUT)) as front:
        yield front


@pytest.fixture(scope="package")
def lambda_environ(s3, model):
    """What Terraform gives the function, the model in its bucket."""
    for path in model.iterdir():
        if path.suffix in (".keras", ".tflite", ".json"):
            s3.upload_file(str(path), MODELS, f"models/v1.0/{path.name}")
    return {
        "S3_MODEL_BUCKET": MODELS,
        "S3_MODEL_KEY": "models/v1.0/best_model.keras",
        "S3_INPUT_BUCKET": INPUT,
        "S3_OUTPUT_BUCKET": OUTPUT,
        "STATE_MACHINE_ARN": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:jobs",
    }


@pytest.fixture(scope="package")
def function(lambda_environ):
    """A client of the Lambda entry."""
    with Runtime(**lambda_environ) as runtime:
        yield runtime


@pytest.fixture(scope="package")
def patched_function(lambda_environ):
    """A client of the Lambda entry in which two things are arranged; see `tests.service.patched`."""
    with Runtime("tests.service.patched.handler", **lambda_environ) as runtime:
        yield runtime


@pytest.fixture(params=["http", "lambda"])
def front(request):
    """Both ways to the same answers."""
    return request.getfixturevalue({"http": "cloud", "lambda": "function"}[request.param])


@pytest.fixture
def wav(write_wav, noise):
    """Ten seconds with pulse trains, and a time in the name."""
    return write_wav(noise(10), name="20230210_000001.wav")


def multipart(fields):
    """Write a form as a browser does; a value is a text, or (file name, content, type)."""
    prepared = requests.Request(
        "POST",
        "http://x",
        files={name: value if isinstance(value, tuple) else (None, value) for name, value in fields.items()},
    ).prepare()
    return {"body": prepared.body, "headers": {"Content-Type": prepared.headers["Content-Type"]}}


def tell_of_end(execution_arn, status, **details):
    """The event that EventBridge sends when an execution ends, as Step Functions' documentation shows it."""
    machine = execution_arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    name = execution_arn.rpartition(":")[2]
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": "2023-02-10T00:00:01Z",
        "region": "us-east-1",
        "resources": [execution_arn],
        "detail": {
            "executionArn": execution_arn,
            "stateMachineArn": machine,
            "name": name,
            "status": status,
            "startDate": 1675987200000,
            "stopDate": 1675987201000,
            "input": json.dumps({"job_id": name.partition("-")[0]}),
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": None,
            **details,
        },
    }


def as_json(content):
    return {"body": json.dumps(content).encode(), "headers": {"Content-Type": "application/json"}}


def run_job(client, *, content=None, fields=None, name="reef.wav"):
    """Take a recording through a job, as a client would; return the job's last description."""
    values = {**({"filename": name, "size_bytes": len(content)} if content is not None else {}), **(fields or {})}
    job = client("POST", "/jobs", **as_json(values)).json()
    parts = []
    for part in job.get("upload", {"parts": ()})["parts"]:
        first = (part["number"] - 1) * job["upload"]["part_bytes"]
        answer = requests.put(part["url"], data=content[first : first + job["upload"]["part_bytes"]])
        answer.raise_for_status()
        parts.append({"number": part["number"], "etag": answer.headers["ETag"]})
    client("POST", f"/jobs/{job['job_id']}/start", **as_json({"parts": parts}))
    return ended(client, job["job_id"])


def ended(client, job_id, *, seconds=120):
    """Wait for the end of a job."""
    for _ in range(seconds * 10):
        job = client("GET", f"/jobs/{job_id}").json()
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"job {job_id} is still {job} after {seconds} s")


def comparable(result):
    result = json.loads(json.dumps(result))
    result["metadata"].pop("processing_time")
    result["metadata"]["provenance"].pop("code_sha256")  # of files that someone may be editing; see tests/image
    return result


# ---------------------------------------------------------------- a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        assert os.environ.get("CI") != "true", "CI needs Chromium: apt-get install chromium"
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # no sandbox: tests run as root in containers, and the page is our own
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A new page on which no script may fail."""
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.set_default_timeout(180_000)
    yield opened
    context.close()
    assert problems == []


@pytest.fixture
def reef(write_wav, noise):
    """Twenty seconds: small enough for one call."""
    return write_wav(noise(20, 16000), 16000, name="20230210_000001.wav")
