"""Filter: what servers answer that is against a DAG bundle, and what to do. Its findings go to preflight_problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

Row = dict[str, Any]

# What Git says, and what to do.
_GIT_WORDS = (
    (r"Host key verification failed|No .* host key is known", "known_hosts of its server in airflow_bundle_servers has "
     "no key, or another one, of this host. Ask for it by ssh-keyscan, compare it with what the server's people say, "
     "and put it there."),
    (r"invalid format|error in libcrypto|incorrect passphrase", "deploy_key of its server in airflow_bundle_secrets is "
     "no private key that ssh can read. Give the whole file, without a passphrase."),
    (r"Permission denied \(|publickey", "the server refuses deploy_key in airflow_bundle_secrets. Add its public part "
     "there, for reading alone."),
    (r"Authentication failed|could not read (?:Username|Password)|HTTP Basic|error: 40[13]", "the server refuses the "
     "login. Give a token that may read in airflow_bundle_secrets, and its `user` in airflow_bundle_servers."),
    (r"certificate", "the server's certificate is signed by nobody whom the host trusts. Set ca_certificate of its "
     "server in airflow_bundle_servers, or base_ca_certificates."),
    (r"Could not resolve host", "the host does not know that name. Correct the URL, or its name server."),
    (r"timed out|no answer after|Connection refused|Failed to connect|unreachable", "the server does not answer. Open "
     "the way to it (with site_egress: firewall_egress_destinations), or correct the URL."),
    (r"not found|does not exist|does not appear to be a git repository", "there is no such repository, or the login "
     "may not see it. Correct the URL, or let the login in."),
)  # fmt: skip
_S3_WORDS = (
    (r"^(NoSuchBucket|404)$", "there is no such bucket. Make it, or correct `bucket`."),
    (r"^(AccessDenied|403|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch)$", "the store refuses the keys, or they "
     "may not list the bucket. Correct them in airflow_bundle_secrets, or give them s3:ListBucket and s3:GetObject."),
    (r"^301$|PermanentRedirect", "the bucket is in another region. Set `region` of its server."),
    (r"^SSL|certificate", "the store's certificate is signed by nobody whom the host trusts. Set ca_certificate of its "
     "server in airflow_bundle_servers, or base_ca_certificates."),
    (r"NoCredentials", "there are no keys. Add them to airflow_bundle_secrets, or give the host a role that may read."),
    (r"Endpoint|Connect|Timeout", "the store does not answer. Correct `endpoint`, or open the way to it."),
)  # fmt: skip


def _advice(words: Iterable[tuple[str, str]], said: str) -> str:
    return next((advice for pattern, advice in words if re.search(pattern, said)), "look at it there by hand.")


# What Git adds to the reason.
_ADDED = re.compile(
    r"Please make sure|and the repository exists|fatal: Could not read from remote|Cloning into|Warning:"
)


def _said(error: str) -> str:
    """Return the line of what a program said that tells the reason."""
    lines = [line.strip() for line in error.splitlines() if re.search(r"\w", line) and not _ADDED.match(line.strip())]
    return (lines or error.splitlines() or [""])[-1][:300]


def airflow_bundle_answers(answers: object, host: str) -> list[str]:
    """
    List what servers have answered that is against a bundle, one message each.

    Example: `__preflight_git_bundles.answers | airflow_bundle_answers(inventory_hostname)`. `answers` are those of the
    modules git_bundle_look and s3_bundle_look. What could not be asked yet is no problem.
    """
    rows = [as_mapping(row, "airflow_bundle_answers: an answer") for row in as_list(answers, "airflow_bundle_answers")]
    return [
        f"airflow_dag_bundles: {row['name']} cannot be fetched from {host}: {_answer(row)}"
        for row in rows
        if row.get("stage") not in ("", "unasked")
    ]


def _answer(row: Row) -> str:
    refs, error = as_list(row.get("refs") or [], "refs"), str(row.get("error") or "")
    words = _GIT_WORDS if "refs" in row else _S3_WORDS
    if row["stage"] == "ref":
        known = ", ".join(map(str, refs[:10])) or "none"
        return f"{_said(error) or 'the branch or tag is not there'}. There are {known}. Set branch, tag or commit."
    if row["stage"] in ("subdir", "prefix"):
        return f"{row['stage']} is not there, or empty. Correct it, or put the DAGs there."
    if row["stage"] == "submodule":
        if error == "relative":
            return (
                f"its submodule {refs[0]} has a relative URL, which leads nowhere from the copy that Airflow makes. "
                "Write the whole URL into .gitmodules."
            )
        return f"its submodule {refs[0]}: {_said(error)}: {_advice(words, error)}"
    return f"{_said(error)}: {_advice(words, error)}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"airflow_bundle_answers": airflow_bundle_answers}
