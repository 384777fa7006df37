"""Filters: servers of logs outside of the site, as the role log_shipper sends to them, and what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_BULK = "/_bulk"
# Where each kind takes lines, below its URL.
_PATHS = {"loki": "/loki/api/v1/push", "elasticsearch": _BULK, "opensearch": _BULK}
_KEYS = {"name", "type", "url", "user", "ca_certificate", "labels"}
_OWN_KEYS = {"loki": {"tenant"}, "elasticsearch": {"index"}, "opensearch": {"index"}}
# What a line has without labels.
_TAKEN = ("host", "unit", "level")
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_HERE = ("localhost", "127.0.0.1", "::1")
_VARIABLE = "site_log_targets"

# Names are those of units and files; the others stand in the configuration of syslog-ng as they are.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]/_~-]+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_INDEX = re.compile(r"[a-z0-9][a-z0-9_.-]{0,254}")
_LABEL = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def log_target_problems(targets: object, passwords: object) -> list[str]:
    """
    List what is wrong with site_log_targets, one message each, without a password.

    >>> log_target_problems([{"name": "a", "type": "loki", "url": "http://logs.example.com"}], {})
    ['site_log_targets: a: url leads to another host by http://, where all could listen. Set it to https://.']
    """
    found = [as_mapping(target, f"{_VARIABLE}: an entry") for target in as_list(targets, _VARIABLE)]
    held = as_mapping(passwords, "log_shipper_passwords")
    return [
        *_name_problems(found),
        *(f"{_VARIABLE}: {target.get('name')}: {text}" for target in found for text in _problems(target, held)),
        *_unused_passwords(found, held),
    ]


def _name_problems(targets: list[dict[str, Any]]) -> Iterator[str]:
    for name, times in Counter(str(target.get("name", "")) for target in targets).items():
        if times > 1:
            yield f"{_VARIABLE}: {times} are called {name}. Give each a name of its own."
        if not _NAME.fullmatch(name):
            yield f"{_VARIABLE}: the name {name!r}; it has small letters, digits and -, and begins with no -."


def _problems(target: Mapping[str, Any], passwords: Mapping[str, Any]) -> Iterator[str]:
    kind = str(target.get("type"))
    if kind not in _PATHS:
        yield f"type is {kind}. Set it to one of {', '.join(_PATHS)}."
        return
    allowed = _KEYS | _OWN_KEYS[kind]
    if unknown := sorted(set(target) - allowed):
        yield f"there is no {unknown[0]} for {kind}; there are {', '.join(sorted(allowed))}."
    yield from _url_problems(str(target.get("url")))
    yield from _login_problems(target, passwords)
    yield from _label_problems(target)
    if not _INDEX.fullmatch(str(target.get("index", "a"))):
        yield f"index is {target['index']!r}; it has small letters, digits and _.-."
    if not _WORD.fullmatch(str(target.get("tenant", "a"))):
        yield f"tenant is {target['tenant']!r}; it has letters, digits and _.-."
    if "BEGIN CERTIFICATE" not in str(target.get("ca_certificate", "BEGIN CERTIFICATE")):
        yield "ca_certificate is no certificate in PEM. Read its file, by lookup('ansible.builtin.file', ...)."


def _url_problems(url: str) -> Iterator[str]:
    try:
        host = urlsplit(url).hostname
        _ = urlsplit(url).port
    except ValueError:
        host = None
    if not host or not _URL.fullmatch(url):
        # It may have a password in it, so it is not told.
        yield "url is no https:// with the name of a host, and maybe a port and a path. A login is `user`."
    elif url.startswith("http:") and host not in _HERE:
        yield "url leads to another host by http://, where all could listen. Set it to https://."


def _login_problems(target: Mapping[str, Any], passwords: Mapping[str, Any]) -> Iterator[str]:
    user, password = str(target.get("user", "")), str(passwords.get(str(target.get("name"))) or "")
    if user and not password:
        name = f"log_shipper_passwords.{target.get('name')}"
        yield f"user is {user}, and log_shipper_passwords has no password for it. Set {name}."
    if ":" in user or re.search(r"[\x00-\x1f\x7f]", user + password):
        yield "user has a colon, or user or password a control character, as a line break is."


def _unused_passwords(targets: list[dict[str, Any]], passwords: Mapping[str, Any]) -> Iterator[str]:
    known = {str(target.get("name")) for target in targets if target.get("user")}
    for name in sorted(set(passwords) - known):
        yield f"log_shipper_passwords has one for {name}, which is no target with `user`. Remove it, or set `user`."


def _label_problems(target: Mapping[str, Any]) -> Iterator[str]:
    for name, value in as_mapping(target.get("labels", {}), f"{_VARIABLE}: labels").items():
        if not _LABEL.fullmatch(name) or name in _TAKEN:
            yield f"the label {name!r}; it has small letters, digits and _, and is none of {', '.join(_TAKEN)}."
        if not _WORD.fullmatch(str(value)):
            yield f"the label {name} is {value!r}; it has letters, digits and _.-."


def log_target_url(target: Mapping[str, Any]) -> str:
    """
    Return where a target takes lines.

    >>> log_target_url({"type": "loki", "url": "https://logs.example.com/"})
    'https://logs.example.com/loki/api/v1/push'
    """
    return str(target["url"]).rstrip("/") + _PATHS[target["type"]]


def log_target_authority(target: Mapping[str, Any], directory: str) -> str:
    """Return the file of the authorities by which a target is known: its own, or those of the system."""
    return f"{directory}/{target['name']}.crt" if target.get("ca_certificate") else _SYSTEM_AUTHORITIES


def log_target_files(
    targets: object, passwords: Mapping[str, Any], configs: Sequence[str], directory: str
) -> list[dict[str, Any]]:
    r"""
    Return the files of each target, as the module file_set takes them.

    `configs` has the configuration of each; its login, and its authority if it has one of its own, are added.

    >>> log_target_files([{"name": "a", "user": "b"}], {"a": "c"}, ["..."], "/d")[1]["content"]
    'user("b")\npassword("c")\n'
    """
    found: list[dict[str, Any]] = []
    for target, config in zip(as_list(targets, _VARIABLE), configs, strict=True):
        name = target["name"]
        found.append({"path": f"{directory}/{name}.conf", "content": config})
        login = (("user", target["user"]), ("password", passwords[name])) if target.get("user") else ()
        content = "".join(f"{key}({_quoted(str(value))})\n" for key, value in login)
        found.append({"path": f"{directory}/{name}.login", "content": content, "mode": "0600", "secret": True})
        if target.get("ca_certificate"):
            found.append({"path": f"{directory}/{name}.crt", "content": target["ca_certificate"].strip() + "\n"})
    return found


def _quoted(text: str) -> str:
    """Return a text as syslog-ng reads it; a backtick would begin the name of a variable."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "``") + '"'


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "log_target_authority": log_target_authority,
            "log_target_files": log_target_files,
            "log_target_problems": log_target_problems,
            "log_target_url": log_target_url,
        }
