"""Filter: what is wrong with the variables of monitoring, before anything changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import (
    as_list,
    as_mapping,
    as_number,
    larger_than_disk,
)

Settings = Mapping[str, Any]

# Prometheus: docs/concepts/data_model.md. Names with `__` at their beginning are its own.
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_TARGET = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_LOCAL = re.compile(r"127\.[\d.]+|localhost|\[::1\]")
# What a rule has of itself: docs/configuration/recording_rules.md.
_RULE_KINDS = ("alert", "record")
_DATA = "/var/lib/prometheus/metrics2"


def monitoring_problems(settings: object) -> list[str]:
    """
    List what is wrong with the variables of monitoring, one message each.

    `settings` is a mapping with `endpoints` (prometheus_endpoints), `jobs` (names that are taken), `rule_files` (texts
    by path; null for one that is not there), `retention_mb`, `mounts` (of the facts) and `labels`
    (prometheus_external_labels). Raises AnsibleFilterError on other shapes.
    """
    given = as_mapping(settings, "monitoring_problems: the settings")
    checks = (_endpoints, _rule_files, _retention, _labels)
    return [problem for check in checks for problem in check(given)]


def _endpoints(given: Settings) -> Iterator[str]:
    taken = {str(job) for job in as_list(given["jobs"], "monitoring_problems: jobs")}
    for index, item in enumerate(as_list(given["endpoints"], "monitoring_problems: endpoints")):
        endpoint = item if isinstance(item, Mapping) else {}
        name = str(endpoint.get("name") or "")
        place = f"prometheus_endpoints: {name or f'entry {index + 1}'}"
        if not name or name in taken:
            yield f"{place} has {'no name' if not name else 'the name of another job'}. Give it a name of its own."
        taken.add(name)
        targets = endpoint.get("targets") or []
        if not isinstance(targets, Sequence) or isinstance(targets, str) or not targets:
            yield f"{place} has no targets. Set `targets` to a list of HOST:PORT."
            continue
        yield from _targets(place, endpoint, [str(target) for target in targets])
        labels = endpoint.get("labels")
        yield from _label_names(f"{place}: labels", labels if isinstance(labels, Mapping) else {})


def _targets(place: str, endpoint: Mapping[str, Any], targets: Sequence[str]) -> Iterator[str]:
    plain = endpoint.get("scheme", "https") == "http" and endpoint.get("plain_allowed") is not True
    for target in targets:
        found = _TARGET.fullmatch(target)
        if not found:
            # Whoever writes a URL may have written a password into it.
            shown = "a URL" if "://" in target else repr(target)
            yield f"{place} has the target {shown}. Write it as HOST:PORT; its path and scheme have keys of their own."
        elif plain and not _LOCAL.fullmatch(found["host"]):
            yield (
                f"{place} asks {target} without TLS, and anybody on the way could read and change what it says. "
                "Let it speak TLS, or set plain_allowed to true for it."
            )


def _rule_files(given: Settings) -> Iterator[str]:
    texts = as_mapping(given["rule_files"], "monitoring_problems: rule_files")
    names = [PurePosixPath(str(path)).name for path in texts]
    for path, text in texts.items():
        name = PurePosixPath(str(path)).name
        if text is None:
            yield f"prometheus_rule_files: {path} is not there. Take it out of the list, or put the file there."
        elif not name.endswith(".yml") or names.count(name) > 1:
            yield f"prometheus_rule_files: {path} needs a name of its own that ends in .yml. Rename it."
        elif fault := _fault_of_rules(str(text)):
            yield f"prometheus_rule_files: {path} has no rules that Prometheus would read: {fault}. Correct the file."


def _fault_of_rules(text: str) -> str:
    """Return what is wrong with a file of rules as far as YAML can tell; promtool looks at expressions on the host."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return f"it is no YAML, line {mark.line + 1}" if mark else "it is no YAML"
    groups = content.get("groups") if isinstance(content, Mapping) else None
    if not isinstance(groups, list) or not groups:
        return "it has no list 'groups'"
    for group in groups:
        rules = group.get("rules") if isinstance(group, Mapping) and group.get("name") else None
        if not isinstance(rules, list):
            return "a group has no 'name' or no list 'rules'"
        for rule in rules:
            kinds = [kind for kind in _RULE_KINDS if isinstance(rule, Mapping) and rule.get(kind)]
            if len(kinds) != 1 or not isinstance(rule.get("expr"), str | int | float):
                return f"a rule of {group['name']!r} needs an 'expr', and either 'alert' or 'record'"
    return ""


def _retention(given: Settings) -> Iterator[str]:
    wanted = as_number(given["retention_mb"], "monitoring_problems: retention_mb")
    mounts = as_list(given["mounts"], "monitoring_problems: mounts")
    yield from larger_than_disk(wanted, mounts, _DATA, ("prometheus_retention_mb", "samples"))


def _labels(given: Settings) -> Iterator[str]:
    labels = as_mapping(given["labels"], "monitoring_problems: labels")
    yield from _label_names("prometheus_external_labels", labels)


def _label_names(place: str, labels: Mapping[Any, Any]) -> Iterator[str]:
    for name in labels:
        if not _LABEL.fullmatch(str(name)):
            yield (
                f"{place} has the label {str(name)!r}. Prometheus wants letters, digits and underscores, no digit and "
                "no two underscores first. Rename it."
            )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"monitoring_problems": monitoring_problems}
