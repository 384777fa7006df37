"""Measures what the project costs and gains, as ratios within one run. Usage: bin/bench --help."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import bench_lab
import bench_site
import measure_install
import measure_load
import measure_noop
import measure_scale
import measure_statsd
from bench_play import PROJECT, BenchError, say
from bench_result import MEASURES, Result, machine, rewrite
from bench_site import Site

DOCUMENT = PROJECT / "docs" / "benchmarks.md"
# Those in one group share hosts when they are named together; a group runs in this order.
SINGLE_NODE = ("noop", *measure_load.NAMES)
DISTRIBUTED = ("noop_distributed", "change")


@dataclass(frozen=True)
class Options:
    """What was asked for: the measures with their numbers of runs, and the numbers of hosts of `scale`."""

    runs: Mapping[str, int]
    hosts: Sequence[int]
    keep: bool

    def of(self, group: Sequence[str]) -> list[str]:
        """Return the measures of a group that were asked for."""
        return [name for name in group if name in self.runs]


@contextmanager
def installed(example: str, first: str, keep: bool, *groups: str) -> Iterator[Site]:
    """Install the site of an example, all hosts in further groups, in a lab with the name of the first measure."""
    with bench_lab.lab(first, keep) as lab:
        site = bench_site.provide(lab, example, *groups)
        site.converge()
        yield site


def results(options: Options) -> Iterator[Result]:
    """Carry out the measures, group by group; yield each result as soon as it is there."""
    runs = options.runs
    if "install" in runs:
        yield from measure_install.measure(runs["install"])
    if names := options.of(SINGLE_NODE):
        with installed("single_node", names[0], options.keep) as site:
            if "noop" in names:
                yield measure_noop.measure("noop", site, runs["noop"])
            if load := options.of(measure_load.NAMES):
                yield from measure_load.measure(load, site, runs)
    if names := options.of(DISTRIBUTED):
        with installed("distributed", names[0], options.keep) as site:
            if "noop_distributed" in names:
                yield measure_noop.measure("noop_distributed", site, runs["noop_distributed"])
            if "change" in names:
                yield measure_noop.change(site, runs["change"])
    if "statsd" in runs:
        with installed("single_node", "statsd", options.keep, "monitoring") as site:
            yield measure_statsd.measure(site, runs["statsd"])
    if "scale" in runs:
        with bench_lab.lab("scale", options.keep) as lab:
            yield measure_scale.measure(lab, runs["scale"], options.hosts)


def show(result: Result, as_json: bool) -> None:
    """Print a result: as JSON, or as a line of a table."""
    if as_json:
        line = result.as_json()
    else:
        measure = MEASURES[result.name]
        spread = f"{min(result.ratios):.2f} to {max(result.ratios):.2f}"
        verdict = "met" if result.met else "missed"
        line = f"{result.name:18} {result.ratio:8.2f}  {spread:14} {measure.goal:24} {verdict:7} {measure.compares}"
        for problem in result.details.get("problems", []):
            line += f"\n{'':18} {problem}"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(path: Path, result: Result) -> None:
    """Write a result into the table of a document."""
    rows = {result.name: result.row(datetime.datetime.now(tz=datetime.UTC).date().isoformat())}
    path.write_text(rewrite(path.read_text(encoding="utf-8"), rows), encoding="utf-8")


def counts(text: str) -> list[int]:
    """Return the numbers in a list with commas."""
    return [int(part) for part in text.split(",")]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="bin/bench", description="Measures the project, as ratios within one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASURES)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each measure, one in a line")
    parser.add_argument("--list", action="store_true", help="print the measures, and run none")
    parser.add_argument("--write", action="store_true", help=f"put the results into {DOCUMENT.relative_to(PROJECT)}")
    parser.add_argument("--runs", type=int, metavar="N", help="repetitions of each measure (default: its own)")
    parser.add_argument("--hosts", type=counts, metavar="N,N", help="numbers of hosts of scale (default: 10,30,100)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts, and take up those that were left")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in MEASURES]:
        parser.error(f"no measure {unknown[0]}; there are {', '.join(MEASURES)}")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be 1 or more")
    return options


def end(*_: object) -> NoReturn:
    """End in the way that still cleans up."""
    raise SystemExit(143)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for."""
    given = parse(arguments)
    if given.list:
        for measure in MEASURES.values():
            line = {"name": measure.name, "compares": measure.compares, "target": measure.goal}
            text = json.dumps(line) if given.json else f"{measure.name:18} {measure.goal:24} {measure.compares}"
            sys.stdout.write(f"{text}\n")
        return 0
    signal.signal(signal.SIGTERM, end)
    names = given.names or list(MEASURES)
    runs = {name: given.runs or MEASURES[name].runs for name in MEASURES if name in names}
    say(f"{', '.join(runs)} on {machine()}")
    try:
        for result in results(Options(runs, given.hosts or measure_scale.COUNTS, given.keep)):
            show(result, given.json)
            if given.write:
                note(DOCUMENT, result)
    except BenchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
