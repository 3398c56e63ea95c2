"""The parts of ``terraform/README.md`` that are worked out from elsewhere; run as a program it writes them anew."""

import re

from tests.terraform import costs, interface

README = interface.TERRAFORM / "README.md"
PARTS = {"tables": interface.tables, "costs": costs.tables}


def completed(readme: str) -> str:
    """A README with every part between its two marks."""
    for name, part in PARTS.items():
        marks = rf"(<!-- {name}: begin -->\n).*?(\n<!-- {name}: end -->)"
        readme, n = re.subn(
            marks, lambda found, text=part(): f"{found[1]}\n{text}\n{found[2]}", readme, flags=re.DOTALL
        )
        if n != 1:
            raise ValueError(f"{README} has {n} places for {name}; it must have one")
    return readme


if __name__ == "__main__":
    README.write_text(completed(README.read_text(encoding="utf-8")), encoding="utf-8")
