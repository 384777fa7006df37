"""The shipped locks, their metadata and options, and the arguments and checks of bin/lock."""

import importlib.util
import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = REPOSITORY / "roles" / "airflow_release" / "files"
LOCKS = sorted((FILES / "locks").glob("*/py*.txt"))
VERSIONS = ["3.1.7", "3.2.2", "3.3.2"]
PYTHONS = ["3.11", "3.12", "3.13"]

PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>\S+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

# Packages without which an extra does not work, written down apart from bin/lock's own list.
NEEDED = {
    "amazon": {"apache-airflow-providers-amazon", "boto3"},
    "celery": {"apache-airflow-providers-celery", "celery", "kombu", "flower"},
    "fab": {"apache-airflow-providers-fab", "flask-appbuilder"},
    "git": {"apache-airflow-providers-git", "gitpython"},
    "http": {"apache-airflow-providers-http"},
    "otel": {"opentelemetry-exporter-otlp"},
    "postgres": {"apache-airflow-providers-postgres", "psycopg2-binary", "asyncpg"},
    "redis": {"apache-airflow-providers-redis", "redis"},
    "standard": {"apache-airflow-providers-standard"},
    "statsd": {"statsd"},
}


def paragraphs(text: str) -> list[list[str]]:
    """Split a requirements file into its packages: the words of each, line continuations resolved."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines()]


def pinned(path: Path) -> dict[str, str]:
    """Map each package of a lock file to its version."""
    found = [PIN.fullmatch(words[0]) for words in paragraphs(path.read_text())]
    return {match["name"]: match["version"] for match in found if match}


def read(version: str, name: str) -> Any:
    """Return a JSON file of a version's locks."""
    return json.loads((FILES / "locks" / version / name).read_text())


def load_lock_command() -> ModuleType:
    """Load bin/lock, which has no suffix, as a module, and leave no bytecode beside it."""
    loader = SourceFileLoader("lock_command", str(REPOSITORY / "bin" / "lock"))
    spec = importlib.util.spec_from_loader("lock_command", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__file__"] = loader.path
    exec(compile(Path(loader.path).read_bytes(), loader.path, "exec"), module.__dict__)  # noqa: S102
    return module


lock_command = load_lock_command()


def test_every_version_has_a_lock_for_every_python() -> None:
    names = {str(path.relative_to(FILES / "locks")) for path in LOCKS}
    assert names >= {f"{version}/py{python}.txt" for version in VERSIONS for python in PYTHONS}


@pytest.mark.parametrize("path", [*LOCKS, FILES / "uv.txt"], ids=lambda path: str(path.relative_to(FILES)))
def test_every_package_is_pinned_with_hashes_and_nothing_else_stands_there(path: Path) -> None:
    packages = paragraphs(path.read_text())
    assert packages
    for pin, *hashes in packages:
        assert PIN.fullmatch(pin), f"{pin} is not pinned"
        assert hashes, f"{pin} has no hash"
        assert [word for word in hashes if not HASH.fullmatch(word)] == []
        assert len(set(hashes)) == len(hashes)
    names = [words[0].partition("==")[0] for words in packages]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", [*LOCKS, FILES / "uv.txt"], ids=lambda path: str(path.relative_to(FILES)))
def test_nothing_names_an_index_or_a_path(path: Path) -> None:
    assert re.findall(r"://|--[a-z-]*index|--find-links|/(?:home|root|tmp|work)/", path.read_text()) == []


def test_uv_is_pinned_for_every_platform() -> None:
    ((pin, *hashes),) = paragraphs((FILES / "uv.txt").read_text())
    assert pin.startswith("uv==")
    assert len(hashes) > 10


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(FILES)))
def test_lock_holds_its_airflow_and_every_extra(path: Path) -> None:
    metadata, packages = read(path.parent.name, "metadata.json"), pinned(path)
    assert packages["apache-airflow"] == packages["apache-airflow-core"] == metadata["airflow"] == path.parent.name
    assert set(metadata["extras"]) >= set(NEEDED)
    for extra, needed in NEEDED.items():
        assert needed - set(packages) == set(), f"the extra {extra} is not complete"
    assert set(metadata["providers"].values()) - set(packages) == set()
    assert ("gunicorn" in packages) == (metadata["core_extras"] == ["gunicorn"]) == (path.parent.name != "3.1.7")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(FILES)))
