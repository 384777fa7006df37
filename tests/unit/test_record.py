"""The record of the scenarios that passed: on what, and what has changed since."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from airstrip_record import Record
from airstrip_tree import write

TREE = {
    ".gitignore": "__pycache__/\n",
    "molecule/one/molecule.yml": "platforms: []\n",
    "molecule/two/molecule.yml": (
        "verifier: {directory: ../../tests/e2e/two, additional_files_or_dirs: [../../testinfra/test_b.py]}\n"
    ),
    "roles/base/tasks/main.yml": "[]\n",
    "roles/base/README.md": "# base\n",
    "tests/e2e/two/test_a.py": "",
    "tests/testinfra/test_b.py": "",
    "tests/testinfra/test_c.py": "",
    "README.md": "# Airstrip\n",
    "bin/demo": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path, TREE)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "Begin")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def passed(tree: Path) -> Record:
    """Return the record after all scenarios have passed."""
    record = Record(tree)
    assert all(record.add(name, record.digest(name), 60) for name in record.scenarios)
    assert record.due() == []
    return record


def edit(name: str) -> Callable[[Path], object]:
    return lambda tree: (tree / name).write_text("changed: true\n", encoding="utf-8")


def remove(name: str) -> Callable[[Path], object]:
    return lambda tree: (tree / name).unlink()


EVERYTHING = ["one", "two", "demo", "distributed_bookworm", "readme", "throwaway", "work"]


@pytest.mark.parametrize(
    ("change", "due"),
    [
        (edit("roles/base/tasks/main.yml"), EVERYTHING),
        (edit("roles/new.yml"), EVERYTHING),
        (remove("roles/base/tasks/main.yml"), EVERYTHING),
        (edit("tests/e2e/two/test_a.py"), ["two"]),
        (edit("tests/testinfra/test_b.py"), ["one", "two", "distributed_bookworm"]),
        (edit("tests/testinfra/test_c.py"), ["one", "distributed_bookworm"]),
        (edit("molecule/one/molecule.yml"), ["one"]),
        (edit("README.md"), ["readme"]),
        (edit("bin/demo"), ["demo"]),
        (edit("roles/base/README.md"), []),
        (edit("tests/passed.json.new"), []),
    ],
)
def test_a_scenario_is_due_when_what_it_runs_has_changed(
    tree: Path, change: Callable[[Path], object], due: list[str]
) -> None:
    record = passed(tree)
    change(tree)
    assert record.due() == due


def test_a_pass_on_what_has_changed_meanwhile_is_not_recorded(tree: Path) -> None:
    record = Record(tree)
    before = record.digest("one")
    edit("roles/base/tasks/main.yml")(tree)
    assert not record.add("one", before, 60)
    assert record.passed == {}


def test_status_says_when_and_what_has_changed(tree: Path) -> None:
    record = Record(tree)
    assert next(iter(record.status())).split() == ["one", "due", "never", "passed"]
    passed(tree)
    assert {line.split()[1] for line in record.status()} == {"current"}
    edit("tests/testinfra/test_c.py")(tree)
    line = next(iter(record.status()))
    assert line.startswith("one                      due      passed on 20")
    assert line.endswith("; changed since: tests/testinfra/test_c.py")


def test_a_pass_of_another_clone_is_told_of(tree: Path) -> None:
    record = passed(tree)
    entries = {name: entry | {"commit": "0123456789", "inputs": "other"} for name, entry in record.passed.items()}
    record.path.write_text(json.dumps(entries), encoding="utf-8")
    assert next(iter(record.status())).endswith("; its commit is not here")


def test_inputs_of_the_scenarios_are_there() -> None:
    """A path that leads nowhere would leave tests out, of the digest and of the scenario."""
    record = Record()
    missing = [
        (scenario, path)
        for scenario in record.scenarios
        for path in record.inputs(scenario)
        if not path.startswith(":") and not list(record.root.glob(path))
    ]
    assert missing == []
