"""Whether certificates are fit for their use."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_certificates import Issued, issue
from ansible.errors import AnsibleFilterError
from certificates import (
    airflow_alternative_names,
    airflow_authority_problems,
    airflow_certificate_problems,
    airflow_certificates_due,
    airflow_with_certificates,
)

CA = issue("authority")
OTHER_CA = issue("other authority")
BETWEEN = issue("intermediate", CA)
NAMES = ("db1", "db1.example.com", "10.0.0.1", "2001:db8::1")
GOOD = issue("db1", CA, NAMES)


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
    "wildcard": entry(issue("x", CA, ("*.example.com",)), names=["a.example.com"]),
    "with its chain": entry(chained := issue("db1", BETWEEN, NAMES), certificate=chained.pem + BETWEEN.pem),
    "no names wanted": entry(CA, names=[]),
}
PROBLEMS = {
    "empty": (entry(GOOD, certificate=""), "is no certificate in PEM"),
    "broken": (entry(GOOD, certificate=GOOD.pem[:200]), "is no certificate in PEM"),
    "expired": (entry(issue("db1", CA, NAMES, days=(-9, -2))), r"expired on \d{4}-\d\d-\d\d"),
    "ends soon": (entry(issue("db1", CA, NAMES, days=(-1, 29))), r"ends on .*, in fewer than 30 days"),
    "not yet": (entry(issue("db1", CA, NAMES, days=(2, 90))), "is not valid before"),
    "other key": (entry(GOOD, key=CA.key), "does not belong to its private key"),
    "no key": (entry(GOOD, key=""), "does not belong to its private key"),
    "other names": (entry(GOOD, names=["db1", "db2", "10.0.0.2"]), "is not valid for db2, 10.0.0.2"),
    "wildcard for two labels": (
        entry(issue("x", CA, ("*.example.com",)), names=["a.b.example.com"]),
        "is not valid for a.b.example.com",
    ),
    "other authority": (entry(issue("db1", OTHER_CA, NAMES)), "is not signed by the site's authority"),
    "chain of others": (
        entry(GOOD, certificate=GOOD.pem + BETWEEN.pem),
        "has a chain whose certificates do not follow",
    ),
    "chain is missing": (entry(issue("db1", BETWEEN, NAMES)), "is not signed by the site's authority"),
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
    assert findings(entry(issue("db1", OTHER_CA, NAMES)), ca="") == []
    assert findings(entry(GOOD) | {"ca": ""}, ca=OTHER_CA.pem) == []


def test_an_authority_without_a_key_is_told_what_it_cannot_sign() -> None:
    leaf_certificates = [entry(GOOD, name="redis-db1"), entry(GOOD, name="redis-db2", certificate="")]
    assert airflow_authority_problems(leaf_certificates[:1], {"ca": CA.pem, "key": "", "days": 30}) == []
    assert airflow_authority_problems(leaf_certificates, {"ca": CA.pem, "key": CA.key, "days": 30}) == []
    (found,) = airflow_authority_problems(leaf_certificates, {"ca": CA.pem, "key": "", "days": 30})
    assert found.startswith("airflow_ca_key is empty, and the authority has to sign redis-db2. Set it")


def test_each_entry_gets_its_certificate_and_its_key() -> None:
    assert airflow_with_certificates([{"name": "a"}, {"name": "b"}], ["A", "B"], ["1", "2"]) == [
        {"name": "a", "certificate": "A", "key": "1"},
        {"name": "b", "certificate": "B", "key": "2"},
    ]
    with pytest.raises(AnsibleFilterError, match="not one certificate and key for 1"):
        airflow_with_certificates([{"name": "a"}], ["A"], [])


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


def test_names_are_written_with_their_kind() -> None:
    names = ["db1", "*.example.com", "10.0.0.1", "2001:db8::1", "10.example.com"]
    assert airflow_alternative_names(names) == [
        "DNS:db1", "DNS:*.example.com", "IP:10.0.0.1", "IP:2001:db8::1", "DNS:10.example.com"
    ]  # fmt: skip
    with pytest.raises(AnsibleFilterError, match="the names must be a list"):
        airflow_alternative_names("db1")
