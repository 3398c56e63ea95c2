"""Clients that nobody here wrote: schemathesis against the app's own OpenAPI, and a crowd."""

import contextlib
import json
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

from anemone_lib import detect, load_classifier
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
    for _ in range(300):
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
        answer = requests.post(
            f"{url}/predict", files={"audio": (f"{i % 8}.wav", contents[i % 8], "audio/wav")}, timeout=120
        )
        return answer.status_code == 200 and comparable(answer.json()) == expected[i % 8]

    resident = []
    with ThreadPoolExecutor(200) as crowd:
        for _ in range(5):
            assert all(crowd.map(call, range(200)))
            resident.append(server.memory_info().rss)
    assert resident[-1] < resident[0] + 40e6
    # what the first crowd took is taken once: no more than a few MB a thread
    assert resident[0] < 600e6


def test_the_description_names_every_route_and_error(local):
    described = json.loads(local("GET", "/openapi.json").content)
    assert set(described["paths"]) >= {"/predict", "/jobs", "/jobs/{job_id}", "/jobs/{job_id}/start", "/health"}
    assert set(described["paths"]["/predict"]["post"]["responses"]) == {
        *("200", "400", "403", "404", "413", "415", "422", "500", "503")
    }
    assert re.search("swagger", local("GET", "/docs").content.decode(), re.IGNORECASE)
