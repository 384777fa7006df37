"""The modules of deployed DAGs with real Git and real files, and the check with a real release of Airflow."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import run_module
from airstrip_tree import PROJECT

DAG = 'from airflow.sdk import DAG, task\nwith DAG("{0}", schedule=None):\n    @task\n    def {1}(): ...\n    {1}()\n'
# What a DAG processor and tasks do with the bundle, in the order in which the letters come.
BUNDLE = """
import sys
from pathlib import Path
from airstrip_dags import VersionedBundle
from airflow.exceptions import AirflowException

root = Path(sys.argv[1])
def bundle(version=None):
    return VersionedBundle(name="dags-folder", directory=str(root), version=version)
def turn(version):
    (root / "new").symlink_to(f"versions/{version}")
    (root / "new").replace(root / "current")
def name(found):
    return getattr(found, "version", found)

try:
    bundle().initialize()
except AirflowException as error:
    print("none:", "has no DAGs yet" in str(error))
for version in "ab":
    (root / "versions" / version).mkdir(parents=True)
    (root / "versions" / version / "what").write_text(version)
turn("a")
processor, task, old_run, pinned = bundle(), bundle("a"), bundle(), bundle("b")
for one in (processor, task, old_run, pinned):
    one.initialize()
processor.refresh()
path = processor.path
print("before:", *((one.path / "what").read_text() for one in (processor, task, old_run, pinned)))
turn("b")
print("not refreshed:", (path / "what").read_text(), name(processor.get_current_version()))
processor.refresh()
print("refreshed:", (path / "what").read_text(), name(processor.get_current_version()), processor.path == path)
print("after:", *((one.path / "what").read_text() for one in (task, old_run, pinned, bundle())))
try:
    bundle("gone").initialize()
except AirflowException as error:
    print("gone:", "is not on this host any more" in str(error))
print("copy to remove:", (task.versions_dir / "a").is_dir())
"""
GIT = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.com"]


def git(repository: Path, *arguments: str) -> str:
    argv = [*GIT, "-C", str(repository), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with DAGs in a directory of their own."""
    found = tmp_path / "repository"
    (found / "dags").mkdir(parents=True)
    (found / "dags" / "nightly.py").write_text(DAG.format("nightly", "load"), encoding="utf-8")
    (found / "README").write_text("not of the DAGs", encoding="utf-8")
    git(found, "init", "--quiet", "--initial-branch=main")
    git(found, "add", ".")
    git(found, "commit", "--quiet", "--message=first")
    return found


def made(tmp_path: Path, source: str, repository: str = "", subdirectory: str = "") -> dict[str, Any]:
    given = {"source": source, "repository": repository, "subdirectory": subdirectory}
    places = {"working_directory": str(tmp_path), "store": str(tmp_path / "store")}
    return run_module(tmp_path, "dags_source", given | places)


def host(tmp_path: Path, state: str = "look", **given: Any) -> dict[str, Any]:
    check = bool(given.pop("check", False))
    (tmp_path / "host" / "versions").mkdir(parents=True, exist_ok=True)
    given |= {"directory": str(tmp_path / "host"), "state": state}
    return run_module(tmp_path, "dags_versions", given, check=check)


def bring(tmp_path: Path, version: dict[str, Any]) -> dict[str, Any]:
    arriving = shutil.copy(version["archive"], tmp_path / "arriving")
    return host(tmp_path, "present", version=version["version"], digest=version["digest"], archive=str(arriving))


def deploy(tmp_path: Path, **files: str) -> str:
    """Deploy a directory of files; return the name of the version."""
    source = tmp_path / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for name, text in files.items():
        (source / f"{name}.py").write_text(text, encoding="utf-8")
    version = made(tmp_path, "source")
    assert not bring(tmp_path, version)["failed"]
    assert host(tmp_path, "current", version=version["version"])["changed"]
    return str(version["version"])


