"""
Whether secrets are fit for use, and which are still missing. No message contains a secret.

Minimum lengths and their sources:
- password: 16 characters. NIST SP 800-63B-4, 3.1.1.2 wants 15 for a password that stands alone.
- key: 32 characters, better 64. RFC 7518, 3.2 wants 64 bytes for HS512, which Airflow uses with jwt_secret; but
  Airflow's documentation makes its keys with `openssl rand -hex 30` (60 characters), and 32 random ones are beyond
  guessing. RFC 2104, 3 discourages less than the hash's length, it does not forbid it.
- fernet: 32 bytes as 44 characters of URL-safe base64, by the Fernet specification; several for rotation, separated by
  commas (Airflow: security/secrets/fernet.rst).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

_KINDS = ("fernet", "password", "key")
_MINIMUM_LENGTHS = {"password": 16, "key": 32}
_MINIMUM_DISTINCT = 5
# 32 bytes: 43 characters and one of padding.
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=\Z")
_REMEDIES = {
    "fernet": "make one with `openssl rand -base64 32 | tr +/ -_`",
    "password": "make one with `openssl rand -hex 16`",
    "key": "make one with `openssl rand -base64 64 | tr -d '\\n'`",
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
_REPEATED = re.compile(r"(.+?)\1+\Z", re.DOTALL)
# SHA-256 of keys that thousands of public docker-compose files for Airflow contain.
_PUBLISHED = frozenset(
    {
        "81886cc4d79074f6e946934d4e9e9d6a2ef320041045a0bd3c36ab6939df37e8",
        "a99b3ee2b8dcecb1f9e190f396dac654ba77100aabdf8abc67f7e999adcbdfb5",
    }
)


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{what} must be a mapping, found {type(value).__name__}")
    return {str(key): item for key, item in value.items()}


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
    if _EXAMPLE_PARTS.search(lowered) or _is_made_of_words(letters):
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
    given = [_mapping(role, "postgresql_roles: each role") for role in roles]
    return {
        f"postgresql_roles[{role.get('name')}].password": {"kind": "password", "value": role["password"]}
        for role in given
        if "password" in role
    }


def _all_secrets(secrets: object, roles: object) -> dict[str, Any]:
    return {**_mapping(secrets, "airflow_secret_problems: the secrets"), **_role_secrets(roles)}


def airflow_secret_problems(secrets: object, roles: object = ()) -> list[str]:
    """
    List what is wrong with secrets, by the names of their variables, and with the passwords of `roles`.

    Example: `{'airflow_jwt_secret': {'kind': 'key', 'value': 'changeme'}} | airflow_secret_problems`. Kinds are
    fernet, password and key. No message contains a value. Raises AnsibleFilterError on an unknown kind and on wrong
    types of the argument itself.
    """
    problems = []
    for name, secret in _all_secrets(secrets, roles).items():
        given = _mapping(secret, f"airflow_secret_problems: {name}")
        kind = given.get("kind")
        if kind not in _KINDS:
            raise AnsibleFilterError(f"airflow_secret_problems: the kind of {name} must be one of {', '.join(_KINDS)}")
        if problem := _problem(kind, given.get("value")):
            problems.append(f"{name} {problem}; {_REMEDIES[kind]}, or leave {name} out to have it generated")
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Name the filters of this file."""
        return {
            "airflow_secret_problems": airflow_secret_problems,
        }
