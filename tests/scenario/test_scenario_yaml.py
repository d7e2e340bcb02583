"""YAML to data: numbers as people write them, and the line of whatever is wrong."""

import pytest

from simulator.errors import ScenarioError
from simulator.scenario.source import MAX_DEPTH, parse_value, parse_yaml, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 10**9), ("1E3", 1000), ("2.5e3", 2500), ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0),
        ("7", 7), ("-7", -7), ("+7", 7), ("010", 10), ("0x10", 16), ("0o10", 8), ("1_000", 1000),
        ("9007199254740993", 2**53 + 1),
        ("yes", True), ("Off", False), ("TRUE", True), ("~", None), ("", None), ("null", None), (".inf", float("inf")),
        ("'1e9'", "1e9"), ('"yes"', "yes"), ("2024-01-01", "2024-01-01"), ("1:30", "1:30"), ("e5", "e5"), (".", "."),
        ("1.2.3", "1.2.3"), ("[1, 1e2]", [1, 100]), ("{a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_plain_words_are_what_people_mean(text, value):
    found = parse_value(text, "f")
    assert found == value and type(found) is type(value)


def test_a_key_knows_its_line_and_a_list_item_its_own():
    source = parse_yaml("a: 1\nb:\n  c: 2\n  d:\n  - e: 3\n  - e: 4\n", "f")
    assert source.place(("b", "c")) == ("f", 3)
    assert source.place(("b", "d", 1, "e")) == ("f", 6)
    assert source.place(("b", "missing")) == ("f", 2), "what is not there stands where its parent stands"


def test_anchors_and_merge_keys_write_a_value_once():
    source = parse_yaml("x: &t {rows: 5, dim: 2}\ny:\n  <<: *t\n  dim: 3\nz: [*t]\n", "f")
    assert source.data == {"x": {"rows": 5, "dim": 2}, "y": {"rows": 5, "dim": 3}, "z": [{"rows": 5, "dim": 2}]}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "written twice, first on line 1; keep one"),
        ("a:\n\tb: 1\n", 2, "a tab indents this line"),
        ("a: 1\n b: 2\n", 2, "not valid YAML here"),
        ("a: [1,\n2\n", 3, "check indentation, colons, quotes and brackets"),
        ("a: 'x\n", 2, "not valid YAML here"),
        ("a: 1\n---\nb: 2\n", 2, "keep one scenario in a file"),
        ("a: \x00\n", 1, "a character that YAML does not allow"),
        ("a: *nowhere\n", 1, "not valid YAML here"),
        ("a: &x {b: *x}\n", 1, "aliases (*name) make this file endless"),
        ("a: !!python/object:os.system x\n", 1, "has no meaning in a scenario; write the plain value"),
        ("a: " + "9" * 5000, 1, "is too large a number"),
        ("? [1, 2]\n: 3\n", 1, "a key must be a plain word"),
        ("<<: 3\n", 1, "`<<` merges mappings only"),
    ],
)
def test_bad_syntax_is_one_sentence_with_its_line(text, line, words):
    with pytest.raises(ScenarioError) as caught:
        parse_yaml(text, "f.yaml")
    assert caught.value.line == line and caught.value.file == "f.yaml"
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: {}", "? {}\n: a", "a: [1, {}]", 'a: "{}"'])
def test_a_word_of_ten_million_letters_is_not_repeated(text):
    with pytest.raises(ScenarioError, match="shorten it") as caught:
        parse_yaml(text.format("x" * 10_000_000), "f")
    assert len(str(caught.value)) < 300


def test_endless_nesting_and_endless_aliases_end():
    with pytest.raises(ScenarioError, match=f"more than {MAX_DEPTH} levels"):
        parse_yaml("[" * 100_000, "f")
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    with pytest.raises(ScenarioError, match="endless"):
        parse_yaml(bomb, "f")


def test_files_that_are_none(tmp_path):
    with pytest.raises(ScenarioError, match="there is no such file; check the path"):
        read_text(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ScenarioError, match="this is a folder"):
        read_text(str(tmp_path))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x80\x81\xff")
    with pytest.raises(ScenarioError, match="not a text file in UTF-8"):
        read_text(str(binary))
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_text("a\0b")


def test_a_byte_order_mark_and_windows_line_ends_are_nothing(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: text\r\n")
    assert parse_yaml(*read_text(str(path))).data == {"a": 1, "b": "text"}
