"""What roles/airflow/files/airstrip_cleanup.py removes, and what stays, in trees as tasks and attackers make them."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

PROGRAM = PROJECT / "roles" / "airflow" / "files" / "airstrip_cleanup.py"
cleanup = load(PROGRAM)
HOUR, DAY, MB = cleanup.HOUR, cleanup.DAY, cleanup.MB
NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


def aged(path: Path, age: float) -> Path:
    """Give a file, directory or link an age in seconds."""
    moment = time.time() - age
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def log(place: Path, name: str, age: float, kilobytes: int = 4) -> Path:
    """Write a log with an age, which its directories have as well."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1024 * kilobytes)
    for parent in path.relative_to(place).parents:
        aged(place / parent, age)
    return aged(path, age)


def left(place: Path) -> set[str]:
    """Return all that is left below a directory."""
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.fixture(name="logs")
def fixture_logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


def clean(logs: Path, days: int = 30, mb: int = 0, *keep: Path) -> object:
    """Clean logs up, and return the report."""
    report = cleanup.Report()
    cleanup.clean_logs(logs, Namespace(days=days, mb=mb, keep=keep), report, time.time())
    return report


def test_old_logs_go_with_the_directories_that_were_theirs(logs: Path) -> None:
    log(logs, "dag_id=a/run_id=1/task_id=x/attempt=1.log", 31 * DAY)
    log(logs, "dag_processor/2026-01-01/dags-folder/a.py.log", 31 * DAY)
    young = log(logs, "dag_id=b/run_id=1/task_id=x/attempt=1.log", 29 * DAY)
    report = clean(logs)
    assert {path for path in logs.rglob("*") if path.is_file()} == {young}
    assert left(logs) == {"dag_id=b", "dag_id=b/run_id=1", "dag_id=b/run_id=1/task_id=x", str(young.relative_to(logs))}
    assert str(report) == "removed 2 files (0.0 MB), 6 directories and 0 versions of bundles"


def test_an_empty_directory_stays_where_a_task_may_be_about_to_begin(logs: Path) -> None:
    for name, age in (("new", HOUR / 2), ("old", 2 * HOUR)):
        (logs / name).mkdir()
        aged(logs / name, age)
    clean(logs)
    assert left(logs) == {"new"}


@pytest.mark.parametrize(("days", "stays"), [(0, True), (9999, True), (1, False)])
def test_zero_is_no_bound(logs: Path, days: int, stays: bool) -> None:
    log(logs, "a", 400 * DAY)
    clean(logs, days)
    assert bool(left(logs)) == stays


def test_the_oldest_go_first_until_the_rest_fits(logs: Path) -> None:
    for hours in (50, 2, 30, 4, 3):
        log(logs, f"{hours}/attempt=1.log", hours * HOUR + 60, kilobytes=400)
    clean(logs, mb=1)
    assert {name for name in left(logs) if "/" in name} == {"2/attempt=1.log", "3/attempt=1.log"}


def test_of_one_hour_no_more_go_than_have_to(logs: Path) -> None:
    for number in range(8):
        log(logs, f"{number}.log", 5 * HOUR + 60 + number, kilobytes=200)
    clean(logs, mb=1)
    assert len(left(logs)) == 5


