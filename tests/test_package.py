"""What holds for the package as a whole."""

import re
import subprocess
import sys
import tomllib

import anemone_lib

from .conftest import ROOT


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("tensorflow", "keras", "matplotlib", "librosa", "boto3", "fastapi", "ai_edge_litert", "soundfile", "av")
    heavy += ("scipy", "pandas", "yaml", "rich", "asyncio", "multiprocessing")
    script = f"import sys, anemone_lib; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_simulation_is_imported_without_what_takes_long():
    heavy = ["scipy.interpolate", "scipy.signal", "scipy.stats", "tensorflow"]
    script = f"import sys, anemone_lib.simulation; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented():
    for name in anemone_lib.__all__:
        thing = getattr(anemone_lib, name)
        assert name == "__version__" or thing.__doc__, name


def test_the_code_hash_changes_with_the_code_and_with_nothing_else(tmp_path):
    import shutil

    copy = tmp_path / "anemone_lib"
    shutil.copytree(ROOT / "anemone_lib", copy, ignore=shutil.ignore_patterns("__pycache__"))

    def digest():
        script = "import anemone_lib; print(anemone_lib.code_sha256())"
        command = [sys.executable, "-c", script]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    before = digest()
    assert before == anemone_lib.code_sha256()
    (copy / "models" / "note.txt").write_text("the model bundle has hashes of its own")
    assert digest() == before
    with (copy / "errors.py").open("a") as file:
        file.write("# changed\n")
    assert digest() != before


def test_no_registry_and_no_machine_is_named_in_the_lock():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", lock.strip()))


def test_the_lock_holds_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requested = [*project["dependencies"], *(x for extra in project["optional-dependencies"].values() for x in extra)]
    names = {re.split(r"[\[<>=;! ]", requirement)[0].lower() for requirement in requested} - {"anemone-lib"}
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert names - locked == set()


def test_the_repository_holds_no_large_file():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    sizes = {name: (ROOT / name).stat().st_size for name in listed.decode().split("\0") if (ROOT / name).is_file()}
    assert {name: size for name, size in sizes.items() if size > 1_000_000} == {}
    assert sum(size for name, size in sizes.items() if name.startswith("anemone_lib/models/")) < 2_000_000
