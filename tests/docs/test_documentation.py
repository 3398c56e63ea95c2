"""The documentation: nothing public is left out, and what the pages show runs."""

import csv
import doctest
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anemone_lib import detect
from anemone_lib.archive.tables import SCHEMAS
from anemone_lib.config import InferenceConfig
from anemone_lib.detection import FORMATS
from anemone_lib.simulation import write_recording
from tests.conftest import ROOT

DOCS = ROOT / "docs"
STEPS = [DOCS / "index.md", DOCS / "start.md", *sorted((DOCS / "howto").glob("*.md"))]
TASKS = [path for path in sorted((DOCS / "howto").glob("*.md")) if path.stem != "index"]


def name_of(path):
    return path.relative_to(DOCS).with_suffix("").as_posix()


# ---------------------------------------------------------------------- nothing is left out


def test_every_command_and_option_has_a_meaning_and_is_on_the_page(pages):
    page = pages.write_commands()
    commands = dict(pages.list_commands())
    assert len(commands) >= 9
    for name, command in commands.items():
        assert command.help, f"{name} says nothing of what it does"
        section = page[page.index(f"## {name}\n") :].split("\n## ")[0]
        for names, _, _, meaning in pages.list_parameters(command):
            assert meaning, f"{name}: {names} has no help"
            assert f"`{names}`" in section.replace("\\|", "|"), f"{name}: {names} is not on the page"


def test_every_setting_has_a_meaning_and_is_on_the_page(pages):
    page = pages.write_settings()
    for name, field in InferenceConfig.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"| `{name}` |" in page


def list_keys(value, prefix=""):
    """The keys of a JSON value by their path; a list's items share one."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield prefix + key
            if key != "probabilities":  # its keys are the model's classes
                yield from list_keys(below, f"{prefix}{key}.")
    elif isinstance(value, list):
        for item in value:
            yield from list_keys(item, prefix.removesuffix(".") + "[].")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every format of a detection, by its name: of a recording that knows its clock and has a gap."""
    import numpy as np
    import soundfile

    folder = tmp_path_factory.mktemp("written")
    path = folder / "reef_20230210_060000.wav"
    write_recording(path, duration=20, seed=1, sample_rate=16_000)
    samples, rate = soundfile.read(path, dtype="float32")
    samples[:rate] = np.nan  # the first second cannot be analysed
    soundfile.write(path, samples, rate, subtype="FLOAT")
    detections = detect(path)
    assert detections.events
    return dict(zip(FORMATS, detections.save(folder / "out", formats=FORMATS), strict=True))


def test_every_format_is_documented(pages):
    assert {name.casefold() for name in pages.COLUMNS} == set(FORMATS) - {"png"}


def test_every_column_of_the_csv_is_documented(pages, written):
    with written["csv"].open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == list(pages.COLUMNS["CSV"][1])


def test_every_column_of_the_raven_table_is_documented(pages, written):
    header = written["raven"].read_text(encoding="utf-8").splitlines()[0]
    assert header.split("\t") == list(pages.COLUMNS["Raven"][1])


def test_every_column_of_the_calls_is_documented(pages, written):
    with written["calls"].open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == list(pages.COLUMNS["Calls"][1])
    header = written["raven_calls"].read_text(encoding="utf-8").splitlines()[0]
    assert header.split("\t") == list(pages.COLUMNS["Raven_calls"][1])


def test_every_column_of_the_audacity_labels_is_documented(pages, written):
    first = written["audacity"].read_text(encoding="utf-8").splitlines()[0]
    assert [str(number) for number in range(1, len(first.split("\t")) + 1)] == list(pages.COLUMNS["Audacity"][1])


def test_every_key_of_the_result_is_documented(pages, written):
    keys = set(list_keys(json.loads(written["json"].read_text(encoding="utf-8"))))
    assert keys == set(pages.COLUMNS["JSON"][1])


def test_every_column_has_a_meaning_and_is_on_the_page(pages):
    page = pages.write_columns()
    for title, (introduction, columns) in pages.COLUMNS.items():
        assert introduction.endswith("."), title
        for name, meaning in columns.items():
            assert meaning.endswith("."), f"{title}: {name}"
            assert f"| `{name}` | {meaning} |" in page


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_every_column_of_an_archive_has_a_meaning_and_is_on_the_page(pages, name):
    section = pages.write_columns().split(f"## Archive: {name}\n")[1].split("\n## ")[0]
    for column in SCHEMAS[name]:
        meaning = column.metadata[b"meaning"].decode()
        assert meaning.endswith("."), column.name
        assert f"| `{column.name}` | {column.type} | {meaning} |" in section


