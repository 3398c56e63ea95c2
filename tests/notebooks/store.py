"""Run the notebooks as they are and store what they print: ``python -m tests.notebooks.store [NAME…]``.

Figures, widgets, sounds and reports are left out, and so is the text of cells tagged ``nbval-ignore-output``, which
changes with every change of the code.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
#: Characters of text that a cell may store.
MAX_STORED = 1500


def printed(cell):
    """What a cell that was run may store: its standard output, in one piece."""
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return []
    text = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
    return [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []


def store(path):
    """Run one notebook and store what it prints."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = printed(cell)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        store(NOTEBOOKS / f"{Path(name).stem}.ipynb")
        print("stored", name)