def test_celery_is_one_that_the_provider_can_import(path: Path) -> None:
    major, minor = pinned(path)["celery"].split(".")[:2]
    assert (5, 5) <= (int(major), int(minor)) < (5, 7)


@pytest.mark.parametrize("version", VERSIONS)
def test_pythons_of_a_version_get_the_same_airflow_packages(version: str) -> None:
    found = {
        python: {
            item
            for item in pinned(FILES / "locks" / version / f"py{python}.txt").items()
            if item[0].startswith("apache-airflow")
        }
        for python in PYTHONS
    }
    for one, other in combinations(PYTHONS, 2):
        assert found[one] == found[other]


@pytest.mark.parametrize("version", VERSIONS)
def test_metadata_is_consistent(version: str) -> None:
    metadata = read(version, "metadata.json")
    locks = [path.stem.removeprefix("py") for path in LOCKS if path.parent.name == version]
    assert sorted(metadata["pythons"]) == sorted(locks)
    assert metadata["extras"] == sorted(metadata["extras"])
    assert metadata["requirements"][0] == f"apache-airflow[{','.join(metadata['extras'])}]=={version}"
    assert set(metadata["providers"].values()) <= set(metadata["requirements"])
    assert set(metadata["providers"]) <= set(metadata["extras"])
    assert "celery<5.7" in metadata["constraints"]
    assert re.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["exclude_newer"])
    for python in PYTHONS:
        assert metadata["exclude_newer"] in (FILES / "locks" / version / f"py{python}.txt").read_text().splitlines()[0]
    assert metadata["postgresql_minimum"] == min(metadata["postgresql_versions"])
    assert {15, 17} <= set(metadata["postgresql_versions"])


def test_schema_revisions_are_those_that_a_migration_leaves() -> None:
    # Read from PostgreSQL 15 after `airflow db migrate` of each version.
    assert {version: read(version, "metadata.json")["alembic_heads"] for version in VERSIONS} == {
        "3.1.7": {"alembic_version": "cc92b33c6709", "alembic_version_fab": "02ca36b0235b"},
        "3.2.2": {"alembic_version": "1d6611b6ab7c", "alembic_version_fab": "02ca36b0235b"},
        "3.3.2": {"alembic_version": "d2f4e1b3c5a7", "alembic_version_fab": "02ca36b0235b"},
    }


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_workers_with_a_name_run_tasks(lock: Path) -> None:
    """Before celery provider 3.19.0, `--celery-hostname` left a worker whose processes wait for ever (#65826)."""
    version = re.search(r"^apache-airflow-providers-celery==(\d+)\.(\d+)", lock.read_text(), re.MULTILINE)
    assert version
    assert (int(version[1]), int(version[2])) >= (3, 19)


