"""Whether certificates are fit for their use."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from certificates import airflow_certificate_problems, airflow_certificates_due
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Issued:
    """A certificate with its key, signed by another one or by itself."""

    def __init__(
        self, name: str, issuer: Issued | None = None, names: tuple[str, ...] = (), begin: int = -1, end: int = 90
    ) -> None:
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name((issuer or self).subject)
            .public_key(self.private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begin))
            .not_valid_after(now + timedelta(days=end))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        self.pem = builder.sign((issuer or self).private_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    @property
    def key(self) -> str:
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


CA = Issued("authority")
OTHER_CA = Issued("other authority")
BETWEEN = Issued("intermediate", CA)
NAMES = ("db1", "db1.example.com", "10.0.0.1", "2001:db8::1")
GOOD = Issued("db1", CA, NAMES)


def entry(issued: Issued, **changes: Any) -> dict[str, Any]:
    return {
        "variable": "redis_certificate",
        "names": list(NAMES),
        "certificate": issued.pem,
        "key": issued.key,
    } | changes


def findings(given: dict[str, Any], days: int = 30, ca: str = CA.pem) -> list[str]:
    return airflow_certificate_problems([given], {"ca": ca, "days": days})


FINE = {
    "signed by the authority": entry(GOOD),
    "other spelling": entry(GOOD, names=["DB1", "2001:db8:0::1"]),
    "wildcard": entry(Issued("x", CA, ("*.example.com",)), names=["a.example.com"]),
    "with its chain": entry(chained := Issued("db1", BETWEEN, NAMES), certificate=chained.pem + BETWEEN.pem),
    "no names wanted": entry(CA, names=[]),
}
PROBLEMS = {
    "empty": (entry(GOOD, certificate=""), "is no certificate in PEM"),
    "broken": (entry(GOOD, certificate=GOOD.pem[:200]), "is no certificate in PEM"),
    "expired": (entry(Issued("db1", CA, NAMES, begin=-9, end=-2)), r"expired on \d{4}-\d\d-\d\d"),
    "ends soon": (entry(Issued("db1", CA, NAMES, end=29)), r"ends on .*, in fewer than 30 days"),
    "not yet": (entry(Issued("db1", CA, NAMES, begin=2)), "is not valid before"),
    "other key": (entry(GOOD, key=CA.key), "does not belong to its private key"),
    "no key": (entry(GOOD, key=""), "does not belong to its private key"),
    "other names": (entry(GOOD, names=["db1", "db2", "10.0.0.2"]), "is not valid for db2, 10.0.0.2"),
    "wildcard for two labels": (
        entry(Issued("x", CA, ("*.example.com",)), names=["a.b.example.com"]),
        "is not valid for a.b.example.com",
    ),
    "other authority": (entry(Issued("db1", OTHER_CA, NAMES)), "is not signed by the site's authority"),
    "chain of others": (
        entry(GOOD, certificate=GOOD.pem + BETWEEN.pem),
        "has a chain whose certificates do not follow",
    ),
    "chain is missing": (entry(Issued("db1", BETWEEN, NAMES)), "is not signed by the site's authority"),
}


@pytest.mark.parametrize("given", FINE.values(), ids=FINE)
def test_these_are_fine(given: dict[str, Any]) -> None:
    assert findings(given) == []
    assert airflow_certificates_due([given], {"ca": CA.pem, "days": 30}) == []


@pytest.mark.parametrize(("given", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_each_problem_names_the_variable_and_the_remedy(given: dict[str, Any], message: str) -> None:
    (found,) = findings(given)
    with pytest.raises(AssertionError, match=f"redis_certificate: the certificate {message}.* Replace it"):
        raise AssertionError(found)
    assert airflow_certificates_due([given], {"ca": CA.pem, "days": 30}) == [given]


def test_without_an_authority_any_signature_will_do() -> None:
    assert findings(entry(Issued("db1", OTHER_CA, NAMES)), ca="") == []
    assert findings(entry(GOOD) | {"ca": ""}, ca=OTHER_CA.pem) == []


def test_no_message_contains_a_key() -> None:
    text = "\n".join(found for given, _ in PROBLEMS.values() for found in findings(given))
    assert "PRIVATE" not in text
    assert not any(given["key"] and given["key"].splitlines()[1] in text for given, _ in PROBLEMS.values())


@pytest.mark.parametrize(
    ("certificates", "options", "message"),
    [
        ("x", {}, "give a list, found str"),
        ([{}], {}, "has no"),
        (["x"], {}, "has no"),
        ([], [], "options must be a mapping"),
        ([], {"ca": 1}, "options must be a mapping"),
        ([], {"days": "x"}, "'days' must be a whole number"),
    ],
)
def test_other_shapes_are_refused(certificates: Any, options: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_certificates_due(certificates, options)
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_certificate_problems(certificates, options)
