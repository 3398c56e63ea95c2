"""The pages that are worked out from the code: a Sphinx extension.

At every build it writes ``reference/`` (commands, settings, columns, the HTTP API, Terraform variables, the model card,
the packages) and ``notebooks/`` (the six notebooks with small parameters, for myst-nb to run).
"""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import nbformat
import typer.main
from columns import COLUMNS, FIELDS

from anemone_lib.archive.tables import PARTITIONED, SCHEMAS
from anemone_lib.cli import app as command_line
from anemone_lib.config import EVENT_FIELDS, InferenceConfig

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

#: Packages that are reached by commands and by HTTP, and have pages of their own kind.
FACES = ("cli", "service")
#: The packages of the reference.
PACKAGES = tuple(
    sorted(path.parent.name for path in (ROOT / "anemone_lib").glob("*/__init__.py") if path.parent.name not in FACES)
)
#: Documents that lie beside what they describe, and the page on which the site shows each.
DOCUMENTS = {
    "docker/README.md": "service.md",
    "terraform/README.md": "aws.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/RESULTS.md": "results.md",
    "CONTRIBUTING.md": "contributing.md",
}

#: Parameters that make the notebooks short enough to be run at every build.
SMALL: dict[str, dict[str, Any]] = {
    "01_explore_recording": {},
    "02_tune_inference_config": {
        "season_recordings": 24,
        "season_duration": 60.0,
        "compare_settings": [{"stride_duration": 0.5}],
    },
    "03_train_classifier": {"simulated_recordings": 24, "epochs": 2},
    "04_review_events": {},
    "05_check_deployment": {},
    "06_season_report": {},
}

#: What a page says below a cell whose widget needs a running kernel.
WIDGETS = {
    "TuningPanel(": "In JupyterLab this cell shows sliders for the event settings, and what they find.",
    "ReviewPanel(": "In JupyterLab this cell shows one event at a time, with its picture, its sound and the buttons.",
}


# ---------------------------------------------------------------------- commands


def list_commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, as ``anemone config show``."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
        else:
            for child, below in sorted(children.items()):
                yield from walk(f"{name} {child}", below)

    return walk("anemone", typer.main.get_command(command_line))


def list_parameters(command: Any) -> Iterator[tuple[str, str, str, str]]:
    """Each argument and option: how it is written, kind, default, meaning."""
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_argument = parameter.param_type_name == "argument"
        names = parameter.metavar or parameter.name.upper() if is_argument else ", ".join(parameter.opts)
        if parameter.secondary_opts:
            names += ", " + ", ".join(parameter.secondary_opts)
        default = parameter.default
        if parameter.required:
            shown = "required"
        elif default is None or callable(default) or default == ():
            shown = ""
        elif isinstance(default, list | tuple):
            shown = " ".join(map(str, default))
        else:
            shown = str(default)
        yield names, _name_type(parameter), shown, (parameter.help or "").strip()


def _name_type(parameter: Any) -> str:
    """The type of a parameter in a word: of Typer's own description, or of click's in older versions of Typer."""
    if not hasattr(parameter, "type_descriptor"):
        return str(parameter.type.name)

    def name(annotation: Any) -> str:
        if get_origin(annotation) in (Union, UnionType):
            return " or ".join(name(one) for one in get_args(annotation) if one is not type(None))
        if get_origin(annotation) is tuple:
            return " ".join(map(name, get_args(annotation)))
        if get_origin(annotation) is list:
            return name(get_args(annotation)[0])
        known = {"str": "text", "int": "whole number", "float": "number", "bool": "flag", "Path": "path"}
        return known.get(annotation.__name__, annotation.__name__)

    return name(parameter.type_descriptor.annotation)


def write_commands() -> str:
    """Build the page of the command line."""
    lines = [
        "# Commands",
        "",
        "Every command and every option, from the program itself. `anemone COMMAND --help` says the same. Exit codes:",
        "0, all done; 1, some recordings failed and the others are done; 2, the command itself cannot be carried out.",
        "",
    ]
    for name, command in list_commands():
        lines += [f"## {name}", "", (command.help or "").strip(), ""]
        rows = [
            (f"`{names}`", kind, f"`{default}`" if default and default != "required" else default, meaning)
            for names, kind, default, meaning in list_parameters(command)
        ]
        lines += _list_table("option", ("", "default"), rows)
    return "\n".join(lines)


