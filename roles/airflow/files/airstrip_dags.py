"""
A DAG bundle of versions that lie on the host: what playbooks/deploy_dags.yml brings.

Below the directory of the bundle, `versions/VERSION` has the files of a version, and the link `current` leads to the
one that new DAG runs begin with. Airflow keeps the version with each DAG run, so that all of its tasks read the files
with which it began.

What has no version of its own (DAGs with `disable_bundle_versioning`, and runs that are older than the first version)
reads the current one, which a process looks up once: it goes on with what it has begun to read.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.exceptions import AirflowException

try:
    from airflow.dag_processing.bundles.base import BundleVersion
except ImportError:  # before 3.3
    BundleVersion = str


class VersionedBundle(BaseDagBundle):
    """Versions in a directory, of which one is the current one."""

    supports_versioning = True

    def __init__(self, *, directory: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._directory = Path(directory)
        self._read = self.version
        self._path: Path | None = None

    def initialize(self) -> None:
        """Choose the files to read. Raises AirflowException if they are not there."""
        if self._read is None:
            self._read = self._current()
        if not self._files(self._read).is_dir():
            raise AirflowException(
                f"Version {self._read} of the DAGs is not on this host any more. Clear the task with the latest "
                "version, or bring it back: deploy_dags.yml with what it was made of, then again with what is current."
            )
        # Airflow removes its own copy of a version, and the note of when a task last began with it, and fails if there
        # is no copy (BundleUsageTrackingManager).
        with suppress(OSError):
            (self.versions_dir / self._read).mkdir(parents=True, exist_ok=True)
        super().initialize()

    @property
    def path(self) -> Path:
        """The directory to read: a version's own, or for a DAG processor a link of its own to what is current."""
        return self._path or self._files(self._read or self._current())

    def get_current_version(self) -> Any:
        """Return the version that `path` leads to."""
        return BundleVersion(self._read or self._current())

    def refresh(self) -> None:
        """Turn to the current version. Only DAG processors ask for it.

        Their path stays the same, as they remember files by it; and what they find from now on is this version's.
        """
        if self.version is not None:
            raise AirflowException("A version cannot be refreshed")
        self._read = self._current()
        self.base_dir.mkdir(parents=True, exist_ok=True)
        link, new = self.base_dir / "current", self.base_dir / f".current-{os.getpid()}"
        new.unlink(missing_ok=True)
        new.symlink_to(self._files(self._read))
        new.replace(link)
        self._path = link

    def _files(self, version: str) -> Path:
        return self._directory / "versions" / version

    def _current(self) -> str:
        """Return the name of the current version. Raises AirflowException if there is none."""
        try:
            return (self._directory / "current").readlink().name
        except OSError as error:
            raise AirflowException(f"{self._directory} has no DAGs yet: run deploy_dags.yml ({error})") from error
