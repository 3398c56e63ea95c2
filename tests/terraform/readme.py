"""What the READMEs under ``terraform/`` take from elsewhere; run as a program, this writes it into them."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.terraform import costs, interface

MODULES = ("modules/archive", "modules/ecr", "modules/inference")
README = interface.TERRAFORM / "README.md"
#: The parts of each README: the name of its marks, and what stands between them.
PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    README: {"tables": interface.tables, "costs": costs.tables},
    **{
        interface.TERRAFORM / module / "README.md": {
            "example": partial(interface.example, module),
            "tables": partial(interface.module_tables, module),
        }
        for module in MODULES
    },
}


def completed(path: Path) -> str:
    """A README with every part between its two marks."""
    readme = path.read_text(encoding="utf-8")
    for name, part in PARTS[path].items():
        marks = rf"(<!-- {name}: begin -->\n)(?:.*?\n)??(<!-- {name}: end -->)"
        readme, n = re.subn(
            marks, lambda found, text=part(): f"{found[1]}\n{text}\n\n{found[2]}", readme, flags=re.DOTALL
        )
        if n != 1:
            raise ValueError(f"{path} has {n} places for {name}; it must have one")
    return readme


if __name__ == "__main__":
    for readme in PARTS:
        readme.write_text(completed(readme), encoding="utf-8")