# ---------------------------------------------------------------------- settings and columns


def write_settings() -> str:
    """Build the page of the settings."""
    lines = [
        "# Settings",
        "",
        "One object, `InferenceConfig`, has every setting. It is written in four ways: as parameters of a notebook, as",
        "a file (YAML or JSON, `--config`), as the Terraform variable `inference_config`, and as environment variables",
        "in upper case (`CONFIDENCE_THRESHOLD`). All four give the same object and the same fingerprint.",
        "",
        "A setting decides the *scores* (the recording must be scored again when it changes), only the *events*",
        "(decided in milliseconds on kept scores), or neither.",
        "",
        "The card of a model may have event settings of its own, as that of the demonstration model does. They count",
        "wherever you give no others, in place of the defaults below; `anemone config show` prints what is in force.",
        "A file of settings and the Terraform variable have all settings, so the card's are not used beside them.",
        "",
    ]
    rows = []
    for name, field in InferenceConfig.model_fields.items():
        decides = "events" if name in EVENT_FIELDS else "" if name == "batch_size" else "scores"
        default = "none" if field.default is None else field.default
        rows.append((f"`{name}`", f"`{default}`", decides, field.description or ""))
    lines += _list_table("setting", ("default", "decides the"), rows)
    lines += [
        "## Print and convert them",
        "",
        "```sh",
        "anemone config show",
        "anemone config to-env",
        "anemone config to-tfvars --out promoted/inference_config.auto.tfvars.json",
        "```",
        "",
    ]
    return "\n".join(lines)


def write_columns() -> str:
    """Build the page of the tables' columns."""
    lines = [
        "# Tables and results",
        "",
        "What `anemone detect --formats …`, `Detections.save` and `anemone archive run` write, column by column. Times",
        "are seconds from the start of the recording. An interval begins at its start and ends before its end.",
        "",
    ]
    for title, (introduction, columns) in COLUMNS.items():
        lines += [f"## {title}", "", introduction, ""]
        lines += _table(("name", "meaning"), [(f"`{name}`", meaning) for name, meaning in columns.items()])
    for name, schema in SCHEMAS.items():
        where = "one file a site and month" if name in PARTITIONED else "one file"
        lines += [f"## Archive: {name}", "", f"`{name}.parquet`, {where}, which `anemone archive run` writes.", ""]
        rows = [(f"`{one.name}`", str(one.type), one.metadata[b"meaning"].decode()) for one in schema]
        lines += _table(("name", "type", "meaning"), rows)
    return "\n".join(lines)


# ---------------------------------------------------------------------- HTTP, Terraform, model


def load_openapi() -> dict[str, Any]:
    """The description of the HTTP interface, from the app itself."""
    from anemone_lib.service.local import make_local_app
    from anemone_lib.service.settings import Settings

    return make_local_app(Settings()).openapi()


