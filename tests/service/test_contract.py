"""Clients that nobody here wrote: schemathesis against the app's own OpenAPI, and a crowd."""

import base64
import contextlib
import importlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from pydantic import TypeAdapter

from anemone_lib import detect, load_classifier
from anemone_lib.service import documents, models
from anemone_lib.service.work import Worker
from tests.service.conftest import comparable


def test_the_service_keeps_to_its_own_description(local):
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    said = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{local.url}/openapi.json"),
            *("--checks", checks, "--max-examples", "8", "--seed", "1", "--no-color"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stdout[-5000:]
    assert int(re.search(r"(\d+) generated, \1 passed", said.stdout)[1]) > 100


@pytest.fixture
def command(model, tmp_path):
    """``anemone serve`` as a person starts it, in a process of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    program = "from anemone_lib.cli import app; app()"
    arguments = ["serve", "--port", str(port), "--model", str(model), "--store", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=log, stderr=log, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    for _ in range(3000):  # minutes, where others use the processors too
        assert process.poll() is None, (tmp_path / "log").read_text()
        with contextlib.suppress(requests.ConnectionError):
            assert requests.get(f"{url}/health").status_code == 200
            break
        time.sleep(0.1)
    yield url, psutil.Process(process.pid)
    process.terminate()
    process.wait()


def test_a_crowd_of_200_loses_nothing_and_memory_stays_flat_over_1000(command, write_wav, noise, model):
    recordings = [write_wav(noise(2, 8000), 8000, name=f"{i}.wav") for i in range(8)]
    classifier = load_classifier(model)
    expected = [comparable(detect(path, classifier=classifier).to_dict()) for path in recordings]
    contents = [path.read_bytes() for path in recordings]
    url, server = command

    def call(i):
        form = {"audio": (f"{i % 8}.wav", contents[i % 8], "audio/wav")}
        while (answer := requests.post(f"{url}/predict", files=form, timeout=120)).status_code == 503:
            time.sleep(int(answer.headers["Retry-After"]))  # a machine that is busy with other things
        return answer.status_code == 200 and comparable(answer.json()) == expected[i % 8]

    resident = []
    with ThreadPoolExecutor(200) as crowd:
        for _ in range(5):
            assert all(crowd.map(call, range(200)))
            resident.append(server.memory_info().rss)
    assert resident[-1] < resident[0] + 40e6
    # what the first crowd took is taken once: no more than a few MB a thread, and a core's work at once
    assert resident[0] < 600e6 + 50e6 * max(0, (os.cpu_count() or 1) - 2)


# ---------------------------------------------------------------- the description


@pytest.fixture(scope="module")
def described(inside):
    """The description, as a client gets it."""
    return inside("GET", "/openapi.json").json()


def list_operations(described):
    return [(path, name, one) for path, methods in described["paths"].items() for name, one in methods.items()]


def test_the_description_names_every_route_and_operations_by_their_names(described):
    names = {(name.upper(), path): one["operationId"] for path, name, one in list_operations(described)}
    assert names == {
        ("POST", "/predict"): "predict_recording",
        ("POST", "/jobs"): "create_job",
        ("GET", "/jobs/{job_id}"): "describe_job",
        ("DELETE", "/jobs/{job_id}"): "delete_job",
        ("POST", "/jobs/{job_id}/start"): "start_job",
        ("PUT", "/jobs/{job_id}/parts/{number}"): "upload_part",
        ("GET", "/jobs/{job_id}/files/{name}"): "download_file",
        ("GET", "/health"): "check_health",
    }


def test_every_status_is_described_with_its_body(described):
    statuses = set(described["paths"]["/predict"]["post"]["responses"])
    assert statuses >= {"200", "400", "403", "404", "408", "413", "415", "421", "422", "500", "503", "507"}
    for path, name, one in list_operations(described):
        for status, answer in one["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (path, name, status)
            assert "X-Request-Id" in answer["headers"]


def test_the_key_is_described_and_the_health_check_needs_none(described):
    [(scheme, key)] = described["components"]["securitySchemes"].items()
    assert (key["type"], key["in"], key["name"]) == ("apiKey", "header", "x-api-key")
    for path, _, one in list_operations(described):
        assert ({scheme: []} in one["security"]) == (path != "/health")


def test_every_parameter_and_field_is_described(described):
    for path, name, one in list_operations(described):
        for parameter in one.get("parameters", ()):
            assert parameter["description"], (path, name, parameter["name"])
    asked = {parameter["name"] for parameter in described["paths"]["/predict"]["post"]["parameters"]}
    assert asked == {"filename", "config", "timezone", "channel", "files", "save"}
    form = described["components"]["schemas"]["PredictForm"]["properties"]
    assert set(form) == {"audio", "config", "timezone", "channel", "files", "save"}


def test_every_example_is_one(described):
    """Of every object and of every field: the models read them."""
    n_examples = 0
    for name, schema in described["components"]["schemas"].items():
        model = getattr(models, name)
        for example in schema.get("examples", ()):
            model.model_validate(example)
            n_examples += 1
        for field, described_field in schema["properties"].items():
            for example in described_field.get("examples", ()):
                annotation = model.model_fields[field].rebuild_annotation()
                TypeAdapter(annotation).validate_python(example)
                n_examples += 1
    for parameter in described["paths"]["/predict"]["post"]["parameters"]:
        for example in parameter["schema"].get("examples", ()):
            models.PredictQuery(**{parameter["name"]: example})
            n_examples += 1
    assert n_examples > 10


def test_the_page_of_the_description_needs_nothing_from_elsewhere(inside):
    page = inside("GET", "/docs").content.decode()
    assert "//" not in re.sub(r"^ *//.*$", "", page, flags=re.MULTILINE)
    for name in re.findall(r'"(docs/[a-z.-]+)"', page):
        assert inside("GET", f"/{name}").status == 200
    script = inside("GET", "/docs/swagger-ui-bundle.js", headers={"Accept-Encoding": "identity"})
    assert b"SwaggerUIBundle" in script.content
    assert script.headers["content-type"].startswith("text/javascript")
    assert inside("GET", "/docs/../settings.py").status == 404
    folder = Path(documents.__file__).parent / "static" / "swagger"
    assert (folder / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000


def test_the_page_of_the_description_works_without_the_internet(page, local):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{local.url}/docs")
    page.wait_for_selector("text=Create a job for a large recording")
    assert [url for url in asked if not url.startswith((local.url, "data:"))] == []


# ---------------------------------------------------------------- a client that nobody wrote


@pytest.fixture(scope="module")
def generated(described, tmp_path_factory):
    """The client that openapi-python-client makes of the description."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(described))
    bin_folder = Path(sys.executable).parent
    said = subprocess.run(
        [
            *(str(bin_folder / "openapi-python-client"), "generate", "--path", "openapi.json"),
            *("--output-path", "anemone_client", "--meta", "none"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
    )
    assert said.returncode == 0, said.stdout + said.stderr
    # It knows no bodies of audio/*: its clients send application/octet-stream.
    warned = [line for line in said.stdout.splitlines() if "nsupported" in line or "Skipping" in line]
    assert [line for line in warned if "content type audio/" not in line] == []
    sys.path.insert(0, str(folder))
    yield importlib.import_module("anemone_client")
    sys.path.remove(str(folder))


def test_a_generated_client_runs_a_job_and_predicts(generated, inside, wav, model):
    def load(name):
        return importlib.import_module(f"anemone_client.{name}")

    made, content = load("models"), wav.read_bytes()
    expected = comparable(detect(wav, classifier=load_classifier(model)).to_dict())
    client = generated.Client(base_url="http://localhost")
    client.set_httpx_client(inside.client)
    requested = made.JobRequest(filename=wav.name, size_bytes=len(content))
    job = load("api.jobs.create_job").sync(client=client, body=requested)
    part = load("types").File(payload=io.BytesIO(content))
    answer = load("api.files.upload_part").sync_detailed(job.job_id, 1, client=client, body=part)
    parts = made.StartRequest(parts=[made.UploadedPart(number=1, etag=answer.headers["etag"])])
    assert load("api.jobs.start_job").sync(job.job_id, client=client, body=parts).state == made.JobState.RUNNING
    worker = Worker(inside.engine, inside.jobs.recordings, inside.jobs.results, owner="me")
    for chunk in worker.plan(job.job_id)["chunks"]:
        worker.score_chunk(job.job_id, chunk)
    worker.merge(job.job_id)
    worker.close()
    done = load("api.jobs.describe_job").sync(job.job_id, client=client)
    assert done.state == made.JobState.DONE
    assert comparable(inside("GET", done.result_url).json()) == expected
    body = made.PredictAudio(audio_base64=base64.b64encode(content).decode(), filename=wav.name)
    found = load("api.predict.predict_recording").sync(client=client, body=body)
    assert [event.to_dict() for event in found.events] == expected["events"]
    missing = load("api.jobs.describe_job").sync("0" * 32, client=client)
    assert (type(missing), missing.error) == (made.Error, "no_such_job")
    assert load("api.jobs.delete_job").sync_detailed(job.job_id, client=client).status_code == 204
