"""Lookup of the secrets that an installation generates for itself."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.airstrip.core.plugins.plugin_utils.secrets_source import (
    VARIABLE,
    Reader,
    described,
    place,
    server,
)
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DOCUMENTATION = """
name: airflow_secret
author: Airstrip
short_description: A secret of this inventory, generated at its first use
description:
  - Returns the value of a name in the inventory's secrets file, on the controller.
  - A name that is not there is generated and added. It never changes afterwards.
  - The file has mode 0600. It is encrypted as a whole with Ansible Vault if a vault password is configured
    when it is written, and stays readable as long as that password is given.
  - Where its path is a link, the file that it leads to is written. Comments in it are lost.
  - What has a place in O(source) is read from there, and never generated or kept in the file.
  - In check mode, with no tags but V(validate) and V(preflight), and where O(persist) is false, a missing secret is
    generated but not kept.
options:
  _terms:
    description: Names of the secrets.
    required: true
  kind:
    description:
      - V(password) is 32 letters and digits (190 bits).
      - V(key) is 64 random bytes as URL-safe base64. RFC 7518, 3.2 asks for 64 bytes for HS512.
      - V(fernet) is 32 random bytes as URL-safe base64, as the Fernet specification defines a key.
      - V(private_key) is the private key of a certificate, ECDSA on the curve P-256, as PEM (PKCS 8).
    type: str
    choices: [password, key, fernet, private_key]
    default: password
  file:
    description: Path of the secrets file on the controller.
    type: str
    required: true
    vars:
      - name: airflow_secrets_file
  source:
    description:
      - Where secrets are kept instead, as the variable site_secrets_source has it; each path is asked once in a run.
      - A secret that is not there is an error; where O(persist) is false, it is generated and not kept, as the others.
    type: raw
    vars:
      - name: site_secrets_source
  persist:
    description: Whether a generated secret is written to the file.
    type: bool
    default: true
    vars:
      - name: airflow_secrets_persist
  value:
    description:
      - The value that is kept of a single name that is not there, instead of a generated one. It comes from an
        installation that is taken over, and an empty one is refused.
      - Another value in the file is an error, because something may be encrypted with it.
    type: str
  forget:
    description:
      - Whether the names are taken out of the file instead, because nothing uses them any more. Those that were there
        are returned in the place of values.
    type: bool
    default: false
"""

EXAMPLES = """
- name: Refer to a generated password
  ansible.builtin.set_fact:
    airflow_database_password: "{{ lookup('airflow_secret', 'airflow_database_password') }}"
"""

RETURN = """
_raw:
  description: The secrets' values, in the order of the names.
  type: list
  elements: str
"""

_ALPHABET = string.ascii_letters + string.digits
_HEAD = b"# Made by Airstrip. When a secret is added, the file is written anew: comments are lost.\n"


def generate(kind: str) -> str:
    """Return a new random secret of `kind`."""
    if kind == "fernet":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if kind == "key":
        return secrets.token_urlsafe(64)
    if kind == "private_key":
        key = ec.generate_private_key(ec.SECP256R1())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return "".join(secrets.choice(_ALPHABET) for _ in range(32))


def _only_looks(variables: Mapping[str, Any]) -> bool:
    """Tell whether the run changes nothing: in check mode, or when it only validates."""
    tags = set(variables.get("ansible_run_tags", ["all"]))
    return bool(variables.get("ansible_check_mode", False)) or tags <= {"preflight", "validate"}


def _unfinished(path: Path) -> Path:
    """Return where a new content of `path` is written before it takes its place."""
    return path.with_name(path.name + ".unfinished")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock beside `path`: hosts are templated in parallel processes, and two must not generate one name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Whoever wrote it was killed, because only who has the lock writes.
        _unfinished(path).unlink(missing_ok=True)
        yield


def read(path: Path, vault: VaultLib) -> dict[str, str]:
    """Return the secrets in `path`; none if there is no such file."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    if vault.is_encrypted(content):
        content = vault.decrypt(content)
    try:
        parsed = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        # The parser's own message shows the line, and with it a secret.
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise AnsibleLookupError(f"site_secrets_file: {path} is no valid YAML, line {line}.") from None
    if not isinstance(parsed, dict):
        raise AnsibleLookupError(f"site_secrets_file: {path} is not a YAML mapping of names to secrets.")
    return {str(name): str(value) for name, value in parsed.items()}


