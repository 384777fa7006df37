"""The module service_stale, by files of this machine; units are for real hosts (tests/testinfra/test_drift.py)."""

import os
import time
from pathlib import Path

from airstrip_module import load
from airstrip_tree import PROJECT

newer = load(PROJECT / "library" / "service_stale.py").newer


def test_what_has_changed_since_is_found_by_name_and_by_pattern(tmp_path: Path) -> None:
    for name in ("a.conf", "b.conf", "c.key"):
        (tmp_path / name).write_text("")
    moment = time.time()
    patterns = [f"{tmp_path}/*.conf", f"{tmp_path}/c.key", f"{tmp_path}/none"]
    assert newer(patterns, moment) == []
    time.sleep(0.02)
    (tmp_path / "b.conf").chmod(0o600)
    replaced = tmp_path / "new"
    replaced.write_text("")
    # As old as one likes: it was put there now.
    os.utime(replaced, (0, 0))
    replaced.rename(tmp_path / "c.key")
    assert newer(patterns, moment) == [f"{tmp_path}/b.conf", f"{tmp_path}/c.key"]
    assert newer(patterns, time.time() + 1) == []
