"""What the benchmarks measure, what came of it, and the table in docs/benchmarks.md."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

BEGIN = "<!-- results -->"
END = "<!-- /results -->"
HEAD = (
    "| measure | compares | ratio (spread) | target | verdict | command | date | machine |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Measure:
    """One benchmark: `compares` says what is divided by what; `runs` is how often it is repeated by default."""

    name: str
    compares: str
    target: float
    runs: int
    unit: str = ""
    higher_is_better: bool = False

    def meets(self, ratio: float) -> bool:
        """Tell whether a ratio reaches the target."""
        return ratio >= self.target if self.higher_is_better else ratio <= self.target

    @property
    def goal(self) -> str:
        """The target as the table shows it."""
        return f"{'≥' if self.higher_is_better else '≤'} {self.target:g}{f' {self.unit}' if self.unit else ''}"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("install", "site.yml on a fresh VM / reference_install.sh on another", 1.4, 1),
        Measure("noop", "site.yml again on one VM / 100 satisfied tasks", 1.3, 3),
        Measure("noop_distributed", "site.yml again on five VMs / 100 satisfied tasks on one", 2.5, 3),
        Measure("change", "site.yml with one changed option on five VMs / 100 satisfied tasks on one", 1.6, 3),
        Measure("scale", "slope of site.yml again over the number of hosts", 1.5, 1, unit="s per added host"),
        Measure(
            "throughput", "tasks per second, 200 mapped tasks: ours / Airflow's defaults", 1.5, 3, higher_is_better=True
        ),
        Measure("latency", "seconds per task, chain of 20: ours / Airflow's defaults", 0.6, 3),
        Measure("statsd", "processor seconds per task: its metrics, sent and received / the task", 0.02, 3),
        Measure("memory", "PSS of Airflow at rest: ours / Airflow's defaults", 1.0, 1),
    )
}


@dataclass(frozen=True)
class Result:
    """What came of a measure. Each run has its own `ratio`; that of the measure is their median."""

    name: str
    runs: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each run."""
        return [float(run["ratio"]) for run in self.runs]

    @property
    def ratio(self) -> float:
        """The median of the runs' ratios."""
        return median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the target is reached, and no condition of the measure failed."""
        return MEASURES[self.name].meets(self.ratio) and not self.details.get("problems")

    def as_json(self) -> str:
        """Return the result as one line of JSON."""
        measure = MEASURES[self.name]
        content: dict[str, Any] = {"name": self.name, "ratio": round(self.ratio, 3), "target": measure.target}
        if measure.unit:
            content["unit"] = measure.unit
        content |= {
            "met": self.met,
            "runs": self.runs,
            "spread": [round(min(self.ratios), 3), round(max(self.ratios), 3)],
            "details": self.details,
        }
        return json.dumps(rounded(content))

    def row(self, date: str) -> str:
        """Return the result as a row of the table."""
        measure = MEASURES[self.name]
        spread = f"{self.ratio:.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})"
        verdict = "met" if self.met else "missed"
        cells = [f"`{self.name}`", measure.compares, spread, measure.goal, verdict, f"`bin/bench {self.name}`"]
        return f"| {' | '.join([*cells, date, machine()])} |"


def rounded(value: Any) -> Any:
    """Return a value with all its numbers rounded to what a measurement can tell."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def pairs(ours: Sequence[float], reference: Sequence[float], what: str) -> list[dict[str, float]]:
    """Return one run for each pair: both values, named after `what`, and their ratio."""
    return [{"ratio": mine / other, "ours": mine, what: other} for mine, other in zip(ours, reference, strict=True)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line that fits the points best (least squares)."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` per cent of all (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def machine() -> str:
    """Return the size of this machine."""
    meminfo = Path("/proc/meminfo").read_text(encoding="utf-8")
    kilobytes = int(next(line.split()[1] for line in meminfo.splitlines() if line.startswith("MemTotal:")))
    return f"{os.cpu_count()} cores, {round(kilobytes / 1024 / 1024)} GB"


def name_of(row: str) -> str:
    """Return the measure that a row of the table is about; the empty string for any other line."""
    return row.split("`")[1] if row.startswith("| `") else ""


def empty_row(name: str) -> str:
    """Return the row of a measure that has not been run."""
    measure = MEASURES[name]
    return f"| `{name}` | {measure.compares} | | {measure.goal} | not run | `bin/bench {name}` | | |"


def rewrite(document: str, rows: Mapping[str, str]) -> str:
    """Return a document with these rows, by measure, in its table; the rows of other measures stay."""
    before, begin, rest = document.partition(f"{BEGIN}\n")
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has not the lines {BEGIN} and {END}")
    known = {name_of(line): line for line in between.splitlines() if name_of(line)} | dict(rows)
    table = [*HEAD, *(known.get(name, empty_row(name)) for name in MEASURES)]
    return "".join([before, begin, *(f"{line}\n" for line in table), end, after])
