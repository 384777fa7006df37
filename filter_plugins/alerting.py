"""
Alertmanager's configuration, from receivers and routes, and what is wrong with them.

Receivers are as Alertmanager has them: `name`, and lists as `email_configs` or `slack_configs`. Routes, too, with
`severity` and `owner` beside: a word, or a list of them. What is secret in a receiver goes to a file of its own where
the version of Alertmanager reads it from there.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.module_utils.addresses import server
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

_Version = tuple[int, ...]

SEVERITIES = ("critical", "warning", "info")
# Whose alerts are shown, and sent to nobody.
NOBODY = "nobody"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_LABELS = ("severity", "owner")
_OVERRIDES = ("enabled", "severity", "owner", "for")


@dataclass(frozen=True)
class _Kind:
    """One way to tell: what it needs, one of each, what of it is secret, and since when that may be in a file."""

    needs: tuple[str, ...] = ()
    secrets: Mapping[str, _Version] = field(default_factory=dict)
    since: _Version = (0, 0)
    usual: Mapping[str, Any] = field(default_factory=dict)


_TITLE, _TEXT = '{{ template "airstrip.subject" . }}', '{{ template "airstrip.text" . }}'
_KINDS = {
    "email_configs": _Kind(
        needs=("to",),
        secrets={"auth_password": (0, 25), "auth_secret": (0, 99)},
        usual={"headers": {"Subject": _TITLE}, "text": _TEXT, "html": ""},
    ),
    "slack_configs": _Kind(needs=("api_url",), secrets={"api_url": (0, 22)}, usual={"title": _TITLE, "text": _TEXT}),
    "pagerduty_configs": _Kind(
        needs=("routing_key", "service_key"),
        secrets={"routing_key": (0, 25), "service_key": (0, 25)},
        usual={"description": _TITLE},
    ),
    "msteams_configs": _Kind(
        needs=("webhook_url",),
        secrets={"webhook_url": (0, 28)},
        since=(0, 26),
        usual={"title": _TITLE, "text": _TEXT},
    ),
    "msteamsv2_configs": _Kind(
        needs=("webhook_url",),
        secrets={"webhook_url": (0, 28)},
        since=(0, 28),
        usual={"title": _TITLE, "text": _TEXT},
    ),
    "webhook_configs": _Kind(needs=("url",), secrets={"url": (0, 26)}),
    "opsgenie_configs": _Kind(needs=("api_key",), secrets={"api_key": (0, 24)}),
    "victorops_configs": _Kind(needs=("api_key",), secrets={"api_key": (0, 25)}),
    "telegram_configs": _Kind(needs=("bot_token",), secrets={"bot_token": (0, 26)}),
    "discord_configs": _Kind(needs=("webhook_url",), secrets={"webhook_url": (0, 28)}),
    "pushover_configs": _Kind(needs=("token",), secrets={"token": (0, 26), "user_key": (0, 26)}),
    "sns_configs": _Kind(needs=("topic_arn", "phone_number", "target_arn")),
    "webex_configs": _Kind(needs=("room_id",)),
    "wechat_configs": _Kind(),
}


def _version(settings: Mapping[str, Any]) -> _Version:
    return tuple(int(number) for number in str(settings["version"]).split("."))


def _ways(receiver: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Yield the kind, the number and the options of each way of a receiver."""
    for kind in sorted(set(receiver) - {"name"}):
        for number, options in enumerate(as_list(receiver[kind], f"alertmanager_receivers: {kind}")):
            yield kind, number, as_mapping(options, f"alertmanager_receivers: an entry of {kind}")


def _kept(settings: Mapping[str, Any]) -> Iterator[tuple[int, str, int, str, str]]:
    """Yield receiver, kind, number and option of each secret that goes to a file, and the file's path."""
    for index, receiver in enumerate(settings["receivers"]):
        for kind, number, options in _ways(receiver):
            for option, since in _KINDS.get(kind, _Kind()).secrets.items():
                if option in options and _version(settings) >= since:
                    name = f"{receiver['name']}.{kind}.{number}.{option}"
                    yield index, kind, number, option, f"{settings['directory']}/{name}"