@pytest.mark.parametrize("folder", ["environments/dev", "environments/prod", "modules/inference", "modules/ecr"])
def test_every_terraform_variable_has_a_description_and_is_on_the_page(pages, folder):
    page = pages.write_terraform()
    section = page[page.index(f"## {folder}\n") :].split("\n## ")[0]
    declared = re.findall(
        r'^variable "(\w+)"', (ROOT / "terraform" / folder / "variables.tf").read_text(), flags=re.MULTILINE
    )
    assert list(pages.list_variables(ROOT / "terraform" / folder)) == declared
    for name, (_, _, meaning) in pages.list_variables(ROOT / "terraform" / folder).items():
        assert meaning, f"{name} has no description"
        assert f"| `{name}` |" in section


def test_every_route_is_on_the_page(pages):
    page = pages.write_http()
    for path, methods in pages.load_openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path} has no summary"
            assert f"## {method.upper()} {path}\n" in page


def test_every_field_and_parameter_of_the_http_interface_has_a_meaning(pages):
    rows = [line for line in pages.write_http().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if re.search(r"` \| *(\(.*\))? *\|$", row)] == []


def list_public():
    for package in sorted(path.parent.name for path in (ROOT / "anemone_lib").glob("*/__init__.py")):
        module = importlib.import_module(f"anemone_lib.{package}")
        if package not in ("cli", "service"):
            yield from ((package, name) for name in module.__all__ if callable(getattr(module, name)))


def test_every_package_and_public_name_is_in_the_reference(pages):
    for package, name in list_public():
        assert re.search(rf"^\.\. auto(class|function):: {name}$", pages.write_package(package), re.MULTILINE)


@pytest.mark.parametrize(("package", "name"), list(list_public()))
def test_every_public_function_has_an_example(package, name):
    value = getattr(importlib.import_module(f"anemone_lib.{package}"), name)
    text = inspect.getdoc(value) or ""
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"anemone_lib.{package}.{name} has no example"
    skipped = [example.source for example in examples if example.options.get(doctest.SKIP)]
    assert not skipped, "an example that is skipped shows nothing"


def test_every_decision_is_listed_by_its_number():
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "adr").glob("0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_small_parameters_are_parameters_of_the_notebooks(pages):
    notebooks = {path.stem: path for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(pages.SMALL) == set(notebooks)
    for path in notebooks.values():
        pages.prepare_notebook(path)  # raises where a parameter is none


# ---------------------------------------------------------------------- what the pages show runs


def list_blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in STEPS if list_blocks(path, "sh")], ids=name_of)
def test_commands_of_a_page_run_in_an_empty_folder(path, tmp_path):
    commands = "".join(block for block in list_blocks(path, "sh"))
    commands = re.sub(r"^pip install .*$", ":", commands, flags=re.MULTILINE)  # it is installed already
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = ["bash", "-euo", "pipefail", "-c", commands]
    run = subprocess.run(script, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in STEPS if list_blocks(path, "python")], ids=name_of)
def test_examples_of_a_page_run_in_an_empty_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("path", TASKS, ids=name_of)
def test_a_page_of_a_task_ends_in_something_that_runs(path):
    text = path.read_text(encoding="utf-8")
    last = re.findall(r"^```(\w*)\n", text, flags=re.MULTILINE)[::2][-1]
    assert last in ("sh", "python")


def test_every_page_is_in_a_table_of_contents():
    pages = {path for path in DOCS.rglob("*.md") if not {"_ext", "notebooks", "reference"} & set(path.parts[:-1])}
    listed = {DOCS / "index.md"}
    for path in pages:
        for block in list_blocks(path, r"\{toctree\}"):
            for entry in block.splitlines():
                if entry and not entry.startswith(":"):
                    listed |= {found.resolve() for found in path.parent.glob(f"{entry}.md")}
    assert pages - listed == set()


def test_no_page_names_a_path_of_this_machine():
    for path in DOCS.rglob("*.md"):
        assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path