def test_a_version_is_called_after_its_commit_wherever_it_is_made(tmp_path: Path, repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    local = made(tmp_path, "main", str(repository), "dags")
    clone = tmp_path / "elsewhere.git"
    git(repository, "clone", "--quiet", "--bare", str(repository), str(clone))
    remote = made(tmp_path, "main", f"file://{clone}", "dags")
    assert (local["version"], list(local["files"])) == (commit, ["nightly.py"])
    assert {key: local[key] for key in ("version", "digest")} == {key: remote[key] for key in ("version", "digest")}
    by_number = made(tmp_path, commit, f"file://{clone}", "dags")
    assert by_number["digest"] == local["digest"]


@pytest.mark.parametrize(
    ("source", "place", "subdirectory", "told"),
    [
        ("nowhere", "", "", "is no directory. If it is a branch, a tag or a commit, say of what"),
        ("nowhere", "repository", "dags", "has no such branch, tag or commit"),
        ("--output=x", "repository", "dags", "which is no branch, tag or commit"),
        ("main", "repository", "other", "airflow_dags_subdirectory is 'other', which"),
        ("main", "file:///nonexistent.git", "", "git fetch of file:///nonexistent.git failed"),
        ("empty", "", "", "has no Python file"),
        ("outside", "", "", "secret is a link to /etc/shadow, which is outside of the DAGs"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_is_no_version_is_refused(tmp_path: Path, source: str, place: str, subdirectory: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").symlink_to("/etc/shadow")
    found = made(tmp_path, source, place, subdirectory)
    assert found["failed"]
    assert told in found["msg"]


def test_a_directory_is_called_after_its_content(tmp_path: Path) -> None:
    first, second = deploy(tmp_path, a="1"), deploy(tmp_path, a="2")
    assert (first.startswith("files-"), first != second) == (True, True)
    assert deploy(tmp_path, a="1") == first


def test_a_host_has_the_files_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "a.pyc").write_bytes(b"")
    (source / "a.py").write_text("1", encoding="utf-8")
    (source / "lib" / "run.sh").write_text("2", encoding="utf-8")
    (source / "lib" / "run.sh").chmod(0o700)
    (source / "b.py").symlink_to("a.py")
    version = made(tmp_path, "source")
    assert bring(tmp_path, version)["changed"]
    there = tmp_path / "host" / "versions" / version["version"]
    modes = {str(path.relative_to(there)): path.lstat().st_mode & 0o777 for path in there.rglob("*")}
    assert modes == {"a.py": 0o644, "b.py": 0o777, "lib": 0o755, "lib/run.sh": 0o755}
    assert not bring(tmp_path, version)["changed"]


def test_other_files_of_a_version_are_refused(tmp_path: Path) -> None:
    version = deploy(tmp_path, a="1")
    (tmp_path / "host" / "versions" / version / "a.py").write_text("by hand", encoding="utf-8")
    found = bring(tmp_path, made(tmp_path, "source"))
    assert found["failed"]
    assert "is on this host, with other files" in found["msg"]


def test_what_was_cut_off_begins_anew(tmp_path: Path) -> None:
    first = deploy(tmp_path, a="1")
    (tmp_path / "source" / "a.py").write_text("2", encoding="utf-8")
    second = made(tmp_path, "source")
    # While the archive was unpacked, and after the history was written.
    (tmp_path / "host" / "versions" / f".{second['version']}").mkdir()
    (tmp_path / "host" / "versions" / f".{second['version']}" / "half.py").write_text("", encoding="utf-8")
    (tmp_path / "host" / "history").write_text(f"{first}\n{second['version']}\n", encoding="utf-8")
    assert bring(tmp_path, second)["versions"] == sorted([first, second["version"]])
    assert list(host(tmp_path, version=second["version"])["files"]) == ["a.py"]
    assert host(tmp_path, "current", version=second["version"])["current"] == second["version"]
    assert (tmp_path / "host" / "history").read_text(encoding="utf-8").split() == [first, second["version"]]


def test_a_switch_is_told_before_and_done_once(tmp_path: Path) -> None:
    first = deploy(tmp_path, a="1")
    (tmp_path / "source" / "b.py").write_text("2", encoding="utf-8")
    second = made(tmp_path, "source")
    told = host(tmp_path, "current", version=second["version"], files=second["files"], check=True)
    assert (told["changed"], told["current"]) == (True, first)
    assert "b.py" in told["diff"]["after"]
    assert "b.py" not in told["diff"]["before"]
    bring(tmp_path, second)
    assert host(tmp_path, "current", version=second["version"])["before"] == first
    assert not host(tmp_path, "current", version=second["version"])["changed"]


def test_files_of_a_new_version_look_newer_than_their_last_reading(tmp_path: Path) -> None:
    version = deploy(tmp_path, a="1")
    later = (tmp_path / "host" / "versions" / version / "a.py").stat().st_mtime - time.time()
    assert 5 < later <= 10


def test_going_back_goes_further_each_time(tmp_path: Path) -> None:
    versions = [deploy(tmp_path, a=str(number)) for number in range(3)]
    for wanted in reversed(versions[:-1]):
        before = host(tmp_path)["before"]
        assert before == wanted
        host(tmp_path, "current", version=before, back=True)
    assert host(tmp_path)["before"] == ""


def test_versions_that_are_needed_stay(tmp_path: Path) -> None:
    versions = [deploy(tmp_path, a=str(number)) for number in range(5)]
    assert host(tmp_path, "pruned", keep=1, needed=versions[:1], check=True)["removed"] == sorted(versions[1:3])
    found = host(tmp_path, "pruned", keep=1, needed=versions[:1])
    assert found["versions"] == sorted([versions[0], *versions[3:]])
    assert not host(tmp_path, "pruned", keep=1, needed=versions[:1])["changed"]


@pytest.fixture(scope="module")
def checked() -> Callable[..., tuple[int, str]]:
    """What bin/check-dags says, with a release that it builds once."""

    def check(*arguments: str) -> tuple[int, str]:
        argv = [str(PROJECT / "bin" / "check-dags"), *arguments]
        found = subprocess.run(argv, check=False, capture_output=True, text=True)
        return found.returncode, found.stdout + found.stderr

    return check


def test_the_check_names_what_is_wrong(tmp_path: Path, checked: Callable[..., tuple[int, str]]) -> None:
    files = {
        "good.py": DAG.format("good", "load"),
        "missing.py": "from airflow.sdk import DAG\nimport no_such_module\n",
        "twice.py": DAG.format("good", "other"),
        "circle.py": "from airflow.sdk import DAG, task\nwith DAG('circle'):\n    @task\n    def a(): ...\n"
        "    @task\n    def b(): ...\n    x, y = a(), b()\n    x >> y >> x\n",
        "ends.py": "from airflow.sdk import DAG\nimport os\nos._exit(3)\n",
        "ignored.py": "from airflow.sdk import DAG\nraise RuntimeError\n",
        ".airflowignore": "ignored.py\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    status, told = checked(str(tmp_path))
    assert status == 1, told
    for line in (
        "missing.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        "twice.py cannot be imported: the DAG id 'good' is in good.py already",
        "circle.py cannot be imported: AirflowDagCycleException",
        "ends.py cannot be imported: its process ended with status 3",
        "to mend: 4",
    ):
        assert line in told
    assert "ignored.py" not in told
    # Errors that are there already are none of a new version.
    status, told = checked(str(tmp_path), str(tmp_path))
    assert (status, "in order" in told) == (0, True), told


def test_the_check_says_what_changes(tmp_path: Path, checked: Callable[..., tuple[int, str]]) -> None:
    for place, dags in {"old": {"a": "x", "b": "x"}, "new": {"b": "y", "c": "x"}}.items():
        (tmp_path / place).mkdir()
        for name, task_id in dags.items():
            (tmp_path / place / f"{name}.py").write_text(DAG.format(name, task_id), encoding="utf-8")
    status, told = checked(str(tmp_path / "new"), str(tmp_path / "old"))
    assert status == 0, told
    assert "added: c\nremoved: a\nchanged: b\n" in told


def test_the_check_refuses_what_it_cannot_check(tmp_path: Path, checked: Callable[..., tuple[int, str]]) -> None:
    assert checked(str(tmp_path / "none"))[0] == 2
    assert checked("--airflow", "1.0", str(tmp_path))[0] == 2


def test_what_reads_a_bundle_reads_one_version_to_its_end(
    tmp_path: Path, checked: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "none").mkdir()
    assert checked(str(tmp_path / "none"))[0] == 0
    release = max((PROJECT / ".cache" / "check-dags").glob("*/complete"), key=lambda path: path.stat().st_mtime).parent
    environment = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "storage"),
        "PYTHONPATH": str(PROJECT / "roles" / "airflow" / "files"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    argv = [str(release / "bin" / "python"), "-c", BUNDLE, str(tmp_path / "dags")]
    found = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment).stdout
    assert found.splitlines()[-7:] == [
        "none: True",
        "before: a a a b",
        "not refreshed: a a",
        "refreshed: b b True",
        "after: a a b b",
        "gone: True",
        "copy to remove: True",
    ]