def write(path: Path, values: Mapping[str, str], vault: VaultLib) -> None:
    """Replace `path` by `values` in one step, so that an interrupted run leaves the old file or the new one."""
    content: bytes = _HEAD + yaml.safe_dump(dict(values), default_flow_style=False, explicit_start=True).encode()
    if vault.secrets:
        content = vault.encrypt(content, secret=vault.secrets[0][1], vault_id=vault.secrets[0][0])
    unfinished = _unfinished(path)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(path)


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup V(airflow_secret)."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the secrets named by `terms`. Raises AnsibleLookupError if the file cannot be read or written."""
        self.set_options(var_options=variables, direct=kwargs)
        # A variable that gives an option arrives as it was written, with its templates.
        path = Path(os.path.realpath(Path(self._templar.template(self.get_option("file"))).expanduser()))
        source = self._templar.template(self.get_option("source")) or {}
        keep = self.get_option("persist") and not _only_looks(variables or {})
        loader: DataLoader = self._loader
        vault = VaultLib(loader._vault.secrets)  # the loader has no public accessor for its vault secrets
        names = [str(term) for term in terms]
        if self.get_option("forget"):
            return self._forget(names, path, vault) if keep else []
        given = self.get_option("value")
        if given is not None and (given == "" or len(names) != 1):
            raise AnsibleLookupError(f"airflow_secret: a value that is to be kept belongs to one name, found {names}.")
        elsewhere = {name: self._read(name, source, variables or {}) for name in names if place(source, name)}
        own = [name for name in names if name not in elsewhere]
        try:
            values = elsewhere | dict(zip(own, self._values(own, path, vault, keep), strict=True))
        except OSError as error:
            raise AnsibleLookupError(f"site_secrets_file: {path}: {error.strerror}.") from error
        if given is not None and values[names[0]] != given:
            where = f"{VARIABLE}: {server(source)}" if elsewhere else f"site_secrets_file: {path}"
            raise AnsibleLookupError(f"{where} has another {names[0]} already. Remove it there if nothing uses it yet.")
        return [values[name] for name in names]

    def _read(self, name: str, source: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
        """Return a secret that is kept elsewhere."""
        found = Reader(source, self, variables).read(name)
        if found:
            return found
        # Preflight asks for all of them first, and says at once which ones are missing.
        if self.get_option("persist"):
            raise AnsibleLookupError(f"{VARIABLE}: {server(source)} does not have {name} at {described(source, name)}.")
        return generate(self.get_option("kind"))

    def _forget(self, names: Sequence[str], path: Path, vault: VaultLib) -> list[str]:
        with _locked(path):
            known = read(path, vault)
            gone = [name for name in names if name in known]
            if gone:
                write(path, {name: value for name, value in known.items() if name not in gone}, vault)
        return gone

    def _new(self) -> str:
        """Return what a name gets that is not in the file yet."""
        given = self.get_option("value")
        # Without the tags that Ansible hangs on its strings.
        return generate(self.get_option("kind")) if given is None else str.__str__(given)

    def _values(self, names: Sequence[str], path: Path, vault: VaultLib, keep: bool) -> list[str]:
        known = read(path, vault)
        missing = [name for name in names if name not in known]
        if keep and (missing or _unfinished(path).exists()):
            with _locked(path):
                known = read(path, vault)
                added = {name: self._new() for name in missing if name not in known}
                if added:
                    known |= added
                    write(path, known, vault)
                    Display().v(f"airflow_secret: added {', '.join(sorted(added))} in {path}")
        return [known.get(name) or self._new() for name in names]
