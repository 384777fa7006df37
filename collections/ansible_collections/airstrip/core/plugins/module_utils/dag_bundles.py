"""
DAG bundles by type, and what Git and the S3 client read to reach their servers: for the controller and for hosts.

Airflow's own way to give a bundle a password is a connection. Its Git bundle then puts a token into the URL, which
everybody on the host can read in the list of processes, and which stays in the clone. So what is secret is a credential
of the unit here, and Git, ssh and botocore are told by files of their own how to ask for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

GIT = "airflow.providers.git.bundles.git.GitDagBundle"
S3 = "airflow.providers.amazon.aws.bundles.s3.S3DagBundle"
# Keys of a bundle by its type, beside `name`, `type`, `refresh_interval` and `team`.
KEYS = {
    "git": ("url", "branch", "tag", "commit", "subdir", "submodules", "prune", "sparse_dirs", "view_url"),
    "s3": ("server", "bucket", "prefix", "view_url"),
}
COMMON = ("name", "type", "refresh_interval", "team")
REFS = ("branch", "tag", "commit")
# Options of the modules that look at servers, for an entry of airflow_bundle_secrets. Of a list that is a secret as a
# whole, Ansible would hide names, too, wherever they stand in an answer.
SECRET_OPTIONS: Mapping[str, Any] = {
    "name": {"type": "str", "required": True},
    "deploy_key": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "access_key": {"type": "str", "no_log": False},
    "secret_key": {"type": "str", "no_log": True},
    "workers": {"type": "list", "elements": "str"},
}
# A connection without a secret: with it Airflow does not look for one at each task, and ssh reads our file.
_GIT_CONNECTION = "airstrip_git"
_SCP = re.compile(r"(?P<user>[^@/:]+@)?(?P<host>[^/:@]+):(?!//)(?P<path>.*)\Z")
_SSH_ALWAYS = {
    "BatchMode": "yes",
    "ConnectTimeout": "20",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
}

Row = Mapping[str, Any]


def is_typed(row: Row) -> bool:
    """Tell whether a bundle is ours, and not as Airflow's dag_bundle_config_list takes it."""
    return "type" in row


def ref(row: Row) -> str:
    """Return what a Git bundle follows: a branch, a tag or a commit."""
    return next((str(row[key]) for key in REFS if row.get(key)), "main")


def airflow_bundle(row: Row, servers: Iterable[Row] = ()) -> dict[str, Any]:
    """Return a bundle as Airflow takes it."""
    if not is_typed(row):
        return dict(row)
    kwargs = _git_options(row) if row["type"] == "git" else _s3_options(row, servers)
    kwargs |= {"refresh_interval": int(row["refresh_interval"])} if row.get("refresh_interval") else {}
    found = {"name": row["name"], "classpath": GIT if row["type"] == "git" else S3, "kwargs": kwargs}
    return found | ({"team_name": row["team"]} if row.get("team") else {})


def _git_options(row: Row) -> dict[str, Any]:
    options = {"git_conn_id": _GIT_CONNECTION, "repo_url": row["url"], "tracking_ref": ref(row)}
    names = {"prune": "prune_dotgit_folder", "view_url": "view_url_template"}
    for key in ("subdir", "submodules", "prune", "sparse_dirs", "view_url"):
        if row.get(key) is not None:
            options[names.get(key, key)] = row[key]
    return options


def _s3_options(row: Row, servers: Iterable[Row]) -> dict[str, Any]:
    # With its slash: "dags" alone would be "dags-of-others", too.
    prefix = f"{str(row['prefix']).strip('/')}/" if row.get("prefix") else ""
    # Else the user interface would ask for the bucket's region, by a login that API servers have not.
    endpoints = [
        str(server["endpoint"]) for server in servers if server["name"] == row["server"] and "endpoint" in server
    ]
    store = (endpoints or ["https://s3.amazonaws.com"])[0].rstrip("/")
    shown = row.get("view_url") or f"{store}/{row['bucket']}/{prefix}"
    options = {"aws_conn_id": f"airstrip_s3_{row['server']}", "bucket_name": row["bucket"], "view_url_template": shown}
    return options | ({"prefix": prefix} if prefix else {})


def is_ssh(url: str) -> bool:
    """Tell whether Git goes to a URL by ssh."""
    return url.startswith("ssh://") or bool(_SCP.match(url))


def server_of(url: str, servers: Iterable[Row]) -> Row | None:
    """Return the server whose URL is the longest that this one begins with."""
    found = [server for server in servers if server.get("url") and url.startswith(str(server["url"]))]
    return max(found, key=lambda server: len(str(server["url"])), default=None)