def test_what_was_written_within_the_hour_stays_however_large_it_is(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(logs, "young", HOUR - 60, kilobytes=3000)
    log(logs, "old", HOUR + 60, kilobytes=3000)
    clean(logs, mb=1)
    assert left(logs) == {"young"}
    assert "has 2.9 MB, which are of the last hour" in capsys.readouterr().out


def test_a_log_of_the_future_is_as_old_as_its_change_of_state(logs: Path) -> None:
    log(logs, "a", -400 * DAY, kilobytes=2000)
    now = time.time() + 2 * HOUR
    cleanup.clean_logs(logs, Namespace(days=30, mb=1, keep=[]), cleanup.Report(), now)
    assert not left(logs)


def test_a_log_that_a_task_writes_stays(logs: Path) -> None:
    path = log(logs, "a/attempt=1.log", 31 * DAY, kilobytes=2000)
    with path.open("ab"):
        clean(logs, 30, 1)
        assert path.exists()
    with path.open("rb"):  # whoever shows it does not keep it
        clean(logs)
    assert not path.exists()


def test_on_a_remote_file_system_the_time_alone_counts(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, a lease is the server's to give, and it gives none for files that nobody has open."""
    monkeypatch.setattr(cleanup, "_REMOTE", ("",))
    path = log(logs, "a", 31 * DAY)
    with path.open("ab"):
        clean(logs)
    assert not path.exists()


def test_links_pipes_and_other_names_are_removed_and_nothing_behind_them(logs: Path, tmp_path: Path) -> None:
    secret = log(tmp_path, "outside/secret", 400 * DAY)
    (logs / "link").symlink_to(secret)
    (logs / "directory").symlink_to(secret.parent)
    (logs / "latest").symlink_to("2026-01-01")
    (logs / "name").hardlink_to(secret)
    os.mkfifo(logs / "pipe")
    log(logs, "x" * 255, DAY)
    log(logs, "a\nb\x1b[2J", DAY)
    for path in logs.iterdir():
        aged(path, 31 * DAY)
    clean(logs)
    assert not left(logs)
    assert secret.read_bytes()
    assert secret.stat().st_nlink == 1


def test_a_young_link_stays(logs: Path) -> None:
    (logs / "latest").symlink_to("2026-01-01")
    clean(logs)
    assert os.listdir(logs) == ["latest"]  # noqa: PTH208


def test_what_is_to_be_kept_stays_wherever_it_lies(logs: Path) -> None:
    dag = log(logs, "shared/dags/a.py", 400 * DAY)
    log(logs, "shared/b", 400 * DAY)
    clean(logs, 30, 0, dag.parent, logs / "nowhere")
    assert left(logs) == {"shared", "shared/dags", "shared/dags/a.py"}


def test_a_directory_that_is_not_for_logs_alone_is_refused(logs: Path) -> None:
    log(logs, "a", 400 * DAY)
    (logs.parent / "link").symlink_to(logs)
    with pytest.raises(OSError, match="is not for logs alone"):
        clean(logs, 30, 1, logs.parent / "link")
    assert left(logs) == {"a"}


def test_too_many_directories_in_one_another_are_told(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = logs.joinpath(*["d"] * 150)
    deep.mkdir(parents=True)
    log(logs, "a", 31 * DAY)
    report = clean(logs)
    assert deep.exists()
    assert not (logs / "a").exists()
    assert "more than 100 directories in one another" in capsys.readouterr().err
    assert "1 problems" in str(report)


# As the service runs it: as a user who owns the logs, and not what was put among them.


@pytest.fixture(name="place")
def fixture_place() -> Iterator[Path]:
    """A directory that others may enter, unlike tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="airstrip-"))
    path.chmod(0o755)
    (path / "logs").mkdir()
    (path / "home").mkdir()
    yield path
    shutil.rmtree(path)


# All is loaded before it becomes another user, who need not be able to read the project.
START = """
import os, runpy, sys
program = runpy.run_path(sys.argv[1])
program["arguments"](sys.argv[3:])
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
sys.exit(program["main"](sys.argv[3:]))
"""


def run(place: Path, user: int = NOBODY) -> subprocess.CompletedProcess[str]:
    """Run the program as a user."""
    given = [
        "--logs",
        str(place / "logs"),
        "--homes",
        str(place / "home"),
        "--days",
        "30",
        "--mb",
        "0",
        "--hours",
        "24",
    ]
    return subprocess.run(
        [sys.executable, "-c", START, str(PROGRAM), str(user), *given],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def give(place: Path) -> None:
    """Give all below a directory to nobody."""
    for path in [place, *place.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@ROOT
def test_what_is_another_user_s_stays_and_what_cannot_be_read_is_told(place: Path) -> None:
    logs = place / "logs"
    log(logs, "a", 31 * DAY)
    log(logs, "closed/a", 31 * DAY)
    give(logs)
    log(logs, "root", 31 * DAY)
    log(logs, "theirs/a", 31 * DAY)
    (logs / "closed").chmod(0)
    result = run(place)
    assert left(logs) == {"root", "theirs", "theirs/a", "closed", "closed/a"}
    assert (result.returncode, result.stderr) == (0, f"'{logs}/closed': Permission denied\n")
    assert result.stdout == (
        "removed 1 files (0.0 MB), 0 directories and 0 versions of bundles; "
        "1 problems, of which the first stand above\n"
    )


@ROOT
def test_names_in_messages_are_harmless(place: Path) -> None:
    closed = place / "logs" / "a\n\x1b[2Jb"
    closed.mkdir(mode=0)
    give(place / "logs")
    assert run(place).stderr == f"'{place}/logs/a\\n\\x1b[2Jb': Permission denied\n"


@ROOT
def test_no_directory_of_logs_is_a_failure_and_bundles_are_cleaned_all_the_same(place: Path) -> None:
    storage, removed = place / "home" / "worker-a" / "bundles", "0" * 40
    version(storage, removed, 25)
    version(storage, "1" * 40, 24)
    give(place / "home" / "worker-a")
    (place / "logs").rmdir()
    result = run(place)
    assert (result.returncode, result.stderr) == (1, f"'{place}/logs': No such file or directory\n")
    assert "1 versions of bundles" in result.stdout
    assert not (storage / "dags" / "versions" / removed).exists()


@pytest.mark.parametrize("bad", ["-1", "a month", "1.5", ""])
def test_other_bounds_are_refused(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cleanup.arguments(["--logs", "/a", "--homes", "/b", f"--days={bad}", "--mb=1", "--hours=1"])
    assert "argument --days: invalid number value" in capsys.readouterr().err


@ROOT
def test_it_is_not_for_root(place: Path) -> None:
    old = log(place / "logs", "a", 31 * DAY)
    result = run(place, user=0)
    assert (result.returncode, result.stderr) == (
        2, "This is not for root: systemctl start airstrip-cleanup.service\n",
    )  # fmt: skip
    assert old.exists()


# Versions of bundles


def version(storage: Path, name: str, hours: float, *, tracked: bool = True, bundle: str = "dags") -> Path:
    """Make a version as GitDagBundle does, that was used last some hours ago."""
    path = storage / bundle / "versions" / name
    (path / "sub").mkdir(parents=True)
    for file in (path / "a.py", path / "sub" / "b.py"):
        aged(file, 0) if file.exists() else file.write_text("x = 1\n")
        file.chmod(0o444)
        aged(file, hours * HOUR + 60)
    (path / "link").symlink_to("/etc/passwd")
    if tracked:
        track(storage, name, hours, bundle)
    aged(path, hours * HOUR + 60)
    return path


def track(storage: Path, name: str, hours: float, bundle: str = "dags") -> Path:
    """Write the file that Airflow's BundleVersionLock writes and locks."""
    path = storage / "_tracking" / bundle / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("2026-01-01T00:00:00+00:00")
    return aged(path, hours * HOUR + 60)


@pytest.fixture(name="storage")
def fixture_storage(tmp_path: Path) -> Path:
    """A storage with the newest version, which always stays."""
    path = tmp_path / "home" / "worker-default" / "bundles"
    version(path, "newest", 30)
    (path / "dags" / "bare").mkdir()
    (path / "dags" / "tracking_repo").mkdir()
    return path


def clean_bundles(storage: Path, hours: int = 24) -> object:
    """Clean a storage up, and return the report."""
    report = cleanup.Report()
    given = Namespace(homes=storage.parents[1], bundles=[storage], hours=hours)
    for descriptor, place in cleanup.storages(given, report):
        cleanup.Storage(descriptor, place, report, time.time(), hours).clean()
    return report


def versions(storage: Path, bundle: str = "dags") -> list[str]:
    return sorted(path.name for path in (storage / bundle / "versions").iterdir())


def test_versions_that_nobody_uses_go_but_for_the_newest(storage: Path) -> None:
    version(storage, "old", 40)
    version(storage, "untracked", 50, tracked=False)
    version(storage, "older", 200, bundle="other")
    version(storage, "newer", 100, bundle="other")
    report = clean_bundles(storage)
    assert (versions(storage), versions(storage, "other")) == (["newest"], ["newer"])
    assert sorted(path.name for path in (storage / "_tracking" / "dags").iterdir()) == ["newest"]
    assert {path.name for path in (storage / "dags").iterdir()} == {"bare", "tracking_repo", "versions"}
    assert "3 versions of bundles" in str(report)
    assert Path("/etc/passwd").exists()


def test_a_version_that_was_used_within_the_hours_stays(storage: Path) -> None:
    version(storage, "used", 40)
    version(storage, "newest", 1, bundle="other")
    track(storage, "used", 23)
    track(storage, "newest", 22)
    clean_bundles(storage)
    assert versions(storage) == ["newest", "used"]


@pytest.mark.parametrize("name", ["_tracking/dags/used", "_locks/dags.lock"])
def test_a_version_that_a_task_has_locked_stays(storage: Path, name: str) -> None:
    """And none goes while another one is being made, or looked at by a task that begins."""
    version(storage, "used", 40)
    path = storage / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        aged(path, 40 * HOUR)
        fcntl.flock(file, fcntl.LOCK_SH if "used" in name else fcntl.LOCK_EX)
        clean_bundles(storage)
        assert versions(storage) == ["newest", "used"]
    clean_bundles(storage)
    assert versions(storage) == ["newest"]


def test_a_version_whose_files_a_task_reads_before_it_has_a_lock_stays(storage: Path) -> None:
    path = version(storage, "used", 40)
    tracked = storage / "_tracking" / "dags" / "used"
    before = tracked.stat().st_ino
    file = path / "sub" / "b.py"
    os.utime(file, (time.time() - 60, file.stat().st_mtime))
    clean_bundles(storage)
    assert versions(storage) == ["newest", "used"]
    # As it was: a task may have it open by now.
    assert tracked.stat().st_ino == before


def test_a_task_that_begins_while_a_version_goes_keeps_it(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes its file, and locks it after that."""
    version(storage, "used", 40)
    rename = os.rename

    def begin_first(source: str, *places: str, **more: Any) -> None:
        if source == "used" and "used" in versions(storage):
            (storage / "_tracking" / "dags" / "used").write_text("now")
        rename(source, *places, **more)

    monkeypatch.setattr(cleanup.os, "rename", begin_first)
    clean_bundles(storage)
    assert versions(storage) == ["newest", "used"]
    assert (storage / "_tracking" / "dags" / "used").read_text() == "now"


def test_what_a_run_left_that_was_cut_off_goes(storage: Path) -> None:
    left_over = version(storage, f"{cleanup._REMOVED}old", 1, tracked=False)
    left_over.chmod(0o500)
    (left_over / "sub").chmod(0o500)
    clean_bundles(storage)
    assert versions(storage) == ["newest"]


def test_links_among_bundles_lead_nowhere(storage: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    version(outside, "old", 400)
    version(outside, "older", 500)
    (storage / "linked").symlink_to(outside / "dags")
    (storage / "dags" / "versions" / "link").symlink_to(outside)
    (storage / "dags" / "versions" / f"{cleanup._REMOVED}link").symlink_to(outside)
    (storage.parents[1] / "worker-link").mkdir()
    (storage.parents[1] / "worker-link" / "bundles").symlink_to(outside)
    (storage.parents[1] / "link").symlink_to(outside)
    clean_bundles(storage)
    assert versions(outside) == ["old", "older"]


def test_tracking_files_that_are_links_lead_nowhere(storage: Path, tmp_path: Path) -> None:
    secret = log(tmp_path, "secret", 400 * DAY)
    version(storage, "old", 40, tracked=False)
    link = storage / "_tracking" / "dags" / "old"
    link.symlink_to(secret)
    aged(link, 40 * HOUR)
    report = clean_bundles(storage)
    assert versions(storage) == ["newest", "old"]
    assert "1 problems" in str(report)
    assert secret.stat().st_size == 4096


def test_no_bundles_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "home" / "scheduler").mkdir(parents=True)
    assert "0 versions" in str(clean_bundles(tmp_path / "home" / "scheduler" / "bundles"))
