"""Filter: what is wrong with site_remote_logs, and with what answers there, before anything changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping

_HOW = "docs/logs.md, Task logs elsewhere"
_KEYS = frozenset(
    {
        *("url", "endpoint_url", "region", "connection", "machine_role"),
        *("access_key_id", "admin_access_key_id", "tenant_id", "client_id"),
        *("delete_local", "life_cycle", "keep_days", "keep_unfinished_days"),
    }
)
_FLAGS = ("delete_local", "life_cycle", "machine_role")
_DAYS = ("keep_days", "keep_unfinished_days")
# What a URL has to have, how it is written, and the provider with its code.
_PLACES = {
    "s3": (re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?"), "s3://BUCKET/PREFIX", "amazon"),
    "gs": (re.compile(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?"), "gs://BUCKET/PREFIX", "google"),
    "wasb": (re.compile(r"wasb://[a-z0-9][a-z0-9-]+(/.*)?"), "wasb://CONTAINER/PREFIX", "microsoft-azure"),
    "cloudwatch": (
        re.compile(r"cloudwatch://arn:[\w-]+:logs:[\w-]+:\d*:log-group:[^:*]+"),
        "cloudwatch://arn:aws:logs:REGION:ACCOUNT:log-group:NAME",
        "amazon",
    ),
}
_SHIPPED = frozenset({"amazon"})
# The days that CloudWatch knows.
_RETENTION = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
_CREDENTIALS_FILE = "AWS_SHARED_CREDENTIALS_FILE"
# What servers say, and the remedy.
_ANSWERS = (
    ("InvalidAccessKeyId|UnrecognizedClient", "Correct access_key_id"),
    ("SignatureDoesNotMatch|InvalidSignature", "Correct airflow_remote_logs_key"),
    ("NoSuchBucket|ResourceNotFound", "Make it there, or correct its name in url"),
    ("PermanentRedirect|AuthorizationHeaderMalformed|HTTP 301", "Correct region"),
    ("RequestTimeTooSkewed|RequestExpired", "Set the clocks of the host and of the server"),
    ("HTTP 400", "Look whether endpoint_url begins with https:// where the server speaks TLS"),
    ("", "Let the key write, read and list there, or name another one"),
)
_STAGES = {"write": "cannot write to", "read": "cannot read from", "list": "cannot list what is in"}


def _keys(given: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(set(given) - _KEYS):
        near = difflib.get_close_matches(name, sorted(_KEYS), n=1)
        guess = f"; did you mean {near[0]!r}?" if near else "."
        yield f"has the unknown key {name!r}{guess} Known keys are in {_HOW}."
    for name in _FLAGS:
        if not isinstance(given.get(name, False), bool):
            yield f"has {name}: {given[name]!r}. Set it to true or false."
    for name in _DAYS:
        days = given.get(name, 1)
        if isinstance(days, bool) or not isinstance(days, int) or days < 0:
            yield f"has {name}: {days!r}. Set it to a number of days, or to 0 for ever."


def _place(given: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a URL; it may have a password, and is not shown."""
    scheme = urlsplit(str(given.get("url", ""))).scheme
    if scheme not in _PLACES:
        known = ", ".join(written for _, written, _ in _PLACES.values())
        yield f"needs a url of one of these forms: {known}."
    elif not _PLACES[scheme][0].fullmatch(str(given["url"])):
        yield f"has a url that is not of the form {_PLACES[scheme][1]}. Correct it."
    server = urlsplit(str(given.get("endpoint_url", "")))
    if given.get("endpoint_url") and (server.scheme not in ("http", "https") or not server.hostname or server.username):
        yield "has an endpoint_url that is not of the form https://NAME:PORT. Correct it."
    elif server.scheme == "http" and server.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield f"has an endpoint_url by which logs go to {server.hostname} unencrypted. Write it with https://."
    if scheme == "cloudwatch" and given.get("life_cycle", True) and given.get("keep_days", 7) not in _RETENTION:
        yield f"has keep_days: {given['keep_days']}. CloudWatch knows {', '.join(map(str, _RETENTION))} alone."