def write_http() -> str:
    """Build the page of the HTTP interface."""
    description = load_openapi()
    lines = ["# HTTP interface", "", str(description["info"].get("description", "")).strip(), ""]
    lines += [
        "A running service answers the same as JSON at `/openapi.json`, and as a page at `/docs`. Examples that run",
        "are in [Call the endpoint](../howto/endpoint.md).",
        "",
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            lines += [f"## {method.upper()} {path}", "", operation.get("summary", ""), ""]
            lines += [_plain(operation.get("description", "")), ""]
            rows = [
                (f"`{one['name']}`", one["in"], _kind(one.get("schema", {})), explain_field("", one["name"], one))
                for one in operation.get("parameters", [])
            ]
            if rows:
                lines += _list_table("parameter", ("in the", ""), rows)
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                lines += [f"Body, `{media}`:", ""]
                lines += _fields(content.get("schema", {}), description)
            answers = []
            for status, answer in operation.get("responses", {}).items():
                schemas = [one.get("schema", {}) for one in answer.get("content", {}).values()]
                answers.append((status, _plain(answer.get("description", "")), ", ".join(map(_kind, schemas))))
            lines += _table(("status", "meaning", "body"), answers)
    lines += ["## Objects", ""]
    for name, schema in list_objects(description).items():
        lines += [f"### {name}", "", _plain(schema.get("description", "")), ""]
        lines += _fields({**schema, "title": name}, description)
    return "\n".join(lines)


def list_objects(description: Mapping[str, Any]) -> dict[str, Any]:
    """The objects of the interface; FastAPI describes errors of its own, which the service never sends."""
    schemas = description.get("components", {}).get("schemas", {})
    return {name: schema for name, schema in schemas.items() if "ValidationError" not in name}


def explain_field(name: str, field: str, schema: Mapping[str, Any]) -> str:
    """The meaning of a field of an object."""
    return _plain(schema.get("description", "")) or FIELDS.get(f"{name}.{field}", FIELDS.get(field, ""))


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "bytes"
    kind = schema.get("type", schema.get("title", ""))
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _fields(schema: Mapping[str, Any], description: Mapping[str, Any]) -> list[str]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return [f"the object [{name}](#{name.lower()})", ""]
    if "oneOf" in schema:
        first, *others = (_fields(one, description) for one in schema["oneOf"])
        return first + [line for other in others for line in ("or", "", *other)]
    properties = schema.get("properties", {})
    if not properties:
        return [_kind(schema), ""] if _kind(schema) else []
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            _kind(one),
            "required" if name in required else "",
            explain_field(schema.get("title", ""), name, one),
        )
        for name, one in properties.items()
    ]
    return _list_table("field", ("", ""), rows)


def list_variables(folder: Path) -> dict[str, tuple[str, str, str]]:
    """The variables that a Terraform folder declares: type, default (or *required*), description."""
    text = (folder / "variables.tf").read_text(encoding="utf-8")
    found = {}
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, flags=re.DOTALL | re.MULTILINE):
        attribute = dict(re.findall(r"^  (type|default|description)\s+= (.+)$", body, flags=re.MULTILINE))
        default = attribute.get("default", "*required*")
        default = "see the file" if default in ("{", "[") else default
        kind = attribute.get("type", "")
        meaning = attribute.get("description", "").strip().strip('"').replace('\\"', '"')
        found[name] = ("object" if kind.startswith("object") else kind, default, meaning)
    return found


def write_terraform() -> str:
    """Build the page of the Terraform variables and outputs."""
    lines = [
        "# Terraform variables",
        "",
        "What each folder under `terraform/` declares. How to use them: [Deploy on AWS](../howto/deploy.md). The",
        "settings of `inference_config` are on [their own page](settings.md).",
        "",
    ]
    for folder in ("environments/dev", "environments/prod", "modules/inference", "modules/archive", "modules/ecr"):
        lines += [f"## {folder}", ""]
        rows = [
            (f"`{name}`", f"`{kind}`", default if default.startswith(("*", "see")) else f"`{default}`", meaning)
            for name, (kind, default, meaning) in list_variables(ROOT / "terraform" / folder).items()
        ]
        lines += _list_table("variable", ("", "default"), rows)
        text = (ROOT / "terraform" / folder / "outputs.tf").read_text(encoding="utf-8")
        outputs = re.findall(r'^output "(\w+)" \{\n\s+description\s+= "(.*)"', text, flags=re.MULTILINE)
        lines += _table(("output", "meaning"), [(f"`{name}`", meaning) for name, meaning in outputs])
    return "\n".join(lines)


def load_card() -> dict[str, Any]:
    """The card of the shipped model."""
    return json.loads((ROOT / "anemone_lib" / "models" / "best_model.json").read_text(encoding="utf-8"))


def describe_quality() -> dict[str, str]:
    """The figures of the card that the explanation quotes, by the names that its text uses."""
    metrics = load_card()["metrics"]
    usual = metrics["snr_6_to_18_db"]
    return {
        "precision": f"{usual['precision']:.2f}",
        "recall": f"{usual['recall']:.2f}",
        "n_bouts": str(usual["n_reference"]),
        "false_alarms": f"{usual['false_alarms_per_hour']:g}",
        "minutes": f"{usual['duration_s'] / 60:g}",
    }


