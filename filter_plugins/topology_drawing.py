"""
Filters: the topology of a site as a text and as a drawing, both from what the action site_model has worked out.

Hosts that run the same components are one group, so a site of forty workers is as readable as one of two. The columns
follow the way of a task: workers, what controls them, what stores the data.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from ansible.errors import AnsibleFilterError

_NAMES = {
    "postgresql": "PostgreSQL",
    "redis": "broker",
    "load_balancer": "load balancer",
    "api_server": "API server",
    "dag_processor": "DAG processor",
    "keepalived": "virtual address",
    "api": "API",
    "execution_api": "Execution API",
    "http": "HTTP",
    "https": "HTTPS",
    "vrrp": "VRRP",
    "worker_logs": "worker logs",
    "triggerer_logs": "triggerer logs",
}
# By tier, and of Airflow's by component.
_STORES = {"database", "broker"}
_WORKERS = {"worker"}
_SHOWN_HOSTS = 3

# All lengths are in pixels of the drawing.
_LINE = 20
_PADDING = 14
_WIDTH = 250
# So many letters fit into a box.
_CHARACTERS = 32
_COLUMN = 500
_GAP = 40
_STYLE = (
    "text { font: 14px system-ui, sans-serif; fill: #1f2933 } "
    ".name { font-weight: 600 } "
    ".label { font-size: 12px; text-anchor: middle; paint-order: stroke; stroke: #ffffff; stroke-width: 6px } "
    ".group { fill: #f0f4f8; stroke: #627d98 } "
    ".way { fill: none; stroke: #486581 }"
)

# A service with its port.
Use = tuple[str, int]


@dataclass
class _Group:
    """Hosts with the same components, what everybody may use of them, and what they use of which group, by number."""

    components: list[str]
    tiers: set[str]
    hosts: list[str] = field(default_factory=list)
    public: set[Use] = field(default_factory=set)
    uses: dict[int, set[Use]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        if len(self.hosts) <= _SHOWN_HOSTS:
            return ", ".join(self.hosts)
        return f"{self.hosts[0]} to {self.hosts[-1]} ({len(self.hosts)} hosts)"

    @property
    def column(self) -> int:
        if self.tiers & _STORES:
            return 2
        return 0 if set(self.components) <= _WORKERS else 1


@dataclass
class _Box:
    """Where a group stands in the drawing, and how many ways start or end at each side: -1 left, 0 below, 1 right."""

    x: int
    y: int
    height: int
    taken: dict[int, int] = field(default_factory=dict)

    def anchor(self, side: int) -> tuple[int, int]:
        """Return the next free point of a side."""
        self.taken[side] = self.taken.get(side, 0) + 1
        if side == 0:
            return self.x + self.taken[side] * _LINE, self.y + self.height
        return self.x + (_WIDTH if side > 0 else 0), self.y + self.taken[side] * _LINE


def _title(name: str) -> str:
    return _NAMES.get(name, name)


def _uses(uses: set[Use]) -> str:
    """Name services and their ports; an IP protocol of its own (VRRP) has none."""
    return ", ".join(f"{_title(service)} {port or ''}".rstrip() for service, port in sorted(uses))


def _groups(topology: object, name: str) -> list[_Group]:
    if not isinstance(topology, Mapping) or not {"hosts", "components", "connections", "public"} <= set(topology):
        raise AnsibleFilterError(f"{name}: give the result of site_model")
    groups: dict[tuple[str, ...], _Group] = {}
    for host, known in topology["hosts"].items():
        components = [str(component) for component in known["components"]]
        tiers = {str(topology["components"][component]["tier"]) for component in components}
        if components:
            groups.setdefault(tuple(components), _Group(components, tiers)).hosts.append(str(host))
    for server, components in _outside(topology).items():
        tiers = {str(topology["components"][component]["tier"]) for component in components}
        groups[server,] = _Group([*components, "outside of the inventory"], tiers, [server])
    ordered = sorted(groups.values(), key=lambda group: (group.column, group.name))
    number = {host: index for index, group in enumerate(ordered) for host in group.hosts}
    for row in topology["connections"]:
        if row["source"] != row["destination"]:
            uses = ordered[number[row["source"]]].uses.setdefault(number[row["destination"]], set())
            uses.add((str(row["service"]), int(row["port"])))
    for host, known in topology["hosts"].items():
        for row in known["outside"]:
            uses = ordered[number[host]].uses.setdefault(number[row["host"]], set())
            uses.add((str(row["service"]), int(row["port"])))
    for row in topology["public"]:
        ordered[number[row["destination"]]].public.add((str(row["service"]), int(row["port"])))
    return ordered


def _outside(topology: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the components of each external server that a host needs."""
    found: dict[str, set[str]] = {}
    for row in (row for host in topology["hosts"].values() for row in host["outside"]):
        found.setdefault(str(row["host"]), set()).add(str(row["component"]))
    return {server: sorted(found[server]) for server in sorted(found)}


def airflow_topology_text(topology: object) -> str:
    """
    Return the topology as lines of text: each group of hosts with its components, and what it reaches at which port.

    Example: `site | airflow_topology_text`. Connections within a host are left out. Raises
    AnsibleFilterError unless it is given the result of site_model.
    """
    lines = []
    groups = _groups(topology, "airflow_topology_text")
    for group in groups:
        lines.append(f"{group.name}: {', '.join(map(_title, group.components))}")
        lines += [f"    {_everybody(group)}"] if group.public else []
        lines += [f"    to {groups[other].name}: {_uses(uses)}" for other, uses in sorted(group.uses.items())]
    return "".join(f"{line}\n" for line in lines)


def _everybody(group: _Group) -> str:
    return f"open to everybody: {_uses(group.public)}"