def alertmanager_secret_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the content of each file of a secret by its path.

    >>> slack = {"name": "ops", "slack_configs": [{"api_url": "https://a/b"}]}
    >>> alertmanager_secret_files({"version": "0.28", "directory": "/s", "receivers": [slack], "smtp": {}})
    {'/s/ops.slack_configs.0.api_url': 'https://a/b'}
    """
    found = {
        path: str(settings["receivers"][index][kind][number][option])
        for index, kind, number, option, path in _kept(settings)
    }
    if settings["smtp"].get("password"):
        found[f"{settings['directory']}/smtp_password"] = str(settings["smtp"]["password"])
    return found


def _receiver(receiver: Mapping[str, Any], files: Mapping[tuple[str, int, str], str]) -> dict[str, Any]:
    """Return a receiver as Alertmanager has it, with our texts, and files in the place of secrets."""
    found: dict[str, Any] = {"name": receiver["name"]}
    for kind, number, options in _ways(receiver):
        way = {"send_resolved": True, **_KINDS.get(kind, _Kind()).usual}
        for option, value in options.items():
            file = files.get((kind, number, option))
            way |= {f"{option}_file": file} if file else {option: value}
        # Its own subject leaves the other headers; its own page does not come with our text.
        if kind == "email_configs" and "headers" in options:
            way["headers"] = {"Subject": _TITLE, **options["headers"]}
        found.setdefault(kind, []).append(way)
    return found


def _words(value: Any) -> list[str]:
    return [str(word) for word in value] if isinstance(value, (list, tuple)) else [str(value)]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _matcher(label: str, words: list[str]) -> str:
    if len(words) == 1:
        return f"{label}={_quoted(words[0])}"
    return f"{label}=~{_quoted('|'.join(map(re.escape, words)))}"


def _route(route: Mapping[str, Any], is_first: bool = True) -> dict[str, Any]:
    """Return a route as Alertmanager has it: without `severity`, for all but what nobody need look at."""
    matchers = [_matcher(label, _words(route[label])) for label in _LABELS if label in route]
    matchers += as_list(route.get("matchers", []), "alertmanager_routes: matchers")
    # What is within a route gets no more than that one does.
    if is_first and not any(str(matcher).startswith("severity") for matcher in matchers):
        matchers.append('severity!="info"')
    inner = {"routes": [_route(each, is_first=False) for each in route["routes"]]} if "routes" in route else {}
    return {key: value for key, value in route.items() if key not in _LABELS} | {"matchers": matchers} | inner


def _default(settings: Mapping[str, Any]) -> str:
    names = [receiver["name"] for receiver in settings["receivers"]]
    return str(settings["default_receiver"] or next(iter(names), NOBODY))


def _tree(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the routes: the watchdog's, those of the user, and the one for all others, and for those that go on."""
    interval = settings["watchdog"]["interval"]
    watchdog = {
        "receiver": settings["watchdog"]["receiver"] or NOBODY,
        "matchers": ['alertname="Watchdog"'],
        "group_wait": "0s",
        "group_interval": interval,
        "repeat_interval": interval,
    }
    info = {"receiver": NOBODY, "matchers": ['severity="info"']}
    # Not the root alone: that gets only what no route has had.
    routes = [watchdog, *map(_route, settings["routes"]), info, {"receiver": _default(settings)}]
    return {"receiver": _default(settings), **settings["grouping"], "routes": routes}


def _global(settings: Mapping[str, Any]) -> dict[str, Any]:
    smtp = settings["smtp"]
    named = {"smtp_smarthost": "smarthost", "smtp_from": "from", "smtp_auth_username": "username"}
    found = {name: smtp[key] for name, key in named.items() if smtp.get(key)}
    if found:
        found["smtp_require_tls"] = smtp["require_tls"]
    if smtp.get("password"):
        found["smtp_auth_password_file"] = f"{settings['directory']}/smtp_password"
    return {**found, **settings["global"]}


