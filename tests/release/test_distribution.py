"""The wheel and the source distribution: what they hold, what they say, and that an installed one detects."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from anemone_lib.provenance import __version__


@pytest.fixture(scope="module")
def dist(tmp_path_factory, root):
    """The paths of a wheel and of a source distribution, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    program = "import sys; from hatchling import build; build.build_wheel(sys.argv[1]); build.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=root, capture_output=True, text=True, check=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(dist):
    with zipfile.ZipFile(dist[0]) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_holds_the_files_of_the_package_bit_for_bit(wheel, root):
    package = root / "anemone_lib"
    paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    assert {name: content for name, content in wheel.items() if ".dist-info/" not in name} == expected
    for name in ("service/static/index.html", "service/static/page.js", "models/best_model.tflite", "py.typed"):
        assert f"anemone_lib/{name}" in expected


def test_the_wheel_names_the_licence_the_command_and_the_extras(wheel):
    text = {name.split("/")[-1]: content.decode() for name, content in wheel.items() if ".dist-info/" in name}
    assert "MIT" in text["LICENSE"]
    assert "anemone = anemone_lib." in text["entry_points.txt"]
    for extra in ("serve", "keras", "notebooks"):
        assert f"Provides-Extra: {extra}" in text["METADATA"]
    for name in ("Documentation", "Source", "Changelog", "Issues"):
        assert f"Project-URL: {name}, https://" in text["METADATA"]


def test_the_source_distribution_builds_the_same_package(dist):
    with tarfile.open(dist[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "anemone_lib/models/best_model.tflite",
    } <= names
    assert not any(name.startswith(("tests/", "terraform/", "notebooks/")) for name in names)


def test_the_readme_renders_where_packages_are_listed(dist):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_links_and_pictures_of_the_readme_work_where_packages_are_listed(wheel, root):
    metadata = next(content.decode() for name, content in wheel.items() if name.endswith(".dist-info/METADATA"))
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert len(links) > 10
    assert not [link for link in links if not link.startswith(("https://", "#"))]
    source = f"https://github.com/anemone-lib/anemone/{{}}/v{__version__}/"
    assert f"]({source.format('raw')}docs/overview.png)" in metadata
    for link in links:
        path = link.removeprefix(source.format("blob")).removeprefix(source.format("raw"))
        assert path == link or (root / path).exists()


def test_the_version_is_the_same_wherever_it_stands(root, wheel):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"]
    assert any(name.startswith(f"anemone_lib-{__version__}.dist-info/") for name in wheel)


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory, root):
    """The interpreter of a clean environment that holds the wheel and what it requires, no more."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], capture_output=True, check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [*uv, "pip", "install", "--python", str(python), "--constraint", str(root / "requirements.lock")]
    made = subprocess.run([*command, str(dist[0])], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return python


def test_an_installed_wheel_detects(installed, tmp_path):
    soundfile.write(tmp_path / "reef.wav", 0.01 * np.random.default_rng(0).standard_normal(48_000 * 3), 48_000)
    command = [str(Path(installed).with_name("anemone")), "detect", "reef.wav", "--formats", "json,csv,raven,png"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environ, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_an_installed_wheel_says_what_an_optional_part_needs(installed, tmp_path):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(Path(installed).with_name("anemone")), "serve"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environ, check=False)
    assert result.returncode == 2
    assert "pip install 'anemone-lib[serve]'" in " ".join(result.stderr.split())