def _lines(group: _Group, number: int) -> list[str]:
    """Return what stands in the box of a group, under its name."""
    among = [f"among them: {_uses(uses)}" for other, uses in group.uses.items() if other == number]
    notes = [*([_everybody(group)] if group.public else []), *among]
    return [*map(_title, group.components), *(line for note in notes for line in textwrap.wrap(note, _CHARACTERS))]


def _sides(source: int, destination: int) -> tuple[int, int]:
    """Return the sides at which a way between two columns starts and ends; it goes below a column between them."""
    if source == destination:
        return 1, 1
    if abs(source - destination) > 1:
        return 0, 0
    return (1, -1) if source < destination else (-1, 1)


def _ways(groups: Sequence[_Group]) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Yield what is drawn between groups: both their numbers, the sides at which the way ends, and its label."""
    for number, group in enumerate(groups):
        for other, uses in sorted(group.uses.items()):
            if other != number:
                yield (number, other), _sides(group.column, groups[other].column), _uses(uses)


def _boxes(groups: Sequence[_Group]) -> list[_Box]:
    ends: dict[tuple[int, int], int] = {}
    for numbers, sides, _ in _ways(groups):
        for end in zip(numbers, sides, strict=True):
            ends[end] = ends.get(end, 0) + 1
    columns = sorted({group.column for group in groups})
    below = dict.fromkeys(columns, _GAP)
    boxes = []
    for number, group in enumerate(groups):
        most = max(1 + len(_lines(group, number)), *(1 + ends.get((number, side), 0) for side in (-1, 1)))
        height = most * _LINE + _PADDING
        boxes.append(_Box(_GAP + columns.index(group.column) * _COLUMN, below[group.column], height))
        below[group.column] += height + _GAP
    return boxes


def _text(parent: ET.Element, place: tuple[int, int], text: str, style: str = "") -> None:
    attributes = {"x": str(place[0]), "y": str(place[1])} | ({"class": style} if style else {})
    ET.SubElement(parent, "text", attributes).text = text


def _curve(start: tuple[int, int], end: tuple[int, int], sides: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """Return a curve from side to side, and a place for its label: near the start if others end at the same side."""
    bend = (_COLUMN - _WIDTH) // 2
    xs = (start[0], start[0] + sides[0] * bend, end[0] + sides[1] * bend, end[0])
    ys = (start[1], start[1], end[1], end[1])
    share = 0.5 if sides[0] != sides[1] else 0.25
    weights = ((1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3)
    x, y = (round(sum(w * value for w, value in zip(weights, values, strict=True))) for values in (xs, ys))
    return f"M {xs[0]} {ys[0]} C {xs[1]} {ys[1]}, {xs[2]} {ys[2]}, {xs[3]} {ys[3]}", (x, y - 5)


def _way_below(start: tuple[int, int], end: tuple[int, int], depth: int) -> tuple[str, tuple[int, int]]:
    """Return a line that goes down to a depth, along, and up again, and a place for its label."""
    path = f"M {start[0]} {start[1]} V {depth} H {end[0]} V {end[1]}"
    return path, ((start[0] + end[0]) // 2, depth - 5)


def _draw_ways(root: ET.Element, groups: Sequence[_Group], boxes: Sequence[_Box]) -> int:
    """Draw an arrow for each way; return how deep the lowest one is."""
    depth = max((box.y + box.height for box in boxes), default=0)
    for numbers, sides, label in _ways(groups):
        start, end = (boxes[number].anchor(side) for number, side in zip(numbers, sides, strict=True))
        if sides == (0, 0):
            depth += _LINE + _PADDING
            path, place = _way_below(start, end, depth)
        else:
            path, place = _curve(start, end, sides)
        ET.SubElement(root, "path", {"class": "way", "d": path, "marker-end": "url(#end)"})
        _text(root, place, label, "label")
    return depth


def airflow_topology_svg(topology: object) -> str:
    """
    Return the topology as an SVG document: a box for each group of hosts, an arrow to each group that it connects to.

    Example: `site | airflow_topology_svg`. Connections within a host are left out. Raises
    AnsibleFilterError unless it is given the result of site_model.
    """
    groups = _groups(topology, "airflow_topology_svg")
    boxes = _boxes(groups)
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    ET.SubElement(root, "title").text = "Who talks to whom in this site"
    ET.SubElement(root, "style").text = _STYLE
    marker = {"id": "end", "viewBox": "0 0 8 8", "refX": "8", "refY": "4", "markerWidth": "8", "markerHeight": "8"}
    head = ET.SubElement(ET.SubElement(root, "defs"), "marker", marker | {"orient": "auto"})
    ET.SubElement(head, "path", {"d": "M 0 0 L 8 4 L 0 8 z", "fill": "#486581"})
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    for number, (group, box) in enumerate(zip(groups, boxes, strict=True)):
        place = {"x": box.x, "y": box.y, "width": _WIDTH, "height": box.height, "rx": 6}
        ET.SubElement(root, "rect", {"class": "group"} | {name: str(value) for name, value in place.items()})
        _text(root, (box.x + _PADDING, box.y + _LINE), group.name, "name")
        for row, line in enumerate(_lines(group, number), start=2):
            _text(root, (box.x + _PADDING, box.y + row * _LINE), line)
    height = _draw_ways(root, groups, boxes) + _GAP
    width = max((box.x + _WIDTH for box in boxes), default=0) + _GAP
    root.set("viewBox", f"0 0 {width} {height}")
    ET.indent(root)
    return f"{ET.tostring(root, encoding='unicode')}\n"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_topology_text": airflow_topology_text, "airflow_topology_svg": airflow_topology_svg}
