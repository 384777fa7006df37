"""Which metrics, with which labels, a PromQL expression asks for. Prometheus itself tells whether it is one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<name>[a-zA-Z_:][\w:]*)
    |(?P<number>\d[\w.]*)
    |(?P<match>=~|!~|!=|=)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
# Words that are followed by a list of labels in parentheses.
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "inf", "nan", "atan2", "start", "end"})


@dataclass(frozen=True)
class Selected:
    """A metric that an expression selects, and the labels that its selector names."""

    metric: str
    labels: frozenset[str]


def _tokens(expression: str) -> list[tuple[str, str]]:
    found = ((str(match.lastgroup), match[0]) for match in _TOKEN.finditer(expression))
    return [(kind, text) for kind, text in found if kind != "space"]


def _end(tokens: list[tuple[str, str]], start: int, closing: str) -> int:
    """Return where a bracket that was opened before `start` closes: neither braces nor label lists nest."""
    place = start
    while place < len(tokens) and tokens[place][1] != closing:
        place += 1
    return place


def selected(expression: str) -> Iterator[Selected]:
    """Yield the metrics of an expression, in its order; those that only a `__name__` gives are not seen."""
    tokens = [*_tokens(expression), ("end", ""), ("end", "")]
    place = 0
    while place < len(tokens) - 1:
        kind, text = tokens[place]
        following = tokens[place + 1][1]
        place += 1
        if text == "[":
            # A range, or that of a subquery: durations, no names.
            place = _end(tokens, place, "]")
        elif kind != "name" or (text.lower() in _WORDS):
            continue
        elif text.lower() in _LISTS:
            place = _end(tokens, place, ")") if following == "(" else place
        elif following == "{":
            end = _end(tokens, place, "}")
            inside = tokens[place + 1 : end]
            names = {one[1] for one, after in itertools.pairwise(inside) if after[0] == "match"}
            yield Selected(text, frozenset(names))
            place = end
        # A name before a parenthesis is a function, and an aggregation that is followed by its labels.
        elif following != "(" and following.lower() not in {"by", "without"}:
            yield Selected(text, frozenset())


def grouped(expression: str) -> Iterator[str]:
    """Yield the labels that an expression groups or joins by."""
    tokens = _tokens(expression)
    for place, (kind, text) in enumerate(tokens[:-1]):
        if kind == "name" and text.lower() in _LISTS and tokens[place + 1][1] == "(":
            end = _end(tokens, place + 2, ")")
            yield from (word for sort, word in tokens[place + 2 : end] if sort == "name")
