import pytest

from anemone_lib.cli.chatter import Chatter


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
