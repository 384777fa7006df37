"""Which scenarios have passed on which inputs: what bin/test writes into tests/passed.json, and reads of it.

python tests/lib/airstrip_record.py inputs SCENARIO          a digest of all that the scenario runs
python tests/lib/airstrip_record.py add SCENARIO DIGEST SECONDS  that it passed; nothing if the inputs changed since
python tests/lib/airstrip_record.py status                   a line for each scenario
python tests/lib/airstrip_record.py due                      those that have not passed as the tree is now
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT, Tree

# What every scenario runs.
COMMON = (
    ".config", "action_plugins", "ansible.cfg", "bin/setup", "callback_plugins", "collections", "filter_plugins",
    "inventory", "library", "lookup_plugins", "module_utils", "molecule/shared", "playbooks", "registry",
    "requirements", "roles", "site.yml", ":(glob)tests/*/conftest.py", "tests/lib",
    "vars_plugins",
)  # fmt: skip
# What the stages of bin/test that have hosts and are no scenario of Molecule run beside.
OTHERS = {
    "demo": ("bin/demo",),
    "distributed_bookworm": ("molecule/distributed", "tests/e2e/attacks", "tests/testinfra"),
    "readme": ("README.md", "tests/e2e/readme"),
    "throwaway": ("molecule/distributed", "tests/e2e/throwaway"),
    "work": ("molecule/single_node", "tests/e2e/work", "tests/testinfra/dags"),
}
# What a scenario runs beside its tests.
MORE = {"workloads": ("examples",)}
_TESTS = "tests/testinfra"


def _counts(name: str) -> bool:
    """Tell whether a file is more than what people read; the commands of README.md are run."""
    return not name.endswith(".md") or name == "README.md"


class Record:
    """The record of a tree."""

    def __init__(self, root: Path = PROJECT) -> None:
        self.root, self.path = root, root / "tests" / "passed.json"

    @property
    def passed(self) -> dict[str, dict[str, Any]]:
        """By scenario: `inputs` (digest), `commit`, `date`, `seconds` and `machine` of the last pass."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else "{}"
        found: dict[str, dict[str, Any]] = json.loads(text)
        return found

    @property
    def scenarios(self) -> list[str]:
        """The scenarios of Molecule, and what else has hosts."""
        return [*sorted(path.parent.name for path in self.root.glob("molecule/*/molecule.yml")), *OTHERS]

    def inputs(self, scenario: str) -> list[str]:
        """Return the paths of what a scenario runs, as Git takes them; a `*` stands for slashes, too."""
        if scenario in OTHERS:
            return sorted([*COMMON, *OTHERS[scenario]])
        directory = self.root / "molecule" / scenario
        verifier = Tree(self.root).load(directory / "molecule.yml").get("verifier") or {}
        tests = [verifier.get("directory"), *verifier.get("additional_files_or_dirs", [])]
        # They are relative to the scenario, and the additional ones to the directory of its tests.
        first = (directory / tests[0]).resolve() if tests[0] else self.root / _TESTS
        found = [first, *((first / test).resolve() for test in tests[1:])]
        # A scenario example_NAME installs the system of that directory; some use what others have.
        more = MORE.get(scenario, ("examples",) if scenario.startswith("example_") else ())
        return sorted(
            {*COMMON, *more, f"molecule/{scenario}", *(path.relative_to(self.root).as_posix() for path in found)}
        )

    def _files(self, scenario: str) -> list[str]:
        """Return the files among them: those that Git has or would take, without what only people read."""
        listed = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *self.inputs(scenario))
        return sorted({name for name in listed.split("\0") if _counts(name) and (self.root / name).is_file()})

    def _git(self, *arguments: str) -> str:
        argv = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def digest(self, scenario: str) -> str:
        """Return a digest of the names and contents of what a scenario runs."""
        found = hashlib.sha256()
        for name in self._files(scenario):
            found.update(f"{name}\0".encode() + hashlib.sha256((self.root / name).read_bytes()).digest())
        return found.hexdigest()[:16]

    def add(self, scenario: str, digest: str, seconds: int) -> bool:
        """Write that a scenario passed with these inputs; return False if they are others by now."""
        if digest != self.digest(scenario):
            return False
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        entry = {
            "inputs": digest,
            "commit": self._git("rev-parse", "--short=10", "HEAD").strip(),
            "date": datetime.now(UTC).date().isoformat(),
            "seconds": seconds,
            "machine": f"{os.cpu_count()} cores, {memory:.0f} GB",
        }
        text = json.dumps(self.passed | {scenario: entry}, indent=2, sort_keys=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")
        return True

    def due(self) -> list[str]:
        """Return the scenarios that have not passed with the inputs of now."""
        passed = self.passed
        return [name for name in self.scenarios if passed.get(name, {}).get("inputs") != self.digest(name)]

    def status(self) -> Iterator[str]:
        """Yield a line for each scenario: whether it is due, when it passed, and what of it changed since."""
        due, passed = self.due(), self.passed
        for name in self.scenarios:
            entry = passed.get(name)
            if not entry:
                yield f"{name:24} due      never passed"
                continue
            when = f"passed on {entry['date']} at {entry['commit']} in {entry['seconds']} s ({entry['machine']})"
            if name in due:
                yield f"{name:24} due      {when}; {self._changes(name, entry['commit'])}"
            else:
                yield f"{name:24} current  {when}"

    def _changes(self, scenario: str, commit: str) -> str:
        """Say what of a scenario's inputs has changed since a commit."""
        try:
            listed = self._git("diff", "--name-only", commit, "--", *self.inputs(scenario))
        except subprocess.CalledProcessError:
            return "its commit is not here"
        changed = list(filter(_counts, listed.splitlines()))
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"changed since: {', '.join(changed[:3])}{more}"


def main(command: str, *arguments: str) -> int:
    """Do what bin/test asks for."""
    record = Record()
    match [command, *arguments]:
        case ["inputs", scenario]:
            lines = [record.digest(scenario)]
        case ["add", scenario, digest, seconds]:
            if not record.add(scenario, digest, int(seconds)):
                sys.stderr.write(f"{scenario} is not recorded: what it runs has changed meanwhile\n")
            lines = []
        case ["status"]:
            lines = list(record.status())
        case ["due"]:
            lines = record.due()
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["help"])))
