"""What a component reads of airflow.cfg, and the table that says so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow_config import airflow_config_read_by
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

AIRFLOW = Path(__file__).parents[3] / "roles" / "airflow"
LOCKS = AIRFLOW.parent / "airflow_release" / "files" / "locks"
REGISTRY = AIRFLOW.parents[1] / "registry"
TABLE = AIRFLOW / "files" / "config_readers.yml"
READERS: dict[str, dict[str, list[str]]] = yaml.safe_load(TABLE.read_text())
COMPONENTS = {path.stem for path in REGISTRY.glob("*.yml") if "\nairflow:\n" in path.read_text()}

SMALL = {
    "triggerer": {"capacity": ["triggerer"], "queues_enabled": ["triggerer", "worker"]},
    "transport": {"*": ["scheduler", "worker"]},
    "mixed": {"named": ["api_server"], "*": ["worker"]},
}
WORDS = st.sampled_from(["a", "b", "c", "d"])
CONFIGS = st.dictionaries(WORDS, st.dictionaries(WORDS, st.integers(), min_size=1))
TABLES = st.dictionaries(WORDS, st.dictionaries(WORDS | st.just("*"), st.lists(WORDS, min_size=1)))


@pytest.mark.parametrize(
    ("config", "component", "read"),
    [
        pytest.param({"triggerer": {"capacity": 9}}, "triggerer", {"triggerer": {"capacity": 9}}, id="its reader"),
        pytest.param({"triggerer": {"capacity": 9}}, "worker", {}, id="another one, and no empty section is left"),
        pytest.param(
            {"triggerer": {"capacity": 9, "queues_enabled": True}},
            "worker",
            {"triggerer": {"queues_enabled": True}},
            id="one of several readers",
        ),
        pytest.param({"triggerer": {"new": 1}}, "worker", {"triggerer": {"new": 1}}, id="unknown option: all"),
        pytest.param(
            {"triggerer": {"capacity_cmd": "x"}}, "worker", {"triggerer": {"capacity_cmd": "x"}}, id="_cmd form: all"
        ),
        pytest.param({"core": {"parallelism": 1}}, "worker", {"core": {"parallelism": 1}}, id="unknown section: all"),
        pytest.param(
            {"team=triggerer": {"capacity": 9}},
            "worker",
            {"team=triggerer": {"capacity": 9}},
            id="section of a team: all",
        ),
        pytest.param({"transport": {"any": 1}}, "worker", {"transport": {"any": 1}}, id="whole section: a reader"),
        pytest.param({"transport": {"any": 1}}, "triggerer", {}, id="whole section: another one"),
        pytest.param({"mixed": {"named": 1, "other": 2}}, "worker", {"mixed": {"other": 2}}, id="the name beats *"),
        pytest.param({"core": {}}, "worker", {}, id="empty section"),
        pytest.param({}, "worker", {}, id="empty configuration"),
    ],
)
def test_read_by(config: dict[str, Any], component: str, read: dict[str, Any]) -> None:
    assert airflow_config_read_by(config, component, SMALL) == read


@given(CONFIGS, WORDS)
def test_without_a_table_all_is_read(config: dict[str, Any], component: str) -> None:
    assert airflow_config_read_by(config, component, {}) == config


@given(CONFIGS, WORDS, TABLES)
def test_what_is_read_is_a_part_of_the_configuration_and_stays_so(
    config: dict[str, Any], component: str, table: dict[str, Any]
) -> None:
    read = airflow_config_read_by(config, component, table)
    assert all(config[section][option] == value for section in read for option, value in read[section].items())
    assert airflow_config_read_by(read, component, table) == read


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(["triggerer"], "__airflow_config_readers must be a mapping, found list", id="table"),
        pytest.param(
            {"triggerer": ["triggerer"]}, "__airflow_config_readers.triggerer must be a mapping", id="section"
        ),
        pytest.param({"triggerer": {"capacity": "triggerer"}}, "triggerer.capacity must be a list", id="text"),
        pytest.param({"triggerer": {"capacity": [1]}}, r"a list of components, found \[1\]", id="number"),
        pytest.param({"triggerer": {"capacity": None}}, "found None; write .scheduler. for", id="nothing"),
        pytest.param({"triggerer": {"capacity": []}}, "leave out an option that all read", id="nobody"),
    ],
)
def test_malformed_table_is_refused(table: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_config_read_by({}, "worker", table)


def test_malformed_configuration_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"the configuration\.core must be a mapping, found int"):
        airflow_config_read_by({"core": 1}, "worker", SMALL)


# The table.


def entries() -> Iterator[tuple[str, str, list[str]]]:
    for section, options in READERS.items():
        for option, components in options.items():
            yield section, option, components


def known_options() -> dict[str, set[str]]:
    """Return the options of all shipped versions by section."""
    known: dict[str, set[str]] = {}
    for path in LOCKS.glob("*/options.json"):
        for section, content in json.loads(path.read_text())["sections"].items():
            known.setdefault(section, set()).update(content["options"])
    return known


def test_each_entry_is_an_option_of_a_shipped_version() -> None:
    known = known_options()
    strange = [
        f"{section}.{option}"
        for section, option, _ in entries()
        if section not in known or (option != "*" and option not in known[section])
    ]
    assert strange == []


def test_readers_are_components_and_an_option_that_all_read_has_no_entry() -> None:
    for section, option, components in entries():
        assert set(components) < COMPONENTS, f"{section}.{option}"
        assert len(set(components)) == len(components), f"{section}.{option}"


def test_the_scheduler_reads_what_tasks_read() -> None:
    """The LocalExecutor runs tasks in the scheduler. What only Celery's own worker process reads is the exception."""
    of_tasks = [(section, option, components) for section, option, components in entries() if section != "celery"]
    alone = [
        f"{section}.{option}"
        for section, option, components in of_tasks
        if "worker" in components and "scheduler" not in components
    ]
    assert alone == ["logging.celery_logging_level", "logging.celery_stdout_stderr_separation"]


@pytest.mark.parametrize(
    "section", ["core", "database", "email", "metrics", "operators", "secrets", "sentry", "traces"]
)
def test_sections_that_all_read_are_not_in_the_table(section: str) -> None:
    assert section not in READERS


def test_the_table_was_checked_for_each_shipped_version() -> None:
    line = re.search(r"^# Checked in the source of (.*?)\. ", TABLE.read_text(), re.MULTILINE)
    assert line, "config_readers.yml does not say for which versions it was checked"
    shipped = sorted(path.parent.name for path in LOCKS.glob("*/options.json"))
    assert line[1].split(", ") == shipped, "check the readers in the source of the new version, then name it there"
