"""Code of the controller's: what the lookup source_tree reads and refuses, and where hosts have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow_code import airflow_code, airflow_code_problems
from airstrip_render import Role
from ansible.errors import AnsibleError


def trees(path: Path, **options: Any) -> list[dict[str, Any]]:
    arguments = "".join(f", {name}='{value}'" for name, value in options.items())
    found: list[dict[str, Any]] = Role("airflow", {}).evaluate(f"query('source_tree', '{path}'{arguments})")
    return found


def written(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return path


def test_all_files_are_read_but_hidden_and_compiled_ones(tmp_path: Path) -> None:
    written(tmp_path, {"a.py": "A = 1\n", "sub/b.txt": "b", ".airflowignore": "x", ".git/c": "c"})
    written(tmp_path, {"sub/__pycache__/d.pyc": "d"})
    (found,) = trees(tmp_path)
    assert found["files"] == {".airflowignore": "x", "a.py": "A = 1\n", "sub/b.txt": "b"}
    written(tmp_path, {"a.py": "A = 2\n"})
    assert trees(tmp_path)[0]["digest"] != found["digest"]


def test_a_file_has_the_name_that_it_is_to_have(tmp_path: Path) -> None:
    (found,) = trees(written(tmp_path, {"policies.py": "X = 1\n"}) / "policies.py", name="settings.py")
    assert found["files"] == {"settings.py": "X = 1\n"}
    assert Role("airflow", {}).evaluate("query('source_tree', '')") == []


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ({"a.py": "def f(\n"}, "", "a.py, line 1: .* was never closed"),
        ({}, "", "has no files"),
        ({"a.txt": "x"}, "missing", "is no directory of the controller"),
    ],
)
def test_what_would_start_nothing_is_refused(tmp_path: Path, files: dict[str, str], name: str, message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        trees(written(tmp_path, files) / name)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(AnsibleError, match="is no text"):
        trees(tmp_path)


def test_each_version_has_a_directory_of_its_own() -> None:
    tree = {"digest": "a1", "files": {"b/c.py": "C"}}
    found = airflow_code({"plugins": [tree], "modules": [tree], "settings": []}, "/code")
    assert found["paths"] == {"plugins": "/code/plugins-a1", "modules": "/code/modules-a1"}
    assert found["environment"] == {"PYTHONPATH": "/code/modules-a1"}
    assert [entry["path"] for entry in found["files"]][:4] == [
        "/code", "/code/plugins-a1", "/code/plugins-a1/b", "/code/plugins-a1/b/c.py",
    ]  # fmt: skip
    assert airflow_code({"plugins": [], "modules": [], "settings": []}, "/code") == {
        "paths": {}, "environment": {}, "files": [],
    }  # fmt: skip


def test_a_path_of_the_users_would_hide_it() -> None:
    assert airflow_code_problems({}, {"PYTHONPATH": "/x"}) == []
    assert "which would hide" in airflow_code_problems({"PYTHONPATH": "/code"}, {"PYTHONPATH": "/x"})[0]


def test_who_reads_a_version_has_it_in_its_configuration(tmp_path: Path) -> None:
    """So its unit changes with it."""
    written(tmp_path, {"plugins/a.py": "A = 1\n", "settings.py": "X = 1\n"})
    role = Role("airflow", {
        "airflow_plugins_source": str(tmp_path / "plugins"),
        "airflow_local_settings_file": str(tmp_path / "settings.py"),
    })  # fmt: skip
    digest = trees(tmp_path / "plugins")[0]["digest"]
    assert role.evaluate("__airflow_config.core.plugins_folder") == f"/etc/airflow/code/plugins-{digest}"
    assert role.evaluate("__airflow_environment.PYTHONPATH").startswith("/etc/airflow/code/settings-")
