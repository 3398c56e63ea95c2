import pytest

from anemone_lib.errors import spell_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (119.96, "120 s"),
        (120, "2 min"),
        (179.7, "3 min"),
        (3599.7, "1 h"),
        (7199, "2 h"),
        (35_999, "10 h"),
        (36_000, "10 h"),
    ],
)
def test_a_duration_is_rounded_as_a_whole(seconds, words):
    assert spell_duration(seconds) == words