def alertmanager_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return Alertmanager's configuration.

    >>> smtp = {"smarthost": "mail:25", "from": "a@example.com", "require_tls": True}
    >>> config = alertmanager_config({
    ...     "version": "0.28", "directory": "/s", "templates": [], "receivers": [], "routes": [], "smtp": smtp,
    ...     "default_receiver": "", "watchdog": {"receiver": "", "interval": "1m"}, "grouping": {}, "global": {},
    ...     "inhibit_rules": [],
    ... })
    >>> config["route"]["receiver"], config["receivers"], config["global"]["smtp_smarthost"]
    ('nobody', [{'name': 'nobody'}], 'mail:25')
    """
    files: dict[int, dict[tuple[str, int, str], str]] = {}
    for index, kind, number, option, path in _kept(settings):
        files.setdefault(index, {})[(kind, number, option)] = path
    receivers = [_receiver(receiver, files.get(index, {})) for index, receiver in enumerate(settings["receivers"])]
    return {
        "global": _global(settings),
        "templates": settings["templates"],
        "route": _tree(settings),
        "inhibit_rules": settings["inhibit_rules"],
        "receivers": [{"name": NOBODY}, *receivers],
    }


def alertmanager_problems(settings: Mapping[str, Any]) -> list[str]:
    """
    Return what is wrong with what was asked of Alertmanager, without a secret.

    >>> alertmanager_problems({"web_users": {}, "receivers": [], "routes": []})[0]
    'alertmanager_web_users is empty: without a user, every process on the host could post alerts and silence them.'
    """
    return [
        *_access_problems(settings),
        *_receiver_problems(settings),
        *_mail_problems(settings),
        *_route_problems(settings),
    ]


def alertmanager_servers(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the servers to which alerts go: `name` of a receiver, `host` and `port`, each once and in order.

    Of a URL, which may be a secret, nothing else. Those that Alertmanager knows by itself are not among them.

    >>> alertmanager_servers({"receivers": [{"name": "a", "webhook_configs": [{"url": "https://b.example/secret"}]}]})
    [{'name': 'a', 'host': 'b.example', 'port': 443}]
    """
    found: dict[tuple[str, str, int], None] = {}
    for receiver in settings["receivers"]:
        for kind, _, options in _ways(receiver):
            own = options.get("smarthost") or settings.get("smtp", {}).get("smarthost")
            urls = [options[name] for name in ("url", "api_url", "webhook_url") if _is_url(options.get(name))]
            urls += [f"smtp://{own}"] if kind == "email_configs" and own else []
            found |= {(str(receiver["name"]), *place): None for place in map(server, urls) if place}
    return [{"name": name, "host": host, "port": port} for name, host, port in found]


def _access_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings["web_users"]:
        yield (
            "alertmanager_web_users is empty: without a user, every process on the host could post alerts and "
            "silence them."
        )
    for name, digest in as_mapping(settings["web_users"], "alertmanager_web_users").items():
        if not _BCRYPT.fullmatch(str(digest)):
            yield (
                f"alertmanager_web_users: that of {name} is no bcrypt hash, which begins with $2b$ and has 60 letters; "
                "htpasswd -nBC 10 '' makes one."
            )
    if not settings.get("tls_enabled", False):
        for address in settings.get("listen_addresses", []):
            if not _is_loopback(address):
                yield (
                    f"alertmanager_listen_addresses has {address}, and alertmanager_tls_enabled is false: passwords "
                    "would go there in the clear."
                )
    peers = settings.get("peers", [])
    if peers and not settings.get("cluster_tls"):
        yield (
            "alertmanager_peers are set, and alertmanager_certificate, alertmanager_certificate_key or "
            "alertmanager_cluster_ca_certificate is not: anybody could silence alerts by the port of the cluster."
        )
    if peers and not settings.get("cluster_address"):
        yield "alertmanager_peers are set, and alertmanager_cluster_address is not: set it to this host's address."


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _receiver_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for receiver in settings["receivers"]:
        name = str(as_mapping(receiver, "alertmanager_receivers: an entry").get("name", ""))
        if not _NAME.fullmatch(name):
            yield (
                f"alertmanager_receivers: the name {name!r}; it has letters, digits and _.- of ASCII, and begins with "
                "one of the first two."
            )
        if name == NOBODY:
            yield f"alertmanager_receivers: {NOBODY} is the name of the receiver to which nothing is sent."
        if name in seen:
            yield f"alertmanager_receivers: two of the name {name}."
        seen.add(name)
        if not any(_ways(receiver)):
            yield f"alertmanager_receivers: {name} has no address: add email_configs, for instance."
        yield from (f"alertmanager_receivers: {name}: {text}" for text in _way_problems(receiver, _version(settings)))


def _way_problems(receiver: Mapping[str, Any], version: _Version) -> Iterator[str]:
    for kind, _, options in _ways(receiver):
        if kind not in _KINDS:
            yield f"there is nothing of the name {kind}; there are {', '.join(sorted(_KINDS))}."
            continue
        known = _KINDS[kind]
        if version < known.since:
            yield (
                f"{kind} came with Alertmanager {'.'.join(map(str, known.since))}, and this host's system has "
                f"{'.'.join(map(str, version))}: take Debian 13, or webhook_configs with the URL of a flow or a relay "
                "that makes a message of Alertmanager's JSON."
            )
        given = {option.removesuffix("_file") for option, value in options.items() if value}
        if known.needs and not given & set(known.needs):
            yield f"{kind} without {' or '.join(known.needs)}."
        for option in ("url", "api_url", "webhook_url"):
            if option in options and not _is_url(options[option]):
                # It may be a secret, so it is not told.
                yield f"the {option} in {kind} does not begin with https:// or http:// and the name of a host."


