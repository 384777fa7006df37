"""Charts of what Prometheus has of a time, as SVG that stands in a page: no scripts, colours by the page's style."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

# Size of the drawing in its own units, and what stands around it: numbers at the left, times below.
_WIDTH, _HEIGHT = 460, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 8, 24
# Lines of a chart at most: those with the highest peaks.
LINES = 6
# Lines of the grid at most, above that of 0.
_GRID = 4
_HOUR = 3600
# What people count seconds in, up to days.
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """What one series had: its name, and its values by time, without those that are no numbers."""

    name: str
    points: tuple[Point, ...]

    @property
    def peak(self) -> float:
        """The highest value."""
        return max(value for _, value in self.points)


@dataclass(frozen=True)
class Span:
    """The time that a chart shows, in seconds since the epoch, and between two samples."""

    start: float
    end: float
    step: float


def _scaled(value: float, units: Sequence[str], base: float) -> str:
    """Return a number with the unit in which it has no more than three digits before the point."""
    number, place = value, 0
    while abs(number) >= base and place < len(units) - 1:
        number, place = number / base, place + 1
    digits = 0 if number == round(number) or abs(number) >= 100 else 1 if abs(number) >= 10 else 2
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text}{units[place]}"


def _count(value: float) -> str:
    return _scaled(value, ("", " k", " M", " G"), 1000)


def _bytes(value: float) -> str:
    return _scaled(value, (" B", " kB", " MB", " GB", " TB"), 1000)


def _share(value: float) -> str:
    return f"{value * 100:.0f} %"


def _seconds(value: float) -> str:
    """Return a length of time by its largest unit."""
    if value and value < 1:
        return _scaled(value * 1000, (" ms",), 1000)
    for size, unit in ((86400, "d"), (_HOUR, "h"), (60, "min")):
        if value >= size:
            return _scaled(value / size, (f" {unit}",), math.inf)
    return _scaled(value, (" s",), math.inf)


UNITS: dict[str, Callable[[float], str]] = {"count": _count, "bytes": _bytes, "share": _share, "seconds": _seconds}


def _decimal_step(highest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which a few reach a number."""
    size = 10.0 ** math.floor(math.log10(highest / _GRID))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor * _GRID >= highest)


def ticks(highest: float, unit: str) -> list[float]:
    """Return where lines of the grid are, from 0 to at least the highest value."""
    if unit == "share":
        # A share is one of all: a chart of idle hosts looks idle.
        step = 0.25 if highest <= 1 else _decimal_step(highest)
        highest = max(highest, 1)
    elif highest <= 0:
        return [0.0, 1.0]
    elif unit == "seconds" and 1 <= highest <= _SECONDS[-1] * _GRID:
        step = float(next(size for size in _SECONDS if size * _GRID >= highest))
    elif unit == "count":
        # Half a task is none.
        step = max(_decimal_step(highest), 1.0) if highest >= 1 else _decimal_step(highest)
    else:
        step = _decimal_step(highest)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


def lines(answer: Mapping[str, Any], label: str) -> list[Line]:
    """
    Return the lines of an answer of /api/v1/query_range, by name.

    Raises ValueError, with what people can read, on an answer that is none.
    """
    if answer.get("status") != "success":
        raise ValueError(
            f"Prometheus refused: {answer['error']}" if "error" in answer else "Prometheus did not answer."
        )
    found = []
    for series in answer["data"]["result"]:
        values = ((float(moment), float(value)) for moment, value in series["values"])
        points = tuple((moment, value) for moment, value in values if math.isfinite(value))
        if points:
            found.append(Line(str(series["metric"].get(label) or "all"), points))
    if not found:
        raise ValueError("Prometheus has no data of this yet.")
    return sorted(found, key=lambda line: line.name)


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M")


def _pieces(line: Line, step: float) -> Iterator[list[Point]]:
    """Yield the parts of a line between gaps: where a sample is missing, there is no line."""
    piece = [line.points[0]]
    for before, point in itertools.pairwise(line.points):
        if point[0] - before[0] > 1.5 * step:
            yield piece
            piece = []
        piece.append(point)
    yield piece


class _Drawing:
    """A drawing with its scales."""

    def __init__(self, span: Span, scale: Sequence[float]) -> None:
        self.span = span
        self._highest = scale[-1]

    def x(self, moment: float) -> float:
        share = (moment - self.span.start) / (self.span.end - self.span.start)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(_HEIGHT - _BOTTOM - max(value, 0) / self._highest * (_HEIGHT - _TOP - _BOTTOM), 1)


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    """Add an element. A trailing _ of an attribute's name is dropped, another one is a hyphen."""
    given = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, given)
    element.text = text or None
    return element