def environment(bundles: Iterable[Row], servers: Iterable[Row], directory: str, authorities: str) -> dict[str, str]:
    """Return the variables of all components that read bundles of ours; none without such bundles."""
    typed = [row for row in bundles if is_typed(row)]
    found = {}
    if any(row["type"] == "git" for row in typed):
        extra = {"ssh_config_file": f"{directory}/ssh_config", "strict_host_key_checking": "yes"}
        found[f"AIRFLOW_CONN_{_GIT_CONNECTION.upper()}"] = json.dumps({"conn_type": "git", "extra": extra})
        found["GIT_CONFIG_GLOBAL"] = f"{directory}/gitconfig"
    used = {row["server"] for row in typed if row["type"] == "s3"}
    for server in servers:
        if server["name"] in used:
            extra = _s3_extra(server, directory, authorities)
            found[f"AIRFLOW_CONN_AIRSTRIP_S3_{server['name'].upper()}"] = json.dumps(
                {"conn_type": "aws", "extra": extra}
            )
            found["AWS_CONFIG_FILE"] = f"{directory}/aws_config"
    return found


def _s3_extra(server: Row, directory: str, authorities: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"profile_name": f"airstrip-{server['name']}", "verify": authorities}
    if server.get("ca_certificate"):
        extra["verify"] = f"{directory}/ca-{server['name']}.crt"
    if server.get("endpoint"):
        # A bucket in the host name wants a name in DNS, and in the certificate.
        extra |= {"endpoint_url": server["endpoint"], "config_kwargs": {"s3": {"addressing_style": "path"}}}
    return extra


def files(servers: Iterable[Row], held: Iterable[str], directory: str) -> dict[str, str]:
    """Return what Git, ssh and botocore read, by the names of the files in `directory`; no secret is in them.

    `held` are the names of the servers that have a secret. Of S3, what has none is asked as the host's own role.
    """
    names = set(held)
    known = [{**server, "held": server["name"] in names} for server in servers]
    git = [server for server in known if server.get("url")]
    keys = "".join(str(server["known_hosts"]).strip() + "\n" for server in git if server.get("known_hosts"))
    found = {"gitconfig": _gitconfig(git, directory), "ssh_config": _ssh_config(git, directory), "known_hosts": keys}
    found["aws_config"] = _aws_config([server for server in known if not server.get("url")], directory)
    for server in known:
        if server.get("ca_certificate"):
            found[f"ca-{server['name']}.crt"] = str(server["ca_certificate"]).strip() + "\n"
    return found


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _gitconfig(servers: Iterable[Row], directory: str) -> str:
    lines = ["[core]", f"\tsshCommand = ssh -F {directory}/ssh_config"]
    for server in servers:
        url, name = str(server["url"]), server["name"]
        if is_ssh(url):
            # Each server has a key of its own, and ssh knows servers by the names of hosts alone.
            lines += [f"[url {_quoted(_alias_url(url, name))}]", f"\tinsteadOf = {_quoted(url)}"]
            continue
        if server["held"]:
            # The empty one takes out those of the system.
            lines += [f"[credential {_quoted(url)}]", '\thelper = ""']
            lines += [f"\thelper = {_quoted(f'{directory}/secret {name}')}"]
            lines += [f"\tusername = {_quoted(str(server.get('user') or 'oauth2'))}"]
        if server.get("ca_certificate"):
            lines += [f"[http {_quoted(url)}]", f"\tsslCAInfo = {_quoted(f'{directory}/ca-{name}.crt')}"]
    return "\n".join(lines) + "\n"


def _alias_url(url: str, name: str) -> str:
    if url.startswith("ssh://"):
        parts = urlsplit(url)
        user = f"{parts.username}@" if parts.username else ""
        return f"ssh://{user}airstrip-{name}{parts.path}"
    found = _SCP.match(url)
    return f"{found['user'] or ''}airstrip-{name}:{found['path']}" if found else url


def ssh_server(url: str) -> tuple[str, int]:
    """Return host and port of a URL that Git goes to by ssh."""
    if url.startswith("ssh://"):
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or 22
    found = _SCP.match(url)
    return (found["host"] if found else ""), 22


def _ssh_config(servers: Iterable[Row], directory: str) -> str:
    lines = []
    for server in servers:
        if is_ssh(str(server["url"])):
            host, port = ssh_server(str(server["url"]))
            lines += [f"Host airstrip-{server['name']}", f"    HostName {host}", f"    Port {port}"]
            if server["held"]:
                lines += [f"    IdentityFile ${{CREDENTIALS_DIRECTORY}}/bundle_{server['name']}"]
    lines += ["Host *", *(f"    {name} {value}" for name, value in _SSH_ALWAYS.items())]
    return "\n".join([*lines, f"    UserKnownHostsFile {directory}/known_hosts"]) + "\n"


def _aws_config(servers: Iterable[Row], directory: str) -> str:
    lines = []
    for server in servers:
        lines += [f"[profile airstrip-{server['name']}]", f"region = {server.get('region') or 'us-east-1'}"]
        if server["held"]:
            lines += [f"credential_process = {directory}/secret {server['name']}"]
    return "\n".join(lines) + "\n" if lines else ""


def secret_text(secret: Row) -> str:
    """Return a secret as who asks for it reads it: ssh a key, Git the answer to a question, botocore JSON."""
    if secret.get("deploy_key"):
        return str(secret["deploy_key"]).strip() + "\n"
    if secret.get("token"):
        return f"password={str(secret['token']).strip()}\n"
    keys = {"AccessKeyId": str(secret["access_key"]), "SecretAccessKey": str(secret["secret_key"])}
    return json.dumps({"Version": 1, **keys}) + "\n"