def test_index_lists_every_lock() -> None:
    index = json.loads((FILES / "locks" / "index.json").read_text())
    assert index == {version: read(version, "metadata.json")["pythons"] for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_options_have_the_documented_form(version: str) -> None:
    options = read(version, "options.json")
    assert set(options) == {"version", "renamed", "sections"}
    assert options["version"] == version
    for name, section in options["sections"].items():
        assert {"open", "options", "sensitive"} <= set(section) <= {"open", "options", "sensitive", "provider"}, name
        assert isinstance(section["open"], bool)
        assert section["options"] or section["open"], f"{name} can hold nothing"
        for names in (section["options"], section["sensitive"]):
            assert names == sorted({option.lower() for option in names})
        assert set(section["sensitive"]) <= set(section["options"])
    assert list(options["sections"]) == sorted(options["sections"])


@pytest.mark.parametrize("version", VERSIONS)
def test_options_are_those_that_airflow_reads(version: str) -> None:
    options = read(version, "options.json")
    sections = options["sections"]
    described = {
        "core": {"executor", "parallelism", "fernet_key", "auth_manager", "execution_api_server_url"},
        "database": {"sql_alchemy_conn", "sql_alchemy_pool_size"},
        "api": {"port", "workers", "secret_key", "base_url"},
        "api_auth": {"jwt_secret"},
        "celery": {"broker_url", "result_backend", "worker_concurrency", "worker_autoscale"},
        "fab": {"enable_proxy_fix", "session_lifetime_minutes"},
        # Read by the code, described nowhere.
        "scheduler": {"num_stuck_in_queued_retries"},
        # Of a provider which is not in the lock.
        "kubernetes_executor": {"namespace"},
    }
    for name, known in described.items():
        assert known - set(sections[name]["options"]) == set(), name
    assert {"sql_alchemy_conn"} <= set(sections["database"]["sensitive"])
    assert {"broker_url", "result_backend"} <= set(sections["celery"]["sensitive"])
    assert sections["celery"]["provider"] == "apache-airflow-providers-celery"
    assert "provider" not in sections["core"]
    assert sections["celery_broker_transport_options"]["open"]
    assert not sections["core"]["open"]
    assert options["renamed"]["webserver.web_server_port"] == "api.port"
    assert "web_server_port" not in sections.get("webserver", {"options": []})["options"]


def test_options_differ_between_versions_as_the_releases_do() -> None:
    assert "server_type" in read("3.3.2", "options.json")["sections"]["api"]["options"]
    assert "server_type" not in read("3.1.7", "options.json")["sections"]["api"]["options"]
    assert "missing_dag_retires" in read("3.1.7", "options.json")["sections"]["workers"]["options"]
    assert "missing_dag_retires" not in read("3.3.2", "options.json")["sections"]["workers"]["options"]


def test_every_new_name_of_a_renamed_option_exists() -> None:
    for version in VERSIONS:
        options = read(version, "options.json")
        for new in options["renamed"].values():
            section, _, option = new.partition(".")
            assert option in options["sections"][section]["options"], f"{version}: {new}"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "required: VERSION"),
        (["3.3.2", "3.10"], 2, "PYTHON is one of 3.11, 3.12, 3.13, not 3.10"),
        (["uv", "3.11"], 2, "uv takes no further arguments"),
        (["latest"], 1, "VERSION is an Airflow release from 3.1.0 on, such as 3.3.2, not 'latest'"),
        (["2.11.0"], 1, "VERSION is an Airflow release from 3.1.0 on"),
        (["3.3.2", "--exclude-newer", "yesterday"], 1, "takes YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ, not 'yesterday'"),
        (["3.3.2", "3.11", "--exclude-newer", "2026-10-01"], 1, "with another date, make all of them"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], status: int, message: str) -> None:
    command = [sys.executable, str(REPOSITORY / "bin" / "lock"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("given", "date"),
    [("2026-02-09", "2026-02-09T00:00:00Z"), ("2026-02-09T12:30:00Z", "2026-02-09T12:30:00Z")],
)
def test_dates(given: str, date: str) -> None:
    assert lock_command.parse_date(given) == date


def test_requirements_name_the_providers_and_gunicorn_where_it_is_known() -> None:
    assert "apache-airflow-core==3.1.7" in lock_command.requirements_for("3.1.7")
    assert "apache-airflow-core[gunicorn]==3.2.2" in lock_command.requirements_for("3.2.2")
    assert "apache-airflow-providers-fab" in lock_command.requirements_for("3.1.7")


def test_a_lock_without_a_needed_package_is_refused() -> None:
    text = (FILES / "locks" / "3.1.7" / "py3.13.txt").read_text()
    lock_command.check_complete(text, "3.13")
    with pytest.raises(lock_command.LockError, match=r"Python 3\.13: the extra fab lacks flask-appbuilder"):
        lock_command.check_complete(text.replace("\nflask-appbuilder==", "\nother=="), "3.13")


def test_locks_with_different_providers_are_refused() -> None:
    lock_command.check_alike({"3.11": "apache-airflow==3.3.2\nsix==1", "3.12": "apache-airflow==3.3.2\nsix==2"})
    with pytest.raises(lock_command.LockError, match=r"3\.11 and 3\.12 would get different Airflow packages"):
        lock_command.check_alike({"3.11": "apache-airflow-core==3.3.2", "3.12": "apache-airflow-core==3.3.1"})


def test_options_are_found_in_sources(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "from airflow.configuration import conf\n"
        "conf.getint('scheduler', 'Tries', fallback=2)\n"
        "self.conf.get(section='core', key='named')\n"
        "team_conf.getsection('open_one')\n"
        "other.get('not', 'mine')\n"
        "conf.get(section, 'unknown')\n"
        "conf.set('core', 'written')\n"
    )
    (tmp_path / "example_dags").mkdir()
    (tmp_path / "example_dags" / "example.py").write_text("conf.get('example', 'option')\n")
    assert set(lock_command.read_calls(tmp_path)) == {("scheduler", "tries"), ("core", "named"), ("open_one", None)}