def write_card() -> str:
    """Build the page of the shipped model's card."""
    card = load_card()
    lines = [f"# {card['name']}", "", f"Version `{card['version']}`. {card['summary']}", ""]
    lines += ["This page shows `anemone_lib/models/best_model.json`, which travels with the model.", ""]
    lines += ["## What it takes and gives", ""]
    facts = [("classes", ", ".join(card["classes"])), ("input", " × ".join(map(str, card["input_shape"])))]
    facts += [(f"SHA-256 of `{name}`", f"`{value}`") for name, value in card["sha256"].items()]
    facts += [(f"`{name}`", "none" if value is None else f"`{value}`") for name, value in card["settings"].items()]
    facts.append(("temperature of the calibration", str(card["temperature"])))
    for name, own in card["decisions"].items():
        spelled = ", ".join(f"`{setting}` {value:g}" for setting, value in own.items())
        facts.append((f"settings of events of {name}, where none are given", spelled))
    lines += _table(("what", "value"), facts)
    for title in ("training", "parity", "metrics"):
        lines += [f"## {title.capitalize()}", ""]
        plain = {name: value for name, value in card[title].items() if not _is_curve(value)}
        lines += _table(("what", "value"), [(name.replace("_", " "), _value(value)) for name, value in plain.items()])
        for name, value in card[title].items():
            if _is_curve(value):
                columns = list(next(iter(value.values())))
                lines += [f"### {name.replace('_', ' ').capitalize()}", ""]
                lines += _table(
                    ("", *(column.replace("_", " ") for column in columns)),
                    [(key, *(_value(row.get(column)) for column in columns)) for key, row in value.items()],
                )
    return "\n".join(lines)


def _is_curve(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict) for row in value.values())


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')}: {_value(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------- packages


def write_package(name: str) -> str:
    """Build the page of one package: what it says of itself, a list, and every public name."""
    module = importlib.import_module(f"anemone_lib.{name}")
    lines = [f"# anemone_lib.{name}", "", "```{eval-rst}", f".. automodule:: anemone_lib.{name}", "   :no-members:", ""]
    lines += [".. currentmodule:: " + module.__name__, "", ".. autosummary::", ""]
    documented = [one for one in module.__all__ if callable(getattr(module, one))]
    lines += [f"   {one}" for one in documented] + [""]
    for one in documented:
        kind = "autoclass" if isinstance(getattr(module, one), type) else "autofunction"
        options = ["   :members:", "   :exclude-members: model_config"] if kind == "autoclass" else []
        lines += [f".. {kind}:: {one}", *options, ""]
    values = [one for one in module.__all__ if not callable(getattr(module, one))]
    for one in values:
        lines += [f".. autodata:: {one}", "   :no-value:", ""]
    return "\n".join([*lines, "```", ""])


BASE = """# Configuration, errors, provenance

```{eval-rst}
.. currentmodule:: anemone_lib.config

.. autoclass:: InferenceConfig
   :members: classes, grid_settings, image_settings, replace, fingerprint, scores_fingerprint, load, save, to_tfvars,
             to_env, from_env

.. automodule:: anemone_lib.errors
   :members:

.. automodule:: anemone_lib.provenance
   :members:

.. automodule:: anemone_lib.files
   :members:
```
"""


def write_packages() -> dict[str, str]:
    """Build the pages of all packages, and their index."""
    import anemone_lib

    face = [name for name in anemone_lib.__all__ if name != "__version__"]
    index = ["# Python", "", "`from anemone_lib import …` has the names that most programs need:", ""]
    index += [", ".join(f"`{name}`" for name in face) + ".", ""]
    index += ["Everything else is imported from its package. Each package says what lives there."]
    index += ["It also says where to start.", ""]
    index += ["```{toctree}", ":maxdepth: 1", "", *PACKAGES, "base", "```", ""]
    pages = {f"api/{name}.md": write_package(name) for name in PACKAGES}
    return {**pages, "api/base.md": BASE, "api/index.md": "\n".join(index)}


# ---------------------------------------------------------------------- notebooks


