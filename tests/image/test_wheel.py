"""The wheel that goes into the image holds the package's files, all of them and nothing else."""

import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    program = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    said = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(folder / said.stdout.split()[-1]) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_holds_the_files_of_the_package_bit_for_bit(wheel):
    package = ROOT / "anemone_lib"
    paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    assert {name: content for name, content in wheel.items() if ".dist-info/" not in name} == expected
    for name in ("service/static/index.html", "service/static/page.js", "models/best_model.tflite", "py.typed"):
        assert f"anemone_lib/{name}" in expected


def test_the_wheel_names_the_licence_the_command_and_the_serving_extra(wheel):
    text = {name.split("/")[-1]: content.decode() for name, content in wheel.items() if ".dist-info/" in name}
    assert "MIT" in text["LICENSE"]
    assert "anemone = anemone_lib." in text["entry_points.txt"]
    assert "Provides-Extra: serve" in text["METADATA"]
