"""
Whether secrets are fit for use, which ones a run would lose, and which ones hosts have. No message contains a secret.

Minimum lengths and their sources:
- password: 16 characters. NIST SP 800-63B-4, 3.1.1.2 wants 15 for a password that stands alone.
- key: 32 characters, better 64. RFC 7518, 3.2 wants 64 bytes for HS512, which Airflow uses with jwt_secret; but
  Airflow's documentation makes its keys with `openssl rand -hex 30` (60 characters), and 32 random ones are beyond
  guessing. RFC 2104, 3 discourages less than the hash's length, it does not forbid it.
- fernet: 32 bytes as 44 characters of URL-safe base64, by the Fernet specification; several for rotation, separated by
  commas (Airflow: security/secrets/fernet.rst).
- external: none. Who runs a server outside of the inventory has chosen its passwords.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.module_utils.held_secret import digest, held_secret
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_KINDS = ("fernet", "password", "key", "external")
_MINIMUM_LENGTHS = {"password": 16, "key": 32}
_MINIMUM_DISTINCT = 5
# 32 bytes: 43 characters and one of padding.
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=\Z")
_REMEDIES = {
    "fernet": "make one with `openssl rand -base64 32 | tr +/ -_`",
    "password": "make one with `openssl rand -hex 16`",
    "key": "make one with `openssl rand -base64 64 | tr -d '\\n'`",
    "external": "set it to the one that its server has",
}
# A secret that is made of nothing but these is one from an example.
_EXAMPLE_WORDS = re.findall(
    r"\w+",
    """
    changeme change replace please this that with your own the my not for use only default example sample test demo
    dummy placeholder password passwd passphrase passw pass pwd secret secrets key keys token jwt api fernet auth
    airflow apache admin administrator root user db database postgres postgresql redis valkey celery broker results
    backend webserver server scheduler worker very super long strong random insecure value string here me it to in
    production dev hunter qwerty letmein welcome
    """,
)
_EXAMPLE_PARTS = re.compile(r"change[-_ ]?me|replace[-_ ]?(?:me|this)|placeholder|example|\A<.*>\Z|\Ayour[-_ ]")
_HEXADECIMAL = re.compile(r"[0-9a-f]{16,}")
_REPEATED = re.compile(r"(.+?)\1+\Z", re.DOTALL)
# SHA-256 of keys that thousands of public docker-compose files for Airflow contain.
_PUBLISHED = frozenset(
    {
        "81886cc4d79074f6e946934d4e9e9d6a2ef320041045a0bd3c36ab6939df37e8",
        "a99b3ee2b8dcecb1f9e190f396dac654ba77100aabdf8abc67f7e999adcbdfb5",
    }
)


def _is_made_of_words(letters: str) -> bool:
    """Tell whether the letters are example words and nothing else; a regular expression could take for ever."""
    ends = {0}
    for start in range(len(letters)):
        if start in ends:
            ends |= {start + len(word) for word in _EXAMPLE_WORDS if letters.startswith(word, start)}
    return bool(letters) and len(letters) in ends


def _is_sequence(text: str) -> bool:
    """Tell whether most characters are the successor of the one before, as in 1234567890123456."""
    steps = sum(ord(second) - ord(first) == 1 for first, second in itertools.pairwise(text))
    return len(text) > 1 and steps * 4 >= (len(text) - 1) * 3


def _example(value: str) -> str:
    """Tell why a value is no random secret; empty if it may be one."""
    lowered = value.lower()
    letters = re.sub(r"[^a-z]", "", lowered)
    if hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest() in _PUBLISHED:
        return "is a key that public examples contain"
    # The letters of a long hexadecimal number may be "db" by chance.
    is_word = not _HEXADECIMAL.fullmatch(lowered) and _is_made_of_words(letters)
    if _EXAMPLE_PARTS.search(lowered) or is_word:
        return "is the word from an example"
    if len(set(value)) < _MINIMUM_DISTINCT or _REPEATED.match(value) or _is_sequence(value):
        return "is a repetition or a sequence, not random"
    return ""


def _fernet_key(key: str) -> str:
    if not _FERNET_KEY.match(key):
        return "is no Fernet key: 32 bytes, written as 44 characters of URL-safe base64"
    raw = base64.urlsafe_b64decode(key)
    return _example(key) or ("is a repetition, not random" if _REPEATED.match(raw.decode("latin-1")) else "")


def _fernet(value: str) -> str:
    keys = value.split(",")
    found = [problem for problem in map(_fernet_key, keys) if problem]
    return found[0] if found else "contains the same key twice" if len(set(keys)) < len(keys) else ""


def _problem(kind: str, value: object) -> str:
    if value is None or value == "":
        return "is not set"
    if not isinstance(value, str):
        return f"must be a string, found {type(value).__name__}; quote it"
    if re.search(r"[\x00-\x1f\x7f]", value) or value != value.strip():
        return "contains a newline, another control character, or spaces at an end"
    if kind == "external":
        return ""
    if kind == "fernet":
        return _fernet(value)
    problem = _example(value)
    minimum = _MINIMUM_LENGTHS[kind]
    if not problem and len(value) < minimum:
        problem = f"has {len(value)} characters; a {kind} needs at least {minimum}"
    return problem


def _role_secrets(roles: object) -> dict[str, dict[str, Any]]:
    """Return the passwords in `roles` (postgresql_roles) as secrets; a role without one gets a generated one."""
    if not isinstance(roles, Sequence) or isinstance(roles, str):
        raise AnsibleFilterError(f"postgresql_roles must be a list of mappings, found {type(roles).__name__}")
    given = [as_mapping(role, "postgresql_roles: each role") for role in roles]
    return {
        f"postgresql_roles[{role.get('name')}].password": {"kind": "password", "value": role["password"]}
        for role in given
        if "password" in role
    }


def _all_secrets(secrets: object, roles: object) -> dict[str, Any]:
    return {**as_mapping(secrets, "airflow_secret_problems: the secrets"), **_role_secrets(roles)}


def airflow_secret_problems(secrets: object, roles: object = ()) -> list[str]:
    """
    List what is wrong with secrets, by the names of their variables, and with the passwords of `roles`.

    Example: `{'airflow_jwt_secret': {'kind': 'key', 'value': 'changeme'}} | airflow_secret_problems`. Kinds are
    fernet, password, key, and external for the password of a server outside of the inventory. An empty one of those
    passes where `optional` is true, which the variable `optional_by` says. No message contains a value. Raises
    AnsibleFilterError on an unknown kind and on wrong types of the argument itself.
    """
    problems = []
    for name, secret in _all_secrets(secrets, roles).items():
        given = as_mapping(secret, f"airflow_secret_problems: {name}")
        kind = given.get("kind")
        if kind not in _KINDS:
            raise AnsibleFilterError(f"airflow_secret_problems: the kind of {name} must be one of {', '.join(_KINDS)}")
        if kind == "external" and given.get("optional") and given.get("value") == "":
            continue
        if problem := _problem(kind, given.get("value")):
            other = f"leave {name} out to have it generated"
            if kind == "external" and "optional_by" in given:
                other = f"{given['optional_by']} to true if it has none"
            problems.append(f"{name} {problem}; {_REMEDIES[kind]}, or {other}")
    return problems


def _by_host(facts: object, what: str) -> dict[str, dict[str, Any]]:
    return {host: as_mapping(said, f"{what}: {host}") for host, said in as_mapping(facts, f"{what}: the facts").items()}


def _missing_problems(facts: Mapping[str, Mapping[str, Any]], site: Mapping[str, Any]) -> list[str]:
    """Say which secrets would be made anew though a host has them, or what was encrypted with one."""
    missing = [name for name in site["missing"] if name not in site["wanted"]]
    holders = {host: {name for name in missing if name in said.get("secrets", ())} for host, said in facts.items()}
    if "airflow_fernet_key" in missing:
        databases = [host for host, said in facts.items() if said.get("schema")] + [site["external_schema"]]
        for database in filter(None, databases):
            holders.setdefault(database, set()).add("airflow_fernet_key")
    held = [name for name in missing if any(name in names for names in holders.values())]
    if not held:
        return []
    return [
        f"{', '.join(held)}: not in site_secrets_file, {site['file']}, but in use on "
        f"{', '.join(host for host, names in holders.items() if names)}. Bring that file back, or take what hosts have "
        "by playbooks/recover_secrets.yml. If new ones are meant, name them in preflight_new_secrets (docs/secrets.md)."
    ]


def _fernet_problems(facts: Mapping[str, Mapping[str, Any]], site: Mapping[str, Any]) -> list[str]:
    """Say where the key that encrypts now would be none of those that decrypt later."""
    if {"airflow_fernet_key"} & {*site["missing"], *site["wanted"]}:
        return []
    losing = []
    for host, said in facts.items():
        found = said.get("fernet_key") or {}
        kept = [digest(str(found.get("salt", "")), key) for key in str(site["fernet_key"]).split(",")]
        if found.get("digests") and found["digests"][0] not in kept:
            losing.append(host)
    if not losing:
        return []
    return [
        f"airflow_fernet_key does not have the key with which {', '.join(losing)} encrypts: what is in the metadata "
        "database could not be read any more. Put that key behind the new one, after a comma (docs/secrets.md, "
        '"Changing one"), or bring site_secrets_file back. If connections and variables may be lost, name '
        "airflow_fernet_key in preflight_new_secrets."
    ]


def _changed_problems(facts: Mapping[str, Mapping[str, Any]], site: Mapping[str, Any]) -> list[str]:
    """Say which secrets are others than those of the last run, and than those of what runs: that would be cut off."""
    changed: dict[str, list[str]] = {}
    for host, said in facts.items():
        noted, running = (said.get("record") or {}).get("secrets", {}), said.get("running_secrets") or {}
        for name, wanted in site["digests"].items():
            others = [held for held in running.get(name, ()) if held != wanted]
            if others and noted.get(name, wanted) != wanted and name not in (*site["missing"], *site["wanted"]):
                changed.setdefault(name, []).append(host)
    return [
        f"{name} has changed since the last run, and what runs on {', '.join(hosts)} has the old one: it would be cut "
        "off, and tasks fail, until all has restarted. Set the old one again; or stop the site by playbooks/stop.yml, "
        "and run site.yml then. To do without that, name it in preflight_new_secrets (docs/secrets.md, "
        '"Changing one").'
        for name, hosts in changed.items()
    ]


def airflow_secret_loss_problems(facts: object, site: object) -> list[str]:
    """
    Say which secrets a run would make anew, or exchange, to the loss of a site that is installed or at work.

    Example: `{'w1': {'secrets': ['airflow_jwt_secret']}} | airflow_secret_loss_problems({'missing':
    ['airflow_jwt_secret'], ...})`, where the facts are what the module site_host_facts returns. A secret that no host
    has is new, and none of these. No message contains a secret. Raises AnsibleFilterError on wrong types.
    """
    what = "airflow_secret_loss_problems"
    given, wanted = _by_host(facts, what), as_mapping(site, f"{what}: the site")
    for name in ("missing", "wanted"):
        if not isinstance(wanted.get(name), Sequence) or isinstance(wanted[name], str):
            raise AnsibleFilterError(f"{what}: {name} must be a list, found {type(wanted.get(name)).__name__}")
    return _missing_problems(given, wanted) + _fernet_problems(given, wanted) + _changed_problems(given, wanted)


def airflow_recovered_secrets(files: object, places: object) -> dict[str, str]:
    """
    Return the secrets that hosts have, by the names of their variables.

    Example: `{'w1': {'/etc/airflow/credentials/jwt_secret': 'abc'}} | airflow_recovered_secrets({'airflow_jwt_secret':
    {'path': '/etc/airflow/credentials/jwt_secret'}})`. Raises AnsibleFilterError, without the values, if hosts have
    different ones, and on wrong types.
    """
    what = "airflow_recovered_secrets"
    hosts = _by_host(files, what)
    found: dict[str, dict[str, list[str]]] = {}
    for name, entry in as_mapping(places, f"{what}: the places").items():
        place = as_mapping(entry, f"{what}: {name}")
        for host, contents in hosts.items():
            if place.get("is_held", True) and (value := held_secret(str(contents.get(place["path"], "")), place)):
                found.setdefault(name, {}).setdefault(value, []).append(host)
    for name, values in found.items():
        if len(values) > 1:
            raise AnsibleFilterError(
                f"{name}: {' has another one than '.join(', '.join(owners) for owners in values.values())}, as after a "
                "change that did not reach all hosts. Choose one by --limit, then run it again for the rest."
            )
    return {name: next(iter(values)) for name, values in found.items()}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_recovered_secrets": airflow_recovered_secrets,
            "airflow_secret_loss_problems": airflow_secret_loss_problems,
            "airflow_secret_problems": airflow_secret_problems,
        }