def prepare_notebook(path: Path) -> str:
    """A notebook as the site runs it: small parameters, long settings folded away."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            for name, value in SMALL.get(path.stem, {}).items():
                cell.source, n = re.subn(
                    rf"^({name}: [^=]+ = ).*?(  #.*)?$", rf"\g<1>{value!r}\g<2>", cell.source, flags=re.MULTILINE
                )
                if n != 1:
                    raise ValueError(f"{path.name} has no parameter {name}")
            cell.metadata["tags"] = [*tags, "hide-input"]
        elif cell.cell_type == "code" and "%matplotlib" in cell.source:
            cell.metadata["tags"] = [*tags, "hide-input"]
        cell.source = re.sub(r"\((\.\./)?docs/(\S+?\.md)\)", r"(../\2)", cell.source)
    for number in reversed(range(len(notebook.cells))):
        for word, note in WIDGETS.items():
            if notebook.cells[number].cell_type == "code" and word in notebook.cells[number].source:
                cell = nbformat.v4.new_markdown_cell(f"*{note}*")
                cell.id = f"note-{number}"
                notebook.cells.insert(number + 1, cell)
    return nbformat.writes(notebook) + "\n"


def write_notebooks() -> dict[str, str]:
    """Build the notebooks, and their index from ``notebooks/README.md``."""
    folder = ROOT / "notebooks"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    names = [path.stem for path in sorted(folder.glob("*.ipynb"))]
    index = [readme, "", "```{toctree}", ":hidden:", ":maxdepth: 1", "", *names, "```", ""]
    pages = {f"{name}.ipynb": prepare_notebook(folder / f"{name}.ipynb") for name in names}
    return {**pages, "index.md": "\n".join(index)}


# ---------------------------------------------------------------------- documents


def show_document(source: str) -> str:
    """A document of the repository as a page: links between documents lead to pages, others become names."""
    text = (ROOT / source).read_text(encoding="utf-8")
    text = re.sub(r"^```mermaid\n.*?^```\n+", "", text, flags=re.DOTALL | re.MULTILINE)  # drawn by GitHub only

    def lead(link: re.Match[str]) -> str:
        words, target = link.groups()
        if target.startswith(("http", "#", "mailto")):
            return link[0]
        path = ((ROOT / source).parent / target.partition("#")[0]).resolve()
        place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        if place in DOCUMENTS:
            return f"[{words}]({DOCUMENTS[place]})"
        return f"[{words}](../adr/index.md)" if place == "docs/adr" else words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", lead, text)


# ---------------------------------------------------------------------- writing


def write_reference() -> dict[str, str]:
    """Build every page of the reference, by its path."""
    index = [
        "# Reference",
        "",
        "Written from the code at every build.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *("api/index", "cli", "settings", "tables", "http", "terraform", "model-card"),
        "```",
        "",
        "Documents that lie beside what they describe:",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *(page.removesuffix(".md") for page in DOCUMENTS.values()),
        "```",
        "",
    ]
    return {
        "index.md": "\n".join(index),
        "cli.md": write_commands(),
        "settings.md": write_settings(),
        "tables.md": write_columns(),
        "http.md": write_http(),
        "terraform.md": write_terraform(),
        "model-card.md": write_card(),
        **{page: show_document(source) for source, page in DOCUMENTS.items()},
        **write_packages(),
    }


def write_pages(_app: Any = None) -> None:
    """Write the pages; one that has not changed is left alone, so that a second build is quick."""
    for folder, pages in (("reference", write_reference()), ("notebooks", write_notebooks())):
        for path in (DOCS / folder).rglob("*"):
            if path.suffix in (".md", ".ipynb") and path.relative_to(DOCS / folder).as_posix() not in pages:
                path.unlink()
        for name, text in pages.items():
            path = DOCS / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")


def _plain(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).strip()


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A Markdown table, with an empty line after it; nothing without rows."""
    if not rows:
        return []
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells), ""]


def _list_table(heading: str, facts: tuple[str, str], rows: list[tuple[str, ...]]) -> list[str]:
    """A table of two columns, which fits a phone: a name; its meaning, and two facts about it in brackets."""

    def spell(before: str, fact: str) -> str:
        if not fact or fact in ("required", "*required*"):
            return fact.strip("*")
        return f"{before} {fact}".strip()

    lines = []
    for name, first, second, meaning in rows:
        known = ", ".join(filter(None, (spell(facts[0], first), spell(facts[1], second))))
        lines.append((name, f"{meaning} ({known})" if known else meaning))
    return _table((heading, "meaning"), lines)


def setup(app: Any) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "version": "1"}
