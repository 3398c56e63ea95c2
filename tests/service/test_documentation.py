"""docker/README.md and compose.yml: the examples are executed, the tables are compared with the code."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from anemone_lib.service import settings as service_settings
from tests.conftest import ROOT
from tests.service.conftest import comparable

README = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in (ROOT / "anemone_lib" / "service").glob("*.py")]


def examples(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", examples("sh"))
def test_shell_examples_work(local, reef, tmp_path, example):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    shutil.copy(reef, tmp_path / "reef.wav")
    command = example.replace("http://localhost:8000", local.url)
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert said.returncode == 0, said.stderr
    content = json.loads(said.stdout[said.stdout.rindex('{"job_id"') :] if "/start" in example else said.stdout)
    assert content.get("state") == "done" or len(content["predictions"]) == 49


def test_browser_examples_work(page, local, reef):
    page.goto(local.url)
    page.evaluate("document.body.innerHTML = '<input type=file>'")
    page.set_input_files("input", reef)
    results = []
    for example in examples("js"):
        code = example.replace("http://localhost:8000", local.url)
        results.append(
            page.evaluate(
                f"(async () => {{ const [file] = document.querySelector('input').files; {code}; return result; }})()"
            )
        )
    assert len(results) == 2
    one, two = (comparable(result)["predictions"] for result in results)
    assert len(one) == len(two) == 49


def test_every_error_is_in_the_table_and_none_else():
    documented = set(re.findall(r"`([a-z_]+)`", README[README.index("## Errors") : README.index("## CORS")]))
    pattern = r'(?:Problem\(\s*|[45]\d\d: )(?:[45]\d\d,\s*)?"([a-z_]+)"|"error": "([a-z_]+)"'
    raised = {one or other for text in SOURCES for one, other in re.findall(pattern, text)}
    assert documented - {"error", "message"} == raised
    assert len(raised) > 15


def test_every_variable_is_in_the_table_and_in_the_code():
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", README[README.index("## The image") :]))
    text = (ROOT / "anemone_lib" / "service" / "settings.py").read_text()
    read = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z0-9_]+)"', text)) | {"LOG_LEVEL"}
    assert documented - {"FMAX_HZ", "N_FFT", "MODEL_CLASSES"} == read


def test_compose_runs_this_image_with_variables_that_the_code_reads():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
    build = compose["x-image"]["build"]
    assert (ROOT / "docker" / build["context"] / build["dockerfile"]).samefile(ROOT / "docker" / "Dockerfile.inference")
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert f"`{name}`" in README or name.startswith("AWS_"), name
    assert compose["services"]["http"]["entrypoint"][-1] == "anemone_lib.service.local:make_app_from_env"


def test_limits_are_those_of_the_code():
    assert f"{service_settings.MAX_AUDIO_BYTES / 1e6} MB" in README
    assert f"{service_settings.MAX_ANSWER_S:.0f} s" in README
    assert service_settings.MAX_JOB_BYTES == 5 << 30
    assert "5 GiB" in README
