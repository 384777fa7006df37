"""
What a release is built from, which of them may go, and which changes of version are possible.

Upgrades within Airflow 3 may skip versions; Airflow 2 must be at 2.7 or newer before 3, and going back means
`airflow db downgrade` with the newer code first (Airflow: installation/upgrading.rst, upgrading_to_airflow3.rst).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.airflow_release import Version, parse_version, requirements
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_AIRFLOW_3 = (3, 0, 0)
_OLDEST_UPGRADABLE = (2, 7, 0)


def airflow_release_requirements(
    version: str, extras: list[str], extra_packages: list[str], providers: Mapping[str, Any]
) -> list[str]:
    """
    Return what a release is built from, as pip's requirements.

    Example: `'3.3.2' | airflow_release_requirements(['celery'], [], {'celery': 'apache-airflow-providers-celery'})`.
    `providers` are the packages of the extras, as the action airflow_release returns them.
    """
    return requirements(version, extras, extra_packages, providers)


def airflow_release_failure(result: Mapping[str, Any], host: str, version: str) -> str:
    """
    Say that a release cannot be installed on a host, why, and what to do.

    Example: `airflow_release_installation | airflow_release_failure('vm1', '3.3.2')`. `result` is that of the
    installation.
    """
    return (
        f"Airflow {version} cannot be installed on {host}; the present release is untouched.\n"
        "Check airflow_release_extras, airflow_release_extra_packages, airflow_release_constraints and "
        "airflow_release_package_index_url, and run the same command again. If it took longer than "
        "airflow_release_build_timeout, set that higher.\n"
        f"uv says:\n{result.get('stderr') or result.get('msg', '')}"
    )


def _change_problems(installed: tuple[str, Version], wanted: tuple[str, Version]) -> list[str]:
    (found, old), (version, new) = installed, wanted
    if old[:3] < _OLDEST_UPGRADABLE:
        return [
            f"site_airflow_version: Airflow {found} is installed, and Airflow 3 upgrades from 2.7 or newer only; "
            "upgrade it to 2.11 first, or choose a host without it"
        ]
    if old[:3] < _AIRFLOW_3:
        return [
            f"site_airflow_version: Airflow {found} is installed; this run does not take over an installation of "
            "Airflow 2. "
            "Migrate it by Airflow's guide 'Upgrading to Airflow 3', or choose a host without it"
        ]
    if new < old:
        return [
            f"site_airflow_version: {version} is older than the installed {found}. Set it to {found} or newer; "
            f"a downgrade needs `airflow db downgrade` with {found} first"
        ]
    return []


def airflow_version_problems(step: object) -> list[str]:
    """
    List why this change of Airflow's version is impossible; empty if it is possible.

    Example: `{'installed': '3.3.2', 'wanted': '3.2.2'} | airflow_version_problems` tells of a downgrade. `installed`
    is null or empty where there is no Airflow. Raises AnsibleFilterError on wrong types only.
    """
    given = as_mapping(step, "airflow_version_problems: the step")
    found, version = given.get("installed") or "", given.get("wanted")
    new, old = parse_version(version), parse_version(found)
    problems = []
    if new is None:
        problems.append(f"site_airflow_version must be a string that looks like 3.3.2, found {version!r}")
    elif new[:3] < _AIRFLOW_3:
        problems.append(f"site_airflow_version: Airstrip installs Airflow 3, found {version}; set it to 3.0.0 or newer")
    if found and old is None:
        problems.append(
            f"site_airflow_version: the installed Airflow calls itself {found!r}, which is no version; repair it first"
        )
    if new is None or old is None or problems:
        return problems
    return _change_problems((str(found), old), (str(version), new))


def airflow_releases_old(found: object) -> list[str]:
    """
    Name the releases of a host that may be removed.

    Example: `{'releases': [{'name': '3.3.2-b', 'complete': true}], 'used': ['3.2.2-a'], 'needed': [], 'keep': 2} |
    airflow_releases_old` is `[]`. `releases` are those that are there, the youngest first. What is `used` or `needed`
    stays; of the others, `keep` do, if they are complete. Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(found, "airflow_releases_old: what was found")
    try:
        keep, stays = int(given["keep"]), {str(name) for name in [*given["used"], *given["needed"]]}
        others = [release for release in given["releases"] if release["name"] not in stays]
        spared = [release["name"] for release in others if release["complete"]][: max(0, keep)]
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"airflow_releases_old: what was found is not as documented: {error!r}") from error
    return [release["name"] for release in others if release["name"] not in spared]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_release_failure": airflow_release_failure,
            "airflow_release_requirements": airflow_release_requirements,
            "airflow_releases_old": airflow_releases_old,
            "airflow_version_problems": airflow_version_problems,
        }
