"""Filters of how people log in: what is wrong with the variables, the settings of Flask-AppBuilder, and packages."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from identity import identity_packages, identity_problems, identity_settings

WELL_KNOWN = "/.well-known/openid-configuration"
LDAP = {
    "servers": ["ldaps://ldap.example.com"],
    "bind_user": "cn=airflow,dc=example,dc=com",
    "search_base": "ou=people,dc=example,dc=com",
    "roles": {"cn=admins,dc=example,dc=com": ["Admin"]},
}
CORP = {
    "name": "corp",
    "client_id": "airflow",
    "metadata_url": f"https://idp.example.com{WELL_KNOWN}",
    "roles": {"admins": ["Admin"]},
}
PEOPLE: dict[str, Any] = {
    "here": True,
    "ldap": {},
    "oauth": [],
    "role": "Public",
    "roles": ["Admin", "Op", "Public", "Analyst"],
    "secrets": ["corp"],
    "config": "",
    "python": "/usr/bin/python3",
    "packages": [],
    "seen": {},
}
SEEN = {
    "url": "ldaps://ldap.example.com",
    "stage": "search",
    "error": "",
    "groups": {"cn=admins,dc=example,dc=com": "x"},
}
METADATA = {
    "issuer": "https://idp.example.com",
    "authorization_endpoint": "https://idp.example.com/authorize",
    "token_endpoint": "https://idp.example.com/token",
    "jwks_uri": "https://idp.example.com/keys",
}
ASKED = {"name": "corp", "url": CORP["metadata_url"], "error": "", "metadata": METADATA}


def problems(**more: Any) -> list[str]:
    return identity_problems(PEOPLE | more)


def ldap(**more: Any) -> list[str]:
    return problems(ldap=LDAP | more)


def oauth(**more: Any) -> list[str]:
    return problems(oauth=[CORP | more])


def test_what_is_right_is_not_refused() -> None:
    assert problems() == []
    assert problems(ldap=LDAP, seen={"ldap": [SEEN], "oauth": []}) == []
    assert problems(oauth=[CORP], seen={"ldap": [], "oauth": [ASKED]}) == []
    assert ldap(servers=["ldap://ldap.example.com"], start_tls=True) == []
    assert ldap(servers=["ldap://127.0.0.1:389"]) == []
    assert ldap(bind_user="airflow@example.com", user_filter="(&(objectClass=person)(mail=*))") == []
    assert ldap(roles={r"cn=Ad\, min's,ou=a b, dc=example,dc=com": ["Analyst"]}) == []
    assert problems(ldap=LDAP | {"roles": {}}, role="Op") == []


def test_hosts_without_an_api_server_are_not_asked() -> None:
    assert identity_problems(PEOPLE | {"here": False, "ldap": {"a": 1}}) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": 1}, "site_ldap: there is no url. Known are servers, start_tls,"),
        ({"servers": []}, "site_ldap: servers is missing. Set it"),
        ({"servers": "ldaps://ldap.example.com"}, "site_ldap: servers is 'ldaps://ldap.example.com'. Write a list."),
        ({"bind_user": ""}, "site_ldap: bind_user is missing"),
        ({"start_tls": "yes"}, "site_ldap: start_tls is 'yes'. Write a truth value"),
        ({"roles": ["Admin"]}, "site_ldap: roles is ['Admin']. Write a mapping."),
        ({"servers": ["https://ldap.example.com"]}, "site_ldap.servers: 'https://ldap.example.com' names no directory"),
        ({"servers": ["ldaps://"]}, "site_ldap.servers: 'ldaps://' names no directory"),
        ({"servers": ["ldap://ldap.example.com"]}, "passwords would go to ldap://ldap.example.com in the clear. Write"),
        ({"start_tls": True}, "site_ldap.start_tls is set, and ldaps://ldap.example.com speaks TLS from the start"),
        ({"bind_user": "airflow"}, "site_ldap.bind_user is 'airflow', which is no DN"),
        ({"search_base": "people@example"}, "site_ldap.search_base is 'people@example', which is no DN"),
        ({"user_filter": "objectClass=person"}, "site_ldap.user_filter is 'objectClass=person', which is no filter"),
        ({"user_filter": "(&(a=b)"}, "site_ldap.user_filter is '(&(a=b)', which is no filter"),
        ({"roles": {"admins": ["Admin"]}}, "site_ldap.roles: 'admins' is no DN of a group"),
        ({"roles": {"cn=a,dc=b": "Admin"}}, "site_ldap.roles: cn=a,dc=b has 'Admin'. Write a list of roles."),
        (
            {"roles": {"cn=a,dc=b": ["Boss"]}},
            "cn=a,dc=b has 'Boss', and there is no such role. Choose one of Admin, An",
        ),
        ({"roles": {}}, "site_ldap.roles is empty, and site_login_role is Public: nobody might do anything"),
    ],
)
def test_a_wrong_directory_is_refused(wrong: dict[str, Any], message: str) -> None:
    found = ldap(**wrong)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": 1}, "site_oauth_providers: corp: there is no url"),
        ({"metadata_url": ""}, "site_oauth_providers: corp: metadata_url is missing"),
        ({"name": "The Corp"}, "The Corp: the name stands in URLs"),
        ({"name": "other"}, "other has no secret. Give it in airflow_oauth_client_secrets"),
        ({"metadata_url": "http://idp.example.com/x"}, "metadata_url is 'http://idp.example.com/x'. Write it as https"),
        ({"scopes": ["email"]}, "scopes are without openid"),
        ({"email_domains": [".*"]}, "email_domains has '.*'"),
        ({"roles": {"a": ["Boss"]}}, "corp: roles: a has 'Boss', and there is no such role"),
        ({"roles": {}}, "corp: roles is empty, and site_login_role is Public"),
    ],
)
def test_a_wrong_provider_is_refused(wrong: dict[str, Any], message: str) -> None:
    assert any(message in problem for problem in oauth(**wrong)), oauth(**wrong)


def test_two_providers_have_people_of_their_own() -> None:
    found = problems(oauth=[CORP, CORP | {"name": "other"}], secrets=["corp", "other"])
    assert found == [
        "site_oauth_providers: two have the username_prefix '', so that people of both would be the same ones. Give "
        "each one of its own."
    ]
    assert problems(oauth=[CORP, CORP | {"name": "b", "username_prefix": "b/"}], secrets=["corp", "b"]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ldap": LDAP, "oauth": [CORP]}, "site_ldap and site_oauth_providers are both set"),
        ({"ldap": LDAP, "config": "A = 1\nAUTH_TYPE = AUTH_LDAP\n"}, "airflow_webserver_config sets AUTH_TYPE"),
        ({"ldap": LDAP, "role": "Boss"}, "site_login_role is 'Boss', and there is no such role"),
        ({"ldap": LDAP, "python": "/opt/python3.12"}, "site_ldap needs python-ldap, which the system has for"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any], message: str) -> None:
    assert any(message in problem for problem in problems(**wrong))


def test_another_python_has_its_own_python_ldap() -> None:
    assert problems(ldap=LDAP, python="/opt/python3.12", packages=["python-ldap==3.4.8"]) == []


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("connection", "does not answer: refused. Correct site_ldap.servers, or open the way"),
        ("tls", "cannot be trusted: refused. Give the certificate of its authority in base_ca_certificates"),
        ("login", "lets the bind user not in: refused. Correct site_ldap.bind_user and airflow_ldap_bind_password."),
        ("search", "cannot be searched: refused. Correct site_ldap.search_base"),
    ],
)
def test_what_a_directory_says_is_told(stage: str, message: str) -> None:
    seen = {"ldap": [SEEN | {"stage": stage, "error": "refused", "groups": {}}], "oauth": []}
    (found,) = problems(ldap=LDAP, seen=seen)
    assert found.startswith("site_ldap.servers: ldaps://ldap.example.com ")
    assert message in found


def test_a_group_that_is_not_there_is_told() -> None:
    (found,) = problems(ldap=LDAP, seen={"ldap": [SEEN | {"groups": {"cn=a,dc=b": ""}}], "oauth": []})
    assert found.startswith("site_ldap.roles: ldaps://ldap.example.com shows no group cn=a,dc=b to the bind user")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": "timed out"}, "does not answer with metadata: timed out. Correct metadata_url"),
        ({"metadata": {"a": 1}}, "has no issuer, and is no metadata of OpenID Connect"),
        ({"metadata": METADATA | {"issuer": "https://x.example"}}, "is that of the issuer https://x.example. Set"),
    ],
)
def test_what_a_provider_says_is_told(answer: dict[str, Any], message: str) -> None:
    (found,) = problems(oauth=[CORP], seen={"ldap": [], "oauth": [ASKED | answer]})
    assert message in found


def test_an_issuer_may_end_in_a_slash() -> None:
    answer = ASKED | {"metadata": METADATA | {"issuer": "https://idp.example.com/"}}
    assert problems(oauth=[CORP], seen={"ldap": [], "oauth": [answer]}) == []


def test_wrong_types_are_errors() -> None:
    with pytest.raises(AnsibleFilterError, match="site_ldap must be a mapping, found str"):
        problems(ldap="ldaps://ldap.example.com")
    with pytest.raises(AnsibleFilterError, match="each of site_oauth_providers must be a mapping, found str"):
        problems(oauth=["corp"])


def test_nothing_declared_makes_no_settings() -> None:
    assert identity_settings({}, [], "Public", "/ca") == {}


def test_no_value_can_leave_its_place_in_the_settings() -> None:
    evil = "x'\"\n\\{{ }}); import os #"
    found = identity_settings(LDAP | {"user_filter": evil, "roles": {evil: [evil]}}, [], evil, evil)
    assert ast.literal_eval(found["AUTH_LDAP_SEARCH_FILTER"]) == evil
    assert ast.literal_eval(found["AUTH_USER_REGISTRATION_ROLE"]) == evil
    provider = identity_settings({}, [CORP | {"name": evil, "client_id": evil}], "Public", "/ca")
    tree = ast.parse(provider["OAUTH_PROVIDERS"], mode="eval")
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called == {"with_secrets", "credential"}


def test_a_dn_is_compared_whatever_its_case_and_blanks() -> None:
    found = identity_settings(LDAP | {"roles": {"CN=It, OU = A b,DC=x": ["Op"]}}, [], "Public", "/ca")
    assert ast.literal_eval(found["AUTH_ROLES_MAPPING"]) == {"cn=it,ou=a b,dc=x": ["Op"]}


def test_an_address_is_of_a_domain_as_a_whole() -> None:
    found = identity_settings({}, [CORP | {"email_domains": ["example.com"]}], "Public", "/ca")
    (pattern,) = re.findall(r"'whitelist': \['(.*?)'\]", found["OAUTH_PROVIDERS"])
    # As Flask-AppBuilder does.
    pattern = ast.literal_eval(f"'{pattern}'") + "$"
    assert re.search(pattern, "ada@example.com")
    assert not re.search(pattern, "ada@examplexcom")
    assert not re.search(pattern, "ada@badexample.com")


@pytest.mark.parametrize("people", ["ldap", "oauth"])
def test_the_file_of_the_settings_is_python(people: str) -> None:
    golden = PROJECT / "tests" / "unit" / "golden" / "airflow" / f"webserver_config.{people}"
    compile(golden.read_text(encoding="utf-8"), str(golden), "exec")


def test_packages_are_those_of_a_lock_with_their_hashes() -> None:
    lock = "# Made.\na==1 \\\n    --hash=sha256:01 \\\n    --hash=sha256:02\nb==2 \\\n    --hash=sha256:03\n"
    assert identity_packages(lock) == ["a==1 --hash=sha256:01 --hash=sha256:02", "b==2 --hash=sha256:03"]
