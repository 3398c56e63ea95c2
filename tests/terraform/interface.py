"""The interface of the Terraform configuration, read from its files: variables, outputs, and their tables."""

import re
from dataclasses import dataclass
from pathlib import Path

TERRAFORM = Path(__file__).parents[2] / "terraform"


@dataclass(frozen=True)
class Variable:
    """A variable as declared; `default` is none where a value must be given."""

    name: str
    description: str
    type: str
    default: str | None
    validations: tuple[str, ...]


def variables(root: str) -> dict[str, Variable]:
    """The variables of a module or environment, in the order of the file."""
    text = (TERRAFORM / root / "variables.tf").read_text(encoding="utf-8")
    found = {}
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, flags=re.DOTALL | re.MULTILINE):
        found[name] = Variable(
            name=name,
            description=_attribute(body, "description").strip('"').replace('\\"', '"'),
            type=_attribute(body, "type"),
            default=_attribute(body, "default") or None,
            validations=tuple(re.findall(r"^  validation \{\n(.*?)^  \}", body, flags=re.DOTALL | re.MULTILINE)),
        )
    return found


def outputs(root: str) -> dict[str, str]:
    """The outputs of a module or environment, with their descriptions."""
    text = (TERRAFORM / root / "outputs.tf").read_text(encoding="utf-8")
    return dict(re.findall(r'^output "(\w+)" \{\n\s+description\s+= "(.*)"', text, flags=re.MULTILINE))


def settings(root: str) -> dict[str, str | None]:
    """The attributes of the object `inference_config`: name, and its default as written (none if there is none)."""
    declared = variables(root)["inference_config"].type
    return {
        name: default or None
        for name, default in re.findall(r"^\s+(\w+)\s+= optional\(\w+(?:, (.*))?\)$", declared, flags=re.MULTILINE)
    }


@dataclass(frozen=True)
class Attribute:
    """An attribute of an object that a module takes; `default` is none where a value must be given."""

    name: str
    description: str
    type: str
    default: str | None


def attributes(variable: Variable) -> list[Attribute]:
    """The attributes of a variable that is an object, each described by the comment beside it."""
    lines = re.findall(r"^    (\w+)\s+= (\S.*?)\s+# (.*)$", variable.type, flags=re.MULTILINE)
    found = []
    for name, declared, description in lines:
        optional = re.fullmatch(r"optional\((\w+(?:\(\w+\))?)(?:, (.*))?\)", declared)
        kind, default = (optional[1], optional[2] or "null") if optional else (declared, None)
        found.append(Attribute(name, description, kind, default))
    return found


def resources(root: str) -> list[tuple[str, str, str]]:
    """What a module declares: kind (resource or data), type and name, in the order of files and lines."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((TERRAFORM / root).glob("*.tf")))
    return re.findall(r'^(resource|data) "(\w+)" "(\w+)"', text, flags=re.MULTILINE)


def passed(root: str) -> dict[str, dict[str, str | None]]:
    """What an environment gives to each module, by name or by object and attribute.

    The value is the name of the environment's own variable; none where it is something of another module.
    """
    text = (TERRAFORM / root / "main.tf").read_text(encoding="utf-8")
    found = {}
    for module, body in re.findall(
        r'^module "\w+" \{\n  source = "../../([^"]+)"\n(.*?)^\}', text, flags=re.DOTALL | re.MULTILINE
    ):
        arguments, group = {}, ""
        for line in body.splitlines():
            if match := re.fullmatch(r"  (\w+) = \{", line):
                group = f"{match[1]}."
            elif line == "  }":
                group = ""
            elif (match := re.match(r" {2,4}(\w+)\s+= (.*)", line)) and match[1] != "count":
                own = re.search(r"\bvar\.(\w+)", match[2])
                arguments[group + match[1]] = own and own[1]
        found[module] = arguments
    return found


def _attribute(body: str, name: str) -> str:
    """An attribute of a block as formatted by ``terraform fmt``: up to the next one at the same depth."""
    match = re.search(rf"^  {name}\s+= (.*?)(?=^  \S)", body + "  end\n", flags=re.DOTALL | re.MULTILINE)
    if match and match[1].startswith(("object(", "{\n")):  # runs to its own closing bracket
        match = re.search(rf"^  {name}\s+= (.*?^  \S*)$", body, flags=re.DOTALL | re.MULTILINE)
    return match[1].strip() if match else ""


def tables() -> str:
    """The tables of the README: every variable with its defaults in dev and prod, and every output."""
    dev, prod = variables("environments/dev"), variables("environments/prod")
    lines = ["| variable | type | dev | prod | what it is |", "|---|---|---|---|---|"]
    for name, variable in prod.items():
        kind = "object" if variable.type.startswith("object") else variable.type
        lines.append(f"| `{name}` | {kind} | {_shown(dev[name])} | {_shown(variable)} | {variable.description} |")
    lines += ["", "| output | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {description} |" for name, description in outputs("environments/prod").items()]
    return "\n".join(lines)


def module_tables(root: str) -> str:
    """The tables of a module's README: its variables with the attributes of objects, its outputs, its resources."""
    lines = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    for name, variable in variables(root).items():
        grouped = attributes(variable)
        kind = "object" if variable.type.startswith("object") else variable.type
        lines.append(f"| `{name}` | {kind} | {_shown(variable)} | {variable.description} |")
        lines += [f"| `{name}.{one.name}` | {one.type} | {_shown(one)} | {one.description} |" for one in grouped]
    lines += ["", "| output | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {description} |" for name, description in outputs(root).items()]
    lines += ["", "| resource | name |", "|---|---|"]
    lines += [f"| `{kind}`{' (read)' * (how == 'data')} | `{name}` |" for how, kind, name in sorted(resources(root))]
    return "\n".join(lines)


def example(root: str) -> str:
    """The smallest example of a module, as its README shows it."""
    text = (TERRAFORM / root / "examples" / "minimal" / "main.tf").read_text(encoding="utf-8")
    return f"```hcl\n{text.strip()}\n```"


def _shown(variable: Variable | Attribute) -> str:
    return "*required*" if variable.default is None else f"`{variable.default}`"