def _grid(svg: ET.Element, drawing: _Drawing, scale: Sequence[float], unit: str) -> None:
    """Add what values and times are: numbers with their unit, and hours of UTC."""
    grid = _add(svg, "g", class_="grid", aria_hidden="true")
    for value in scale:
        y = drawing.y(value)
        _add(grid, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y)
        _add(grid, "text", UNITS[unit](value), x=_LEFT - 6, y=y + 4, text_anchor="end")
    every = _hours(drawing.span)
    moment = math.ceil(drawing.span.start / every) * every
    while moment <= drawing.span.end:
        x = drawing.x(moment)
        _add(grid, "line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM)
        anchor = "end" if x > _WIDTH - _RIGHT - 18 else "middle"
        _add(grid, "text", _moment(moment), x=x, y=_HEIGHT - 8, text_anchor=anchor)
        moment += every


def _hours(span: Span) -> int:
    """Return the seconds between two times of the axis: there are eight of them at most."""
    sizes = (600, 1800, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 24 * _HOUR)
    return next((size for size in sizes if (span.end - span.start) / size <= 8), 7 * 24 * _HOUR)


def _curve(svg: ET.Element, drawing: _Drawing, line: Line, number: int) -> None:
    """Add a line: broken where samples are missing, and a dot where one stands alone."""
    for piece in _pieces(line, drawing.span.step):
        places = [(drawing.x(moment), drawing.y(value)) for moment, value in piece]
        if len(places) == 1:
            _add(svg, "circle", class_=f"dot line-{number}", cx=places[0][0], cy=places[0][1], r=2)
        else:
            text = " ".join(f"{x:g},{y:g}" for x, y in places)
            _add(svg, "polyline", class_=f"line line-{number}", points=text)


def _summary(shown: Sequence[Line], left_out: int, unit: str) -> str:
    """Return in words what a chart shows, for those who do not see it."""
    said = []
    for line in shown:
        moment = next(moment for moment, value in line.points if value == line.peak)
        last = UNITS[unit](line.points[-1][1])
        said.append(f"{line.name}: {last} at the end, {UNITS[unit](line.peak)} at most, at {_moment(moment)} UTC.")
    if left_out:
        said.append(f"{left_out} more with lower peaks are not shown.")
    return " ".join(said)


def _key(figure: ET.Element, shown: Sequence[Line], left_out: int, unit: str) -> None:
    """Add which line is which, with its last value and its peak."""
    key = _add(figure, "ul", class_="key")
    for number, line in enumerate(shown):
        entry = _add(key, "li")
        sample = _add(entry, "svg", class_="sample", viewBox="0 0 22 8", aria_hidden="true")
        _add(sample, "polyline", class_=f"line line-{number}", points="1,4 21,4")
        _add(entry, "span", line.name)
        _add(entry, "small", f"{UNITS[unit](line.points[-1][1])}, peak {UNITS[unit](line.peak)}")
    if left_out:
        _add(_add(key, "li"), "small", f"and {left_out} more with lower peaks")


def chart(definition: Mapping[str, Any], answer: Mapping[str, Any], span: Span) -> ET.Element:
    """
    Return a chart as a figure of HTML: an SVG with its title, axes and a description, and a key of its lines.

    `definition` has name, title, unit and label; `answer` is that of /api/v1/query_range, or an empty mapping where
    there was none. Without data, the figure says why. Raises KeyError or TypeError on anything else.
    """
    title, unit = str(definition["title"]), str(definition["unit"])
    figure = ET.Element("figure", {"class": "chart"})
    _add(figure, "figcaption", title)
    try:
        found = lines(answer, str(definition["label"]))
    except ValueError as error:
        _add(figure, "p", str(error), class_="empty")
        return figure
    highest = sorted(found, key=lambda line: -line.peak)[:LINES]
    shown = [line for line in found if line in highest]
    scale = ticks(max(line.peak for line in shown), unit)
    names = [f"chart-{definition['name']}-{part}" for part in ("title", "desc")]
    svg = _add(figure, "svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_labelledby=" ".join(names))
    _add(svg, "title", title, id=names[0])
    _add(svg, "desc", _summary(shown, len(found) - len(shown), unit), id=names[1])
    drawing = _Drawing(span, scale)
    _grid(svg, drawing, scale, unit)
    for number, line in enumerate(shown):
        _curve(svg, drawing, line, number)
    _key(figure, shown, len(found) - len(shown), unit)
    return figure