def _login(given: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[str]:
    scheme = urlsplit(str(given.get("url", ""))).scheme
    is_ours = not (given.get("machine_role") or given.get("connection"))
    if is_ours and not keys["key"]:
        yield (
            "needs the variable airflow_remote_logs_key, which is not set, or is empty. Set it in a vault; or set "
            "machine_role: true in it, if the machines have a role of their own."
        )
    if is_ours and scheme in ("s3", "cloudwatch") and not given.get("access_key_id"):
        yield "has no access_key_id, which airflow_remote_logs_key is the secret of. Add it."
    if is_ours and scheme == "wasb" and not (given.get("tenant_id") and given.get("client_id")):
        yield "has no tenant_id or no client_id, whose certificate is airflow_remote_logs_key. Add both."
    if scheme == "wasb" and not given.get("connection") and not given.get("endpoint_url"):
        yield "has no endpoint_url. Add that of the storage account, as https://ACCOUNT.blob.core.windows.net."
    if given.get("admin_access_key_id") and not keys["admin_key"]:
        yield "has admin_access_key_id, and airflow_remote_logs_admin_key is not set, or is empty. Set it in a vault."


def _release(given: Mapping[str, Any], release: Mapping[str, Any]) -> Iterator[str]:
    scheme = urlsplit(str(given.get("url", ""))).scheme
    provider = _PLACES[scheme][2] if scheme in _PLACES else ""
    package = f"apache-airflow-providers-{provider}"
    packages = [re.split(r"[^A-Za-z0-9-]", str(name).replace("_", "-"))[0].lower() for name in release["packages"]]
    if provider and provider not in release["extras"] and package not in packages:
        remedy = f"Add {provider} to airflow_release_extras"
        if provider not in _SHIPPED:
            remedy = f"No lock has it: add {package} to airflow_release_extra_packages"
        yield f"needs the package {package}, which the release is made without. {remedy}."
    if _CREDENTIALS_FILE in release["environment"] and provider == "amazon":
        yield f"and {_CREDENTIALS_FILE} in airflow_environment exclude each other. Take the latter out."


def _answer(given: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    probe = facts["probe"]
    error = "".join(letter for letter in str(probe.get("error") or "") if letter.isprintable())[:150].strip()
    stage, url = str(probe.get("stage") or ""), str(given.get("url"))
    if not error:
        return
    server = given.get("endpoint_url") or "the server of Amazon"
    if stage == "connection":
        # A firewall that keeps the host in opens the way only later.
        if not facts["kept_in"]:
            yield f"{server} does not answer: {error}. Correct endpoint_url, or open the way to it."
    elif stage == "tls":
        yield (
            f"the certificate of {server} is not trusted: {error}. Add the authority that has signed it to "
            "base_ca_certificates, or correct the name in endpoint_url."
        )
    else:
        remedy = next(remedy for pattern, remedy in _ANSWERS if re.search(pattern, error))
        yield f"the key {given.get('access_key_id')} {_STAGES.get(stage, 'cannot use')} {url}: {error}. {remedy}."


def remote_logs_problems(store: object, facts: Mapping[str, Any]) -> list[str]:
    """
    List what is wrong with site_remote_logs, each with its remedy; an empty mapping is no place, and right.

    Example: `site_remote_logs | remote_logs_problems({...})`. `facts` has `keys`, whether there are `key` and
    `admin_key`, and `release`, its `extras`, `packages` and `environment`; or `probe`, what the module
    remote_logs_probe returned, and `kept_in`, whether a firewall lets the host out to what it knows alone.
    """
    given = as_mapping(store, "site_remote_logs")
    if not given:
        return []
    checks: Sequence[Iterator[str]] = (
        (_answer(given, facts),)
        if "probe" in facts
        else (_keys(given), _place(given), _login(given, facts["keys"]), _release(given, facts["release"]))
    )
    return [f"site_remote_logs{': ' if 'probe' in facts else ' '}{problem}" for check in checks for problem in check]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"remote_logs_problems": remote_logs_problems}
