"""The image holds exactly this checkout's code, and answers as the checkout does.

``Dockerfile.inference`` is built as it stands, without a daemon; only its base differs, a stand-in made of Debian's
packages (Debian's Python, not Amazon's). The handler runs inside: root file system read-only, ``/tmp`` writable,
everything else of this machine out of sight but the network.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.aws.runtime_api import RuntimeApi
from tests.conftest import ROOT
from tests.service.conftest import ACCOUNT, ORIGIN, proxy_event

HERE = Path(__file__).parent
IMAGE = "localhost/anemone-image-test"
#: Kept by buildah for the next time, until its recipe changes.
BASE = f"localhost/anemone-image-base:{hashlib.sha256((HERE / 'base.sh').read_bytes()).hexdigest()[:12]}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What the image is built from, as it is at this moment."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("anemone_lib", "docker"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def image(checkout):
    """The root file system of the image that was built from the checkout, and its configuration."""
    missing = [tool for tool in ("buildah", "mmdebstrap", "unshare", "chroot") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"building the image needs root and {', '.join(missing) or 'its tools'}: apt-get install buildah mmdebstrap"
        )
    run("bash", str(HERE / "base.sh"), BASE)
    arguments = {"BASE_IMAGE": BASE, "CODE_SHA256": hash_of(checkout / "anemone_lib")}
    run(
        *("buildah", "bud", "--isolation", "chroot", "--network", "host", "--pull-never"),
        *(["--layers"] if os.environ.get("CI") != "true" else []),  # for the next time, which CI does not have
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *("--file", "docker/Dockerfile.inference", "--tag", IMAGE, "."),
        cwd=checkout,
    )
    container = run("buildah", "from", "--pull-never", IMAGE).strip()
    inspected = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))
    yield Path(run("buildah", "mount", container).strip()), inspected["OCIv1"]["config"]
    run("buildah", "rm", container)


def run(*command, **options):
    said = subprocess.run(command, capture_output=True, text=True, **options)
    assert said.returncode == 0, f"{' '.join(command)}\n{said.stdout[-3000:]}\n{said.stderr[-3000:]}"
    return said.stdout


def hash_of(package):
    """`code_sha256` by its definition: of every file but the models, its path, a zero byte, its SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*"), key=lambda path: path.relative_to(package).as_posix()):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in name and not name.startswith("models/"):
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def running(image, folder, **environ):
    """Run the image's command on its entry point; `folder` of this machine is its /mnt."""
    root, config = image
    api = RuntimeApi(f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:anemone")
    given = dict(pair.split("=", 1) for pair in config["Env"])
    given |= {"AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": "anemone", **environ}
    inside = (
        "set -e; root=$1 folder=$2; shift 2; mount --make-rprivate /; mount --bind $root $root; "
        "mount --bind $folder $root/mnt; mount -o remount,ro,bind $root; mount -t tmpfs tmpfs $root/tmp; "
        'mount --rbind /dev $root/dev; mount -t proc proc $root/proc; exec "$@"'
    )
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", str(root), str(folder)]
    command += [shutil.which("chroot"), str(root), "env", "-i", f"--chdir={config['WorkingDir']}"]
    command += [f"{name}={value}" for name, value in given.items()]
    process = subprocess.Popen([*command, *config["Entrypoint"], *config["Cmd"]])

    def invoke(event):
        """Send an event; return the answer, and what files the process has loaded."""
        with ThreadPoolExecutor(1) as waiting:
            answer = waiting.submit(api.invoke, json.dumps(event).encode(), timeout=120)
            while not answer.done():
                assert process.poll() is None, "the handler's process ended"
                time.sleep(0.05)
            succeeded, content = answer.result()
        assert succeeded, content
        return json.loads(content), Path(f"/proc/{process.pid}/maps").read_text()

    try:
        yield invoke
    finally:
        process.kill()
        process.wait()
        api.shutdown()
        api.server_close()


def test_the_files_in_the_image_are_those_of_the_checkout(image, checkout):
    root, config = image
    package = root / "var" / "task" / "anemone_lib"
    assert hash_of(package) == hash_of(checkout / "anemone_lib") == config["Labels"]["anemone.code-sha256"]
    for path in (checkout / "anemone_lib" / "models").iterdir():
        assert (package / "models" / path.name).read_bytes() == path.read_bytes()


def test_the_image_holds_nothing_else_of_the_project(image):
    root, config = image
    task = root / "var" / "task"
    for name in ("tests", "notebooks", "terraform", "docker", "pyproject.toml", "requirements.lock", "bin"):
        assert not (task / name).exists()
    assert not list(task.glob("jupyter*"))
    assert config["Cmd"] == ["anemone_lib.service.aws.handler"]


def test_predict_in_the_image_answers_what_detect_finds_in_the_checkout_without_tensorflow(image, checkout, wav):
    program = "import sys; from anemone_lib import detect; print(detect(sys.argv[1]).to_json())"
    expected = json.loads(run(sys.executable, "-c", program, str(wav), cwd=checkout))
    with running(image, wav.parent, CORS_ALLOWED_ORIGINS=ORIGIN) as invoke:
        event = proxy_event(
            "POST", f"/predict?filename={wav.name}", body=wav.read_bytes(), headers={"Content-Type": "audio/wav"}
        )
        answer, loaded = invoke(event)
    assert answer["statusCode"] == 200, answer
    result = json.loads(answer["body"])
    assert_same(result, expected)
    provenance = result["metadata"]["provenance"]
    assert provenance["code_sha256"] == hash_of(checkout / "anemone_lib")
    assert "/var/task/ai_edge_litert" in loaded
    assert "tensorflow" not in loaded.replace("ai_edge_litert/libtensorflowlite", "")


def test_a_lone_keras_model_is_served_by_tensorflow_in_the_image(image, checkout, wav, tmp_path):
    models = checkout / "anemone_lib" / "models"
    for name in ("best_model.keras", "best_model.json"):
        shutil.copy(models / name, tmp_path / name)
    program = "import sys; from anemone_lib import detect; print(detect(sys.argv[1]).to_json())"
    expected = json.loads(run(sys.executable, "-c", program, str(wav), cwd=checkout))
    with running(image, tmp_path, MODEL_LOCAL_PATH="/mnt/best_model.keras") as invoke:
        audio = base64.b64encode(wav.read_bytes()).decode()
        event = proxy_event(
            "POST",
            "/predict",
            body=json.dumps({"audio_base64": audio, "filename": wav.name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        answer, loaded = invoke(event)
    assert "libtensorflow_framework" in loaded
    assert_same(json.loads(answer["body"]), expected, atol=1e-4)


def assert_same(result, expected, *, atol=1e-5):
    """The same windows and events; probabilities within 1e-5, the other processor's last bits."""
    for name in ("start_time", "end_time"):
        assert [p[name] for p in result["predictions"]] == [p[name] for p in expected["predictions"]]
        assert [e[name] for e in result["events"]] == [e[name] for e in expected["events"]]
    assert [e["id"] for e in result["events"]] == [e["id"] for e in expected["events"]]
    np.testing.assert_allclose(
        [list(p["probabilities"].values()) for p in result["predictions"]],
        [list(p["probabilities"].values()) for p in expected["predictions"]],
        atol=atol,
    )
    np.testing.assert_allclose(
        [e["mean_confidence"] for e in result["events"]], [e["mean_confidence"] for e in expected["events"]], atol=atol
    )
