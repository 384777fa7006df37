"""What roles/postgresql_upgrade/files/look.py tells of the clusters and marks in a tree."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from airstrip_tree import PROJECT

LOOK = PROJECT / "roles" / "postgresql_upgrade" / "files" / "look.py"


def put(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def look(root: Path) -> dict[str, Any]:
    directories = [str(root / name) for name in ("etc", "data", "lib")]
    argv = [sys.executable, str(LOOK), *directories, '{"wanted": "17"}']
    found: dict[str, Any] = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)
    return found


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert look(tmp_path) == {"clusters": {}, "marks": {}, "wanted": "17"}


def test_clusters_and_marks_are_found(tmp_path: Path) -> None:
    for version, start in (("13", "auto\n"), ("15", "# kept\nmanual\n"), ("16", ""), ("17", "# all\n auto # yes\n")):
        put(tmp_path / "etc" / version / "main" / "postgresql.conf")
        if start:
            put(tmp_path / "etc" / version / "main" / "start.conf", start)
        if version != "13":
            put(tmp_path / "lib" / version / "bin" / "postgres")
    put(tmp_path / "etc" / "17" / "other" / "postgresql.conf")
    put(tmp_path / "data" / "upgrade-to-17" / "begun", "15\n")
    put(tmp_path / "data" / "upgrade-to-17" / "complete")
    put(tmp_path / "data" / "upgrade-to-18" / "linked")
    found = look(tmp_path)
    # 13 has no programs any more, and a missing start.conf means auto.
    assert found["clusters"] == {"15": "manual", "16": "auto", "17": "auto"}
    assert found["marks"] == {"17": {"from": "15", "complete": True, "linked": False}}