def _is_url(value: Any) -> bool:
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _mail_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    smtp = settings.get("smtp", {})
    ways = [
        (receiver.get("name"), options)
        for receiver in settings["receivers"]
        for kind, _, options in _ways(receiver)
        if kind == "email_configs"
    ]
    for name, options in ways:
        for option, key in (("smarthost", "smarthost"), ("from", "from")):
            if not (options.get(option) or smtp.get(key) or settings.get("global", {}).get(f"smtp_{key}")):
                yield f"alertmanager_receivers: {name} is to get mail, and alertmanager_smtp_{key} is empty."
    if smtp.get("smarthost") and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}", str(smtp["smarthost"])):
        yield f"alertmanager_smtp_smarthost is {smtp['smarthost']}; it is a host and a port, as mail.example.com:587."
    if bool(smtp.get("username")) != bool(smtp.get("password")):
        yield "alertmanager_smtp_username and alertmanager_smtp_password are set both, or none of them."


def _route_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    known = {NOBODY, *(str(receiver.get("name")) for receiver in settings["receivers"])}
    for variable, name in (
        ("alertmanager_default_receiver", settings.get("default_receiver", "")),
        ("alertmanager_watchdog_receiver", settings.get("watchdog", {}).get("receiver", "")),
    ):
        if name and name not in known:
            yield f"{variable} is {name}, which no entry of alertmanager_receivers is called."
    for route in settings["routes"]:
        yield from (f"alertmanager_routes: {text}" for text in _problems_of_route(route, known))
    durations = {
        f"alertmanager_{key}": value for key, value in settings.get("grouping", {}).items() if key != "group_by"
    }
    durations["alertmanager_watchdog_interval"] = settings.get("watchdog", {}).get("interval", "1m")
    for variable, value in durations.items():
        if not _DURATION.fullmatch(str(value)):
            yield f"{variable} is {value}; it is a time as 30s, 5m or 4h."


def _problems_of_route(route: Any, known: set[str]) -> Iterator[str]:
    route = as_mapping(route, "alertmanager_routes: an entry")
    receiver = route.get("receiver")
    if receiver is None and not route.get("routes"):
        yield "an entry without receiver."
    elif receiver is not None and receiver not in known:
        yield f"the receiver {receiver}, which no entry of alertmanager_receivers is called."
    for severity in _words(route.get("severity", [])):
        if severity not in SEVERITIES:
            yield f"the severity {severity}; there are {', '.join(SEVERITIES)}."
    for inner in route.get("routes", []):
        yield from _problems_of_route(inner, known)


def prometheus_alert_problems(alerts: Mapping[str, Any], rules: list[str]) -> list[str]:
    """
    Return what is wrong with the changes of alerts, by the texts of the templates that have these alerts.

    >>> prometheus_alert_problems({"Slow": {"severity": "page"}}, ["call rule('Slow', code='slow')"])
    ['prometheus_alerts: Slow: the severity page; there are critical, warning, info.']
    """
    known = {name for text in rules for name in re.findall(r"\brule\('(\w+)'", text)}
    found = []
    for name, given in as_mapping(alerts, "prometheus_alerts").items():
        if name not in known:
            found.append(f"prometheus_alerts: there is no alert {name}; there are {', '.join(sorted(known))}.")
        changes = as_mapping(given, f"prometheus_alerts: {name}")
        found += [
            f"prometheus_alerts: {name}: there is no {key}; there are {', '.join(_OVERRIDES)}."
            for key in changes
            if key not in _OVERRIDES
        ]
        if changes.get("severity", "info") not in SEVERITIES:
            found.append(
                f"prometheus_alerts: {name}: the severity {changes['severity']}; there are {', '.join(SEVERITIES)}."
            )
        if not _DURATION.fullmatch(str(changes.get("for", "1m"))):
            found.append(f"prometheus_alerts: {name}: for is {changes['for']}; it is a time as 30s, 5m or 4h.")
    return found


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {
            "alertmanager_config": alertmanager_config,
            "alertmanager_problems": alertmanager_problems,
            "alertmanager_secret_files": alertmanager_secret_files,
            "alertmanager_servers": alertmanager_servers,
            "prometheus_alert_problems": prometheus_alert_problems,
        }
