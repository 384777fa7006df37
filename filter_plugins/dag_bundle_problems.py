"""Filter: what is wrong with DAG bundles as they are declared. Its findings go to preflight_problems."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils import dag_bundles
from ansible_collections.airstrip.core.plugins.module_utils.airflow_release import parse_version
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

Row = dict[str, Any]

# It becomes a directory, beside two of Airflow's own.
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
# It becomes part of a variable of the environment, and of the name of a credential.
_SERVER = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_TAKEN = ("dags-folder", "airstrip-smoke-test", "example_dags")
_SERVER_KEYS = ("name", "url", "user", "known_hosts", "ca_certificate", "endpoint", "region")
_KINDS = {"deploy_key": "ssh", "token": "https", "access_key": "s3"}
_SECRET_KEYS = ("name", "deploy_key", "token", "access_key", "secret_key", "workers")
_PROVIDERS = {"git": "git", "s3": "amazon"}
_TEAMS_SINCE = (3, 2)
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")


def airflow_bundle_problems(settings: object) -> list[str]:
    """
    List what is wrong with DAG bundles as they are declared, one message each; no secret is quoted.

    `settings` is a mapping with `bundles`, `servers` and `secrets` (the variables airflow_dag_bundles,
    airflow_bundle_servers and airflow_bundle_secrets), `workers` (names), `version` of Airflow, `multi_team` and
    `extras` (of the release). Raises AnsibleFilterError on wrong types.
    """
    given = as_mapping(settings, "airflow_bundle_problems: the settings")
    lists = {
        key: [as_mapping(row, f"each of airflow_{key}") for row in as_list(given[key], f"airflow_{key}")]
        for key in ("dag_bundles", "bundle_servers", "bundle_secrets")
    }
    bundles, servers, secrets = lists.values()
    return [
        *_names("airflow_dag_bundles", bundles, _TAKEN),
        *(problem for row in bundles for problem in _bundle(row, servers, given)),
        *_names("airflow_bundle_servers", servers, ()),
        *(problem for row in servers for problem in _server(row)),
        *_names("airflow_bundle_secrets", secrets, ()),
        *(problem for row in secrets for problem in _secret(row, servers, given)),
    ]


def _names(variable: str, rows: Iterable[Row], taken: Iterable[str]) -> Iterator[str]:
    counted = Counter([*taken, *(str(row.get("name", "")) for row in rows)])
    yield from (
        f"{variable}: the name {name!r} {'is one of ours' if name in taken else 'is there twice'}. Give each its own."
        for name, times in counted.items()
        if times > 1
    )


def _unknown(where: str, row: Row, known: Iterable[str]) -> Iterator[str]:
    names = list(known)
    for key in row:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"Did you mean `{near[0]}`?" if near else f"It has {', '.join(names)}."
            yield f"{where} has `{key}`, which it does not know. {hint}"


def _bundle(row: Row, servers: list[Row], given: Mapping[str, Any]) -> Iterator[str]:
    where = f"airflow_dag_bundles: {row.get('name') or 'a bundle without a name'}"
    if not _BUNDLE.match(str(row.get("name", ""))):
        yield f"{where}: the name becomes a directory. Use letters, digits, dots, - and _, a letter or digit first."
    yield from _team(where, row, given)
    if not dag_bundles.is_typed(row):
        if not row.get("classpath"):
            yield f"{where} has neither `type` nor `classpath`. Set `type` to git or s3, or `classpath` to a class."
        return
    if row["type"] not in dag_bundles.KEYS:
        yield f"{where} is of the type {row['type']!r}. Set it to git or s3, or give `classpath` in its place."
        return
    yield from _unknown(where, row, (*dag_bundles.COMMON, *dag_bundles.KEYS[row["type"]]))
    extra = _PROVIDERS[row["type"]]
    if extra not in given["extras"]:
        yield f"{where} needs the provider {extra}, which the release has not. Add {extra} to airflow_release_extras."
    yield from (_git if row["type"] == "git" else _s3)(where, row, servers)


def _team(where: str, row: Row, given: Mapping[str, Any]) -> Iterator[str]:
    if not (row.get("team") or row.get("team_name")):
        return
    if (parse_version(given["version"]) or ())[:2] < _TEAMS_SINCE:
        yield f"{where} has a team, which Airflow {given['version']} does not know. Take it out, or upgrade to 3.2."
    elif str(given["multi_team"]).lower() not in ("true", "1", "t"):
        yield (
            f"{where} has a team, and Airflow is to know none. Set core: {{multi_team: true}} in "
            "airflow_config_overrides, or take the team out."
        )


def _git(where: str, row: Row, servers: list[Row]) -> Iterator[str]:
    url = str(row.get("url") or "")
    refs = [key for key in dag_bundles.REFS if row.get(key)]
    if len(refs) > 1:
        yield f"{where} has {' and '.join(refs)}. Keep one of them."
    if row.get("subdir") and (str(row["subdir"]).startswith("/") or ".." in str(row["subdir"]).split("/")):
        yield f"{where}: subdir is {row['subdir']!r}. It is a path inside of the repository, as dags/team-a."
    if _PASSWORD.search(url):
        yield f"{where}: there is a password in its url, which all could read. Put it into airflow_bundle_secrets."
    elif dag_bundles.is_ssh(url):
        if not dag_bundles.server_of(url, servers):
            yield (
                f"{where} is reached by ssh, and no `url` in airflow_bundle_servers is the beginning of {url}. Add its "
                "server there, with known_hosts."
            )
    elif not url.startswith("https://"):
        yield f"{where}: its url is {url!r}. Write https://..., ssh://... or git@HOST:... in its place."


def _s3(where: str, row: Row, servers: list[Row]) -> Iterator[str]:
    stores = [str(server.get("name")) for server in servers if not server.get("url")]
    if not row.get("bucket"):
        yield f"{where} has no `bucket`. Name it."
    if row.get("server") not in stores:
        yield (
            f"{where}: server is {row.get('server')!r}, and the stores in airflow_bundle_servers are "
            f"{', '.join(stores) or 'none'}. Name one of them there and here."
        )


def _server(row: Row) -> Iterator[str]:
    where, url = f"airflow_bundle_servers: {row.get('name')}", str(row.get("url") or "")
    yield from _unknown(where, row, _SERVER_KEYS)
    if not _SERVER.match(str(row.get("name", ""))):
        yield f"{where}: use small letters, digits and _ for its name, and a letter first."
    if _PASSWORD.search(url + str(row.get("endpoint") or "")):
        yield f"{where}: there is a password in a URL. Put it into airflow_bundle_secrets."
    elif url and not dag_bundles.is_ssh(url) and not url.startswith("https://"):
        yield f"{where}: its url is {url!r}. Write https://..., ssh://... or git@HOST:."
    if dag_bundles.is_ssh(url) and not row.get("known_hosts"):
        yield f"{where} has no known_hosts, so anybody could be it. Give what ssh-keyscan prints, once compared."
    if row.get("endpoint") and not str(row["endpoint"]).startswith("https://"):
        yield f"{where}: endpoint is {row['endpoint']!r}, and what is loaded from there is run. Write https://..."


def _kind(row: Row) -> str:
    url = str(row.get("url") or "")
    return "s3" if not url else "ssh" if dag_bundles.is_ssh(url) else "https"


def _secret(row: Row, servers: list[Row], given: Mapping[str, Any]) -> Iterator[str]:
    where = f"airflow_bundle_secrets: {row.get('name')}"
    yield from _unknown(where, row, _SECRET_KEYS)
    server = next((server for server in servers if server.get("name") == row.get("name")), None)
    if server is None:
        yield f"{where} is the name of no server in airflow_bundle_servers. Give it the name of one."
        return
    kinds = [key for key in _KINDS if row.get(key)]
    wanted = next(key for key, kind in _KINDS.items() if kind == _kind(server))
    if kinds != [wanted] or (wanted == "access_key" and not row.get("secret_key")):
        needs = "access_key and secret_key" if wanted == "access_key" else wanted
        yield f"{where}: the server is reached by {_kind(server)}, which takes {needs}. Set that alone."
    # A command of Git's protocol is one line.
    if any("\n" in str(row.get(key) or "").strip() for key in ("token", "access_key", "secret_key")):
        yield f"{where}: a token or key has more than one line. Take the others out."
    for name in row.get("workers") or []:
        if name not in given["workers"]:
            yield (
                f"{where}: workers has {name!r}, and the site's workers are {', '.join(given['workers']) or 'none'}. "
                "Name those of site_workers."
            )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_bundle_problems": airflow_bundle_problems}
