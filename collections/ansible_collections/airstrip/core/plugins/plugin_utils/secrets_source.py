"""Where a site's own secrets come from, if not from its file: which have a place there, and what is read of it."""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible_collections.airstrip.core.plugins.plugin_utils.secret_stores import SOURCES, VAULTS, store_problems

VARIABLE = "site_secrets_source"
# Keys of what the site's own authority signs: they come and go with hosts.
_GENERATED = ("certificate_key_*",)
_LIBRARIES = {**dict.fromkeys(VAULTS, "hvac"), "aws_secrets_manager": "boto3", "aws_ssm": "boto3"}
_SECRET_PLACE = "belongs into a file of yours on the controller, which secret_file names, or the environment"  # noqa: S105
# The option of the collection's lookups for the secret of a login.
_SECRETS = {"approle": "secret_id", "ldap": "password", "token": "token", "userpass": "password"}
# The options of the collections' lookups, by our keys: of a server, and of who logs in there.
_VAULT = {"ca_file": "ca_cert", "namespace": "namespace", "url": "url"}
_USER = {"auth_mount_point": "mount_point", "role_id": "role_id", "username": "username"}
_CLOUD = {"endpoint_url": "endpoint_url", "profile_name": "profile", "region_name": "region"}
_CLOUDS = {"aws_secrets_manager": "amazon.aws.secretsmanager_secret", "aws_ssm": "amazon.aws.ssm_parameter"}
# What the lookups of Vault say of a path that is not there.
_MISSING = "Invalid or missing path"

Source = Mapping[str, Any]


def problems(source: Source) -> Iterator[str]:
    """Yield what is wrong with the declaration itself."""
    yield from store_problems(source, VARIABLE, SOURCES, _SECRET_PLACE)
    kind, library = source.get("type"), _LIBRARIES.get(str(source.get("type")))
    if library and importlib.util.find_spec(library) is None:
        yield (
            f"{VARIABLE}: the type {kind} needs the Python package {library} on the controller. Install it into "
            f"Ansible's environment: .venv/bin/uv pip install --constraints requirements/test.txt {library}."
        )
    if "path" in source and "{name}" not in str(source["path"]):
        yield f"{VARIABLE}.path is {source['path']!r}, the same for all secrets: write {{name}} for their name."
    if not isinstance(source.get("paths", {}), Mapping) or not isinstance(source.get("generated", []), list):
        yield f"{VARIABLE}: paths must be a mapping of names to paths, and generated a list of names."
    elif kind in SOURCES and not source.get("path") and not source.get("paths"):
        yield f"{VARIABLE} names no place. Set path to a pattern for all secrets, such as airflow/{{name}}, or paths."


def place(source: Source, name: str) -> tuple[str, str] | None:
    """Return path and field of a secret; None of one that is not from there."""
    # A declaration that means nothing is refused elsewhere, with all that is wrong with it.
    if not isinstance(source, Mapping) or source.get("type") not in SOURCES:
        return None
    named = source["paths"] if isinstance(source.get("paths"), Mapping) else {}
    if name not in named:
        own = source.get("generated")
        generated = (*_GENERATED, *map(str, own if isinstance(own, list) else ()))
        if not source.get("path") or any(fnmatch.fnmatchcase(name, pattern) for pattern in generated):
            return None
    path, _, field = str(named.get(name) or source["path"]).replace("{name}", name).partition("#")
    return path, field or str(source.get("field") or ("value" if source["type"] in VAULTS else ""))


def server(source: Source) -> str:
    """Say which source it is."""
    found = source.get("url") or source.get("endpoint_url") or source.get("region_name") or "the controller"
    return f"{source['type']} at {found}"


def described(source: Source, name: str) -> str:
    """Say where in its source a secret is looked for."""
    path, field = place(source, name) or ("", "")
    return f"{path}{' (' + field + ')' if field else ''}"


