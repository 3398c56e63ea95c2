import pytest

from anemone_lib.errors import ConfigError
from anemone_lib.notebook.parameters import parse_list, parse_mapping


@pytest.mark.parametrize("value", [["a", "b c"], ("a", "b c"), "a, b c", "a,b c,", "[a, b c]", '["a", "b c"]'])
def test_a_list_may_be_a_list_or_commas_or_yaml(value):
    assert parse_list(value) == ["a", "b c"]


@pytest.mark.parametrize("value", [None, "", [], "  ", "[]"])
def test_no_items_are_an_empty_list(value):
    assert parse_list(value) == []


@pytest.mark.parametrize("value", [{"lt": "grunt"}, "lt=grunt", " lt = grunt ,", "{lt: grunt}"])
def test_pairs_may_be_a_mapping_or_equal_signs_or_yaml(value):
    assert parse_mapping(value) == {"lt": "grunt"}


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (parse_list, "[a, b", "cannot be read; write a, b or"),
        (parse_mapping, "{a", "cannot be read"),
        (parse_mapping, "lt", "'lt' has no value"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(read, value, words):
    with pytest.raises(ConfigError, match=words):
        read(value)
