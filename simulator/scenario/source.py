"""YAML text to plain data, with the line of every key: the first thing a scenario goes through.

YAML's core schema, with three differences that spare users a puzzle: `1e9` is a number (PyYAML wants `1.0e+9`) and a
whole one where it is whole, a date is text, and a key written twice is an error.
"""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, ClassVar

import yaml

from simulator.errors import ScenarioError

Path = tuple[str | int, ...]
"""Where a value is: ("plan", "tensor") or ("model", "tables", 0, "rows")."""

MAX_FILE_BYTES = 16 * 2**20
MAX_DEPTH = 100
"""Brackets within brackets; the C loader overflows its stack far above."""

MAX_TEXT = 8192
"""Letters of one key or value: twice the longest path of Linux."""

MAX_SHOWN = 200
"""Letters of a user's own text that a message repeats."""

MAX_NODES = 100_000
"""Values in one file, aliases counted as often as they are used: a guard, far above any scenario."""

STDIN = "standard input"


@dataclass
class Source:
    """Plain data and where each key of it was written.

    places: (file or `--set` text, line or None) by path; a path without an entry stands where its parent stands.
    """

    label: str
    data: Any
    places: dict[Path, tuple[str, int | None]] = field(default_factory=dict)

    def place(self, path: Path) -> tuple[str, int | None]:
        """Where the value at `path`, or the nearest value that holds it, was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.label, None

    def error(self, path: Path, message: str, kind: type[ScenarioError] = ScenarioError) -> ScenarioError:
        """An error about the value at `path`, with its file, line and key."""
        file, line = self.place(path)
        return kind(message, key=dotted(path) or None, file=file, line=line)

    def located(self, error: ScenarioError) -> ScenarioError:
        """The error with its file and line, found by its key, where whoever raised it knew only that."""
        if error.file is not None:
            return error
        if error.key is None:
            return error.located(self.label, None)
        parts = [part for part in error.key.split(".") if part]
        return error.located(*self.place(tuple(int(part) if part.isdecimal() else part for part in parts)))


def dotted(path: Path) -> str:
    """The text form of a path: model.tables.0.rows. A key that holds line ends or worse is shown quoted."""
    return ".".join(printable(str(part)) for part in path)


def printable(text: str) -> str:
    """The text where it can stand in a sentence, else quoted and escaped; cut where it is long."""
    text = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
    return text if text.isprintable() else repr(text)


def read_text(path: str) -> tuple[str, str]:
    """(text, label) of a file, or of standard input where the path is "-". Raises ScenarioError where it has none."""
    label = STDIN if path == "-" else printable(path)
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            if stat.S_ISDIR(FilePath(path).stat().st_mode):
                raise ScenarioError("this is a folder; name the scenario file in it", file=label)
            with open(path, "rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError(
            "there is no such file; check the path, or write one with `rehearse init gpt3_175b --out FILE`", file=label
        ) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ScenarioError(
            f"the file cannot be read ({reason}); check the path and its permissions", file=label
        ) from None
    if len(raw) > MAX_FILE_BYTES:
        raise ScenarioError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB; a scenario is a page", file=label)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ScenarioError("this is not a text file in UTF-8; a scenario is YAML text", file=label) from None
    return text, label


def parse_yaml(text: str, label: str) -> Source:
    """The data of a YAML text and the line of every key in it. Raises ScenarioError with the line of the fault."""
    node = _compose(text, label)
    source = Source(label, None)
    if node is not None:
        source.data = _Builder(source).build(node, (), ())
    return source


def parse_value(text: str, label: str) -> Any:
    """One value in YAML, as after the `=` of `--set`."""
    return parse_yaml(text, label).data


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """PyYAML's loader, used for its nodes only; how plain words become values is written below."""

    yaml_implicit_resolvers: ClassVar[dict[str, list]] = {}


_WORDS = {"null": None, "Null": None, "NULL": None, "~": None, "": None}
_WORDS |= {word: value for value, base in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
           for text in base for word in (text, text.capitalize(), text.upper())}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*$")
_BASED = re.compile(r"0x[0-9a-fA-F]+$|0o[0-7]+$")
_REAL = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)$")


