#!/usr/bin/env python3
"""
Import all DAG files of directories as a DAG processor does. The last line of its output says what came of it, as JSON.

Run by the Python of a release of Airflow: on a host by the role airflow_dags, in a sandbox, and by bin/check-dags.
Each file has a process of its own, so that none hides or breaks another. Given are the directory of a new version, and
that of the present one, if there is one. The answer has

  dags      of both: by id, `file`, `tasks` (ids, sorted), and `hash`, of the DAG as Airflow stores it
  changes   lines for people: what the new version adds, removes and changes
  problems  why it should not take the present one's place: what cannot be imported though the present version has no
            error in that file, and what its requirements.txt wants and the release does not have
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from operator import itemgetter
from pathlib import Path
from typing import Any

import airflow.sdk  # noqa: F401 what every DAG file imports, once for all of them
from airflow.configuration import conf
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.file import list_py_file_paths
from packaging.requirements import InvalidRequirement, Requirement

try:
    from airflow.dag_processing.dagbag import BundleDagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import BundleDagBag
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

Found = dict[str, Any]


def serialized(dags: Any, name: str) -> Found:
    """Return DAGs and errors of a file, whose DAGs are to be stored as a DAG processor stores them."""
    found: Found = {"dags": {}, "errors": {}}
    for dag in dags:
        try:
            data = DagSerialization.to_dict(dag)
        except Exception:
            found["errors"][name] = traceback.format_exc(limit=-1).strip()
        else:
            tasks = sorted(task.task_id for task in dag.tasks)
            found["dags"][dag.dag_id] = {"file": name, "tasks": tasks, "hash": SerializedDagModel.hash(data)}
    return found


def import_file(answer: Any, path: str, directory: Path) -> None:
    """Import a file in this process, and send what it holds."""
    name = str(Path(path).relative_to(directory))
    bag = BundleDagBag(dag_folder=path, bundle_path=directory)
    found = serialized(bag.dags.values(), name)
    found["errors"].update((where, str(error).strip()) for where, error in bag.import_errors.items())
    answer.send(found)


class Attempt:
    """A file that is imported by a process of its own."""

    def __init__(self, path: str, directory: Path) -> None:
        self.name = str(Path(path).relative_to(directory))
        self.began = time.monotonic()
        forks = multiprocessing.get_context("fork")
        self.answer, theirs = forks.Pipe(duplex=False)
        self._process = forks.Process(target=import_file, args=(theirs, path, directory))
        self._process.start()
        theirs.close()

    def end(self) -> Found:
        """Return what the file holds; that it took too long, if there is no answer yet."""
        took = time.monotonic() - self.began
        try:
            found = self.answer.recv() if self.answer.poll() else {"errors": {self.name: f"no end after {took:.0f} s"}}
        except EOFError:
            self._process.join()
            found = {"errors": {self.name: f"its process ended with status {self._process.exitcode}"}}
        self._process.kill()
        self._process.join()
        return {"dags": {}, **found, "name": self.name, "seconds": round(took, 2)}


def gathered(parts: Iterable[Found]) -> Found:
    """Put the parts together. A DAG id that two files have is an error of the second, as its DAG would come and go."""
    whole: Found = {"files": 0, "dags": {}, "errors": {}, "seconds": {}}
    for part in parts:
        whole["files"] += 1
        whole["errors"].update(part["errors"])
        whole["seconds"][part["name"]] = part["seconds"]
        for dag_id, row in part["dags"].items():
            other = whole["dags"].setdefault(dag_id, row)
            if other is not row:
                whole["errors"][row["file"]] = f"the DAG id {dag_id!r} is in {other['file']} already"
    return whole


def check(directory: Path, timeout: float) -> Found:
    """Return what the files of a directory hold, of which as many are imported at once as there are processors."""
    waiting = sorted((str(path) for path in list_py_file_paths(directory)), reverse=True)
    running: dict[Any, Attempt] = {}
    parts: list[Found] = []
    while waiting or running:
        while waiting and len(running) < len(os.sched_getaffinity(0)):
            attempt = Attempt(waiting.pop(), directory)
            running[attempt.answer] = attempt
        ready = wait(running, timeout=1)
        for answer, attempt in list(running.items()):
            if answer in ready or time.monotonic() - attempt.began > timeout:
                parts.append(running.pop(answer).end())
    return {**gathered(sorted(parts, key=itemgetter("name"))), "unmet": list(unmet(directory / "requirements.txt"))}


def unmet(path: Path) -> Iterator[str]:
    """Yield the lines of a list for pip that what is installed does not meet; not its options and hashes."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for line in text.replace("\\\n", " ").splitlines():
        wanted = re.split(r"(?:^|\s)#|\s--", line)[0].strip()
        if not wanted or wanted.startswith("-"):
            continue
        try:
            need = Requirement(wanted)
            applies = need.marker is None or need.marker.evaluate()
            if applies and not need.specifier.contains(version(need.name), prereleases=True):
                yield f"{wanted} (there is {version(need.name)})"
        except PackageNotFoundError:
            yield wanted
        except InvalidRequirement as error:
            yield f"{wanted}, which cannot be read ({error})"


def changes(new: Found, old: Found) -> Iterator[str]:
    """Yield what a version changes."""
    was, now = old["dags"], new["dags"]
    named = {
        "added": now.keys() - was.keys(),
        "removed": was.keys() - now.keys(),
        "changed": {name for name in now.keys() & was.keys() if now[name]["hash"] != was[name]["hash"]},
        "still with an error": new["errors"].keys() & old["errors"].keys(),
    }
    yield f"{new['files']} files, {len(now)} DAGs"
    yield from (f"{what}: {', '.join(sorted(names)) or 'none'}" for what, names in named.items())
    for name, seconds in sorted(new["seconds"].items(), key=itemgetter(1), reverse=True)[:1]:
        yield f"slowest: {name}, {seconds} s"


def problems(new: Found, old: Found) -> Iterator[str]:
    """Yield why a version should not take the place of the present one."""
    for name, error in sorted(new["errors"].items()):
        if name not in old["errors"]:
            reason = error.splitlines()[-1]
            yield f"{name} cannot be imported: {reason}" + (f"\n{error}" if error != reason else "")
    for line in new["unmet"]:
        yield (
            f"requirements.txt wants {line}. Add it to airflow_release_extra_packages, run `site.yml --tags upgrade`, "
            "and then this again"
        )


def main(argv: Sequence[str]) -> int:
    """Check directories. Return 1 if there are problems and people read of them, 2 where there is no directory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="write for people")
    parser.add_argument("new", type=Path)
    parser.add_argument("old", type=Path, nargs="?")
    given = parser.parse_args(argv)
    missing = [str(directory) for directory in (given.new, given.old) if directory and not directory.is_dir()]
    if missing:
        print(f"no directory: {', '.join(missing)}", file=sys.stderr)
        return 2
    # What Airflow and the DAG files say from now on is no part of the answer, which is the last line.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    timeout = conf.getfloat("dag_processor", "dag_file_processor_timeout")
    new = check(given.new.resolve(), timeout)
    old = check(given.old.resolve(), timeout) if given.old else gathered([])
    told, found = list(changes(new, old)), list(problems(new, old))
    if given.report:
        answer.write("\n".join([*told, *found, "in order" if not found else f"to mend: {len(found)}"]) + "\n")
    else:
        json.dump({"dags": [new["dags"], old["dags"]], "changes": told, "problems": found}, answer)
    answer.close()
    return 1 if given.report and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