@contextmanager
def _kept(key: str) -> Iterator[Path]:
    """Hold a lock, and give the file of an answer in the directory that Ansible removes when the run ends.

    Each task of each host is a process of its own, which would ask again; the directory is for this user alone.
    """
    file = Path(C.DEFAULT_LOCAL_TMP) / f"secret-{hashlib.sha256(key.encode()).hexdigest()}"
    with file.with_suffix(".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield file


class Reader:
    """Reads secrets from a source, each path once in a run, after one login."""

    def __init__(self, source: Source, lookup: LookupBase, variables: Mapping[str, Any]) -> None:
        self.source, self.lookup, self.variables = source, lookup, variables

    def read(self, name: str) -> str | None:
        """Return a secret; None if its path or its field is not there.

        Raises AnsibleLookupError where the source cannot be read, or holds something else.
        """
        path, field = place(self.source, name) or ("", "")
        found = self._file(path) if self.source["type"] == "files" else self._once(path, lambda: self._ask(path))
        if found is None or not field:
            return None if found is None else str(found)
        try:
            fields = found if isinstance(found, Mapping) else json.loads(str(found))
            value = fields.get(field)
        except (AttributeError, ValueError):
            raise AnsibleLookupError(f"{VARIABLE}: {path} of {server(self.source)} is no mapping of fields.") from None
        return None if value is None else str(value)

    def _once(self, what: str, ask: Callable[[], Any]) -> Any:
        with _kept(json.dumps([dict(self.source), what], sort_keys=True, default=str)) as file:
            if file.exists():
                return json.loads(file.read_text(encoding="utf-8"))
            found = ask()
            # What is missing is looked for again.
            if found is not None:
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                    json.dump(found, stream)
            return found

    def _file(self, path: str) -> Any:
        file = Path(path).expanduser()
        return self._look_up("ansible.builtin.file", [str(file)], {}) if file.is_file() else None

    def _ask(self, path: str) -> Any:
        if self.source["type"] in _CLOUDS:
            options = self._options(_CLOUD) | {"on_missing": "skip"}
            return self._look_up(_CLOUDS[self.source["type"]], [path], options)
        engine = {"engine_mount_point": self.source.get("mount_point", "secret")}
        plugin = f"community.hashi_vault.vault_kv{self.source.get('kv_engine_version', 2)}_get"
        found = self._look_up(plugin, [path], self._options(_VAULT) | self._login() | engine)
        return found and found["secret"]

    def _options(self, names: Mapping[str, str]) -> dict[str, Any]:
        return {option: self.source[name] for name, option in names.items() if self.source.get(name)}

    def _login(self) -> dict[str, Any]:
        """Return the token of a login, as options; none where the lookup itself finds it in the environment."""
        method, secret = str(self.source.get("auth_type", "token")), {}
        if self.source.get("secret_file"):
            file = Path(str(self.source["secret_file"])).expanduser()
            try:
                secret = {_SECRETS[method]: file.read_text(encoding="utf-8").strip()}
            except OSError as error:
                raise AnsibleLookupError(f"{VARIABLE}.secret_file is {file}: {error.strerror}.") from None
        if method == "token":
            return secret
        options = self._options(_VAULT | _USER) | secret | {"auth_method": method}
        login = "community.hashi_vault.vault_login"
        return {"token": self._once("login", lambda: self._look_up(login, [], options)["auth"]["client_token"])}

    def _look_up(self, plugin: str, terms: list[str], options: Mapping[str, Any]) -> Any:
        look = lookup_loader.get(plugin, loader=self.lookup._loader, templar=self.lookup._templar)
        try:
            found = look.run(terms, variables=self.variables, **options)
        # The libraries have no common error, and a trace would show what they were given.
        except Exception as error:
            said = " ".join(str(getattr(error, "message", "") or error).split())
            if _MISSING in said:
                return None
            raise AnsibleLookupError(
                f"{VARIABLE}: {server(self.source)} gives no secrets: {said[:400]}. Correct variable or login."
            ) from None
        return found[0] if found else None
