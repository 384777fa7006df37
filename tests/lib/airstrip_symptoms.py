"""The symptoms of docs/operations.md: what the page tells a reader to type, and what it says will be seen.

Each symptom is a heading of the third level below `## Symptoms`, followed by `<!-- symptom: NAME -->`. In its indented
blocks a line that begins with `$ ` is a command on the controller, one that begins with `worker-1# ` a command on that
host as root, and the lines after it are what is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PROMPT = re.compile(r"^(?:\$|(?P<host>[a-z]+-\d)#) (?P<command>.*)")
# Hosts of the page's examples, as re.escape writes them: in a test, whatever the host is called.
_HOST = re.compile(r"(?:control|worker|data)\\-\d")
# 2026-11-24T03:00:02, with a blank or without seconds; Nov 24 03:00:02 2026.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?|[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d \d{4}")
_SYMPTOM = re.compile(
    r"^### (?P<title>[^\n]+)\n\n<!-- symptom: (?P<name>\S+) -->\n(?P<text>.*?)(?=^### |\Z)", re.M | re.S
)


@dataclass(frozen=True)
class Step:
    """A command, the host of the example on which root types it (empty: the controller), and the lines that are seen.

    What stands below "The way back" mends the fault; what is before it only looks.
    """

    host: str
    command: str
    expected: tuple[str, ...]
    is_way_back: bool = False


@dataclass(frozen=True)
class Symptom:
    """A symptom with its steps in the order of the page, those of the way back included."""

    name: str
    title: str
    steps: tuple[Step, ...]


def symptoms(page: str) -> list[Symptom]:
    """Return the symptoms of the page; raise ValueError for a heading among them without a name."""
    _, _, rest = page.partition("\n## Symptoms\n")
    part = re.split(r"^## ", rest, maxsplit=1, flags=re.M)[0]
    found = [Symptom(match["name"], match["title"], tuple(_steps(match["text"]))) for match in _SYMPTOM.finditer(part)]
    nameless = set(re.findall(r"^### (.+)$", part, re.M)) - {symptom.title for symptom in found}
    if nameless:
        raise ValueError(f"no line <!-- symptom: NAME --> below: {sorted(nameless)}")
    return found


def _steps(text: str) -> Iterator[Step]:
    looks, _, way_back = text.partition("\n**The way back")
    for part in (looks, way_back):
        for block in re.findall(r"(?:^ {4}.*\n)+", part, re.M):
            found: list[tuple[re.Match[str], list[str]]] = []
            for line in block.splitlines():
                if match := _PROMPT.match(line[4:]):
                    found.append((match, []))
                elif found:
                    found[-1][1].append(line[4:])
            for match, expected in found:
                yield Step(match["host"] or "", match["command"], tuple(expected), part is way_back)


def shows(expected: Sequence[str], output: str) -> bool:
    """Whether an output has the expected lines, one after the other and from its beginning to its end.

    A line `...` stands for any lines, and `...` in a line for any text. Blanks count as one each; times, and the names
    of the page's hosts, stand for any.
    """
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "..." else f"{_pattern(line)}\n" for line in expected)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines if line)) is not None


def _pattern(line: str) -> str:
    """Return the regular expression for one line."""
    text = re.escape(_TIME.sub("\0", " ".join(line.split())))
    return _HOST.sub(r"[\\w.-]+", text.replace(r"\.\.\.", ".*")).replace("\0", f"(?:{_TIME.pattern})")
