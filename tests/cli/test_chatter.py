import subprocess
import sys

import pytest

from anemone_lib.cli.chatter import Chatter

NESTED = """
import os
from anemone_lib.cli.chatter import catch_chatter
with catch_chatter():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    with catch_chatter() as chatter:
        os.write(2, b"Note: resync\\n")
        print(chatter.take_notes())
    os.write(2, b"a message of another library\\n")
"""


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (["Note: one"], "the decoder says: Note: one"),
        (["Note: one"] * 3, "the decoder says: Note: one and 2 more lines"),
        ([f"Note: {k}" for k in range(4)], "the decoder says: Note: 0; Note: 1; Note: 2 and 1 more line"),
    ],
)
def test_a_note_counts_the_lines_that_it_does_not_show(tmp_path, lines, note):
    path = tmp_path / "stderr"
    path.write_text("\n".join(lines) + "\n")
    with path.open("rb") as file:
        assert Chatter(file, 2).take_notes() == [note]


def test_within_itself_the_same_chatter_is_caught():
    ran = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, check=True)
    assert ran.stdout == "['the decoder says: Note: resync']\n"
    assert ran.stderr == "a message of another library\n"


def test_a_command_that_loads_a_model_prints_nothing_else():
    command = [sys.executable, "-c", "from anemone_lib.cli import app; app()", "config", "to-env"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