def _plain(word: str) -> Any:
    """The value of an unquoted word."""
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.match(word):
        return int(word.replace("_", ""))
    if _BASED.match(word):
        return int(word, 0)
    if _REAL.match(word):
        number = float(word.replace("_", ""))
        whole_by_power = "e" in word.lower() and number.is_integer() and abs(number) < 2**63
        return int(number) if whole_by_power else number
    if special := _SPECIAL.match(word):
        return float(special[1] + special[2])
    return word


def _compose(text: str, label: str) -> yaml.Node | None:
    try:
        _check_depth(text, label)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise ScenarioError(_syntax(error, text, line), file=label, line=line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        raise ScenarioError("there is a character that YAML does not allow; remove it", file=label, line=line) from None
    except (yaml.YAMLError, RecursionError):
        raise ScenarioError("this is not YAML; a scenario is `key: value` lines", file=label) from None


def _check_depth(text: str, label: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            raise ScenarioError(f"more than {MAX_DEPTH} levels of nesting begin here; a scenario has six",
                                file=label, line=line)  # fmt: skip


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int | None) -> str:
    lines = text.splitlines()
    written = lines[line - 1] if line and line <= len(lines) else ""
    problem = (error.problem or error.context or "bad syntax").strip()
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        return "a tab indents this line, and YAML allows only spaces; replace the tab by spaces"
    if "expected a single document" in f"{error.context} {problem}" or "document" in problem:
        return "a second YAML document begins here; keep one scenario in a file"
    around = f"around {written.strip()[:60]!r}" if written.strip() else "in the lines above"
    return f"not valid YAML here ({problem}); check indentation, colons, quotes and brackets {around}"


class _Builder:
    """Nodes to data; keeps the line of each key in `source.places` and the number of values built."""

    def __init__(self, source: Source):
        self.source, self.count = source, 0

    def build(self, node: yaml.Node, path: Path, parents: tuple[int, ...]) -> Any:
        """The data of a node at `path`; `parents`: ids of the nodes above, to find an alias of itself."""
        self.count += 1
        line = node.start_mark.line + 1
        if self.count > MAX_NODES or id(node) in parents:
            raise ScenarioError("aliases (*name) make this file endless; write the values out",
                                file=self.source.label, line=line)  # fmt: skip
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in ("str", "seq", "map"):
            raise ScenarioError(f"the tag {node.tag!r} has no meaning in a scenario; write the plain value",
                                key=dotted(path) or None, file=self.source.label, line=line)  # fmt: skip
        self.source.places.setdefault(path, (self.source.label, line))
        if isinstance(node, yaml.ScalarNode):
            self._check_length(node, path, line)
            return self._scalar(node, path, line)
        parents = (*parents, id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), parents) for index, item in enumerate(node.value)]
        return self._mapping(node, path, parents)

    def _check_length(self, node: yaml.ScalarNode, path: Path, line: int) -> None:
        if len(node.value) > MAX_TEXT:
            raise ScenarioError(f"{printable(node.value[:20])}... is {len(node.value):,} letters long, and no key or "
                                f"value of a scenario needs more than {MAX_TEXT:,}; shorten it",
                                key=dotted(path) or None, file=self.source.label, line=line)  # fmt: skip

    def _scalar(self, node: yaml.ScalarNode, path: Path, line: int) -> Any:
        if node.style:  # quoted, or a block of text
            return node.value
        try:
            return _plain(node.value)
        except (ValueError, OverflowError):
            raise ScenarioError(f"{node.value[:40]!r} is too large a number",
                                key=dotted(path), file=self.source.label, line=line) from None  # fmt: skip

    def _mapping(self, node: yaml.MappingNode, path: Path, parents: tuple[int, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ScenarioError("a key must be a plain word", key=dotted(path) or None,
                                    file=self.source.label, line=line)  # fmt: skip
            self._check_length(key_node, path, line)
            key = key_node.value
            if key == "<<" and not key_node.style:
                for part in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    built = self.build(part, path, parents)
                    if not isinstance(built, dict):
                        raise ScenarioError("`<<` merges mappings only", file=self.source.label, line=line)
                    merged = {**built, **merged}
                continue
            if key in data:
                first = self.source.places[(*path, key)][1]
                raise ScenarioError(f"the key is written twice, first on line {first}; keep one",
                                    key=dotted((*path, key)), file=self.source.label, line=line)  # fmt: skip
            self.source.places[(*path, key)] = (self.source.label, line)
            data[key] = self.build(value_node, (*path, key), parents)
        return {**merged, **data}
