"""Role airflow_release: the release that a host runs."""

from __future__ import annotations

import re
from typing import Any

CURRENT = "/opt/airflow/current"


def test_release_is_complete_and_cannot_be_changed(host: Any) -> None:
    release = host.check_output(f"readlink {CURRENT}")
    assert re.fullmatch(r"/opt/airflow/releases/\d+\.\d+\.\d+-[0-9a-f]{12}", release)
    assert host.file(f"{release}/complete").exists
    # uv's lock file is open to everybody, and nobody else uses it.
    loose = f"find {release} ! -user root -o ! -type l -perm /022 ! -path {release}/.lock"
    assert host.check_output(loose) == ""
    found = host.check_output(
        f"{CURRENT}/bin/python -c 'import importlib.metadata as m; print(m.version(\"apache-airflow\"))'"
    )
    assert release.rpartition("/")[2].startswith(f"{found}-")


def test_packages_of_the_release_agree(host: Any) -> None:
    checked = host.run(f"/opt/airflow/tools/uv/bin/uv pip check --python {CURRENT}/bin/python")
    assert checked.rc == 0, checked.stderr
