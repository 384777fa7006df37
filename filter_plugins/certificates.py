"""Filters: whether certificates are fit for their use. No message contains a key."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def _entries(value: object, name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise AnsibleFilterError(f"{name}: give a list, found {type(value).__name__}")
    entries = []
    for entry in value:
        if not isinstance(entry, Mapping) or (missing := [key for key in keys if key not in entry]):
            raise AnsibleFilterError(
                f"{name}: an entry has no '{missing[0] if isinstance(entry, Mapping) else keys[0]}'"
            )
        entries.append({str(key): item for key, item in entry.items()})
    return entries


def _options(value: object, name: str) -> tuple[str, int]:
    if not isinstance(value, Mapping) or not isinstance(value.get("ca", ""), str):
        raise AnsibleFilterError(f"{name}: the options must be a mapping with the string 'ca'")
    try:
        return str(value.get("ca", "")), int(value.get("days", 0))
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{name}: 'days' must be a whole number") from error


def _chain(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _public_bytes(holder: Any) -> bytes:
    encoded: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _fits_key(certificate: x509.Certificate, key: str) -> bool:
    try:
        return _public_bytes(load_pem_private_key(key.encode(), None)) == _public_bytes(certificate)
    except (TypeError, ValueError):
        return False


def _known_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)} | addresses


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _covers(known: set[str], name: str) -> bool:
    """Tell whether a certificate is valid for a name; a wildcard stands for one label (RFC 9525, 6.3)."""
    return _canonical(name) in known or f"*.{_canonical(name).partition('.')[2]}" in known


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _chain_problem(chain: Sequence[x509.Certificate], ca: str) -> str:
    for certificate, issuer in itertools.pairwise(chain):
        if not _signed_by(certificate, issuer):
            return "has a chain whose certificates do not follow from each other"
    anchors = _chain(ca)
    if ca and not any(chain[-1] == anchor or _signed_by(chain[-1], anchor) for anchor in anchors):
        return "is not signed by the site's authority"
    return ""


def _findings(entry: Mapping[str, Any], ca: str, days: int) -> Iterator[str]:
    chain = _chain(str(entry["certificate"]))
    if not chain:
        yield "is no certificate in PEM"
        return
    now = datetime.now(UTC)
    ends = chain[0].not_valid_after_utc
    if ends < now:
        yield f"expired on {ends:%Y-%m-%d}"
    elif ends < now + timedelta(days=days):
        yield f"ends on {ends:%Y-%m-%d}, in fewer than {days} days"
    if chain[0].not_valid_before_utc > now:
        yield f"is not valid before {chain[0].not_valid_before_utc:%Y-%m-%d}"
    if not _fits_key(chain[0], str(entry["key"])):
        yield "does not belong to its private key"
    known = _known_names(chain[0])
    if missing := [str(name) for name in entry["names"] if not _covers(known, str(name))]:
        yield f"is not valid for {', '.join(missing)}"
    if problem := _chain_problem(chain, ca):
        yield problem


def airflow_certificates_due(certificates: object, options: object) -> list[dict[str, Any]]:
    """
    Return the entries whose certificate has to be issued: it is missing, ends soon, or does not fit its entry.

    Example: `[{'names': ['db1'], 'certificate': '', 'key': pem}] | airflow_certificates_due({'ca': pem, 'days': 30})`.
    Each entry has `names` (DNS names and IP addresses), `certificate` (PEM, with its chain) and `key` (PEM), and any
    other keys. `ca` is the authority's certificate (empty: any), `days` those that have to be left. Raises
    AnsibleFilterError on other shapes.
    """
    ca, days = _options(options, "airflow_certificates_due")
    entries = _entries(certificates, "airflow_certificates_due", ("names", "certificate", "key"))
    return [entry for entry in entries if any(_findings(entry, ca, days))]


def airflow_certificate_problems(certificates: object, options: object) -> list[str]:
    """
    Say what is wrong with certificates that a user brings; each message names the variable.

    Example: `[{'variable': 'x', 'names': ['a'], 'certificate': pem, 'key': pem}] | airflow_certificate_problems({})`.
    Entries and options are those of airflow_certificates_due; `ca` is also an entry's own key where it differs. Raises
    AnsibleFilterError on other shapes.
    """
    ca, days = _options(options, "airflow_certificate_problems")
    entries = _entries(certificates, "airflow_certificate_problems", ("variable", "names", "certificate", "key"))
    return [
        f"{entry['variable']}: the certificate {finding}. Replace it, or take the variable out."
        for entry in entries
        for finding in _findings(entry, str(entry.get("ca", ca)), days)
    ]


def airflow_with_certificates(entries: object, certificates: list[str], keys: list[str]) -> list[dict[str, Any]]:
    """
    Return entries with the certificate and the key (PEM) of each, which stand in its order in two lists.

    Example: `[{'name': 'redis-db1'}] | airflow_with_certificates([pem], [key])`. Raises AnsibleFilterError on other
    shapes and on lists of different lengths.
    """
    given = _entries(entries, "airflow_with_certificates", ())
    if not len(given) == len(certificates) == len(keys):
        raise AnsibleFilterError(f"airflow_with_certificates: there is not one certificate and key for {len(given)}")
    rows = zip(given, certificates, keys, strict=True)
    return [{**entry, "certificate": certificate, "key": key} for entry, certificate, key in rows]


def airflow_authority_problems(certificates: object, options: object) -> list[str]:
    """
    Say whether an authority whose key is not there would have to sign certificates.

    Example: `leaf_certificates | airflow_authority_problems({'ca': pem, 'key': '', 'days': 30})`. Entries, which also
    have `name`, and options are those of airflow_certificates_due; `key` is the authority's. Raises AnsibleFilterError
    on other shapes.
    """
    due = airflow_certificates_due(certificates, options)
    if not due or (isinstance(options, Mapping) and options.get("key")):
        return []
    return [
        "airflow_ca_key is empty, and the authority has to sign "
        f"{', '.join(str(entry.get('name')) for entry in due)}. Set it to the key of site_ca_certificate_file, or "
        "give these services certificates of your own."
    ]


def _alternative_name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def airflow_alternative_names(names: object) -> list[str]:
    """
    Return the names of a certificate as OpenSSL writes them: each with its kind.

    Example: `['db1', '10.0.0.1'] | airflow_alternative_names` gives `['DNS:db1', 'IP:10.0.0.1']`. Raises
    AnsibleFilterError unless it is given a list.
    """
    return [_alternative_name(str(name)) for name in as_list(names, "airflow_alternative_names: the names")]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "airflow_alternative_names": airflow_alternative_names,
            "airflow_certificates_due": airflow_certificates_due,
            "airflow_certificate_problems": airflow_certificate_problems,
            "airflow_authority_problems": airflow_authority_problems,
            "airflow_with_certificates": airflow_with_certificates,
        }
