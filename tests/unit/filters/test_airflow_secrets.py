"""Secrets: what is refused, and that no message tells a secret."""

import base64
import hmac
import re
import secrets
from typing import Any

import pytest
from airflow_secrets import airflow_recovered_secrets, airflow_secret_loss_problems, airflow_secret_problems
from ansible.errors import AnsibleFilterError
from hypothesis import example, given
from hypothesis import strategies as st

FERNET = "zX3vQ0cN1n8kq0d0Lr8yF7t2sGmJwB5hKpUeVxAaTio="
OTHER_FERNET = "Qm7c1h0L5e2Zs9TgWkYxRj4uNnPbVfDdAa8_3-6iOoE="


def _problems(kind: str, value: Any) -> list[str]:
    return airflow_secret_problems({"airflow_thing": {"kind": kind, "value": value}})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("fernet", FERNET),
        ("fernet", f"{FERNET},{OTHER_FERNET}"),
        ("password", "Zk3.v-9q_Lw0xT7b"),
        ("password", "correct horse battery staple"),
        ("password", "<kd83hsk2)/&%kw9"),
        ("password", "jürgen-fährt-mit-dem-rad"),
        ("key", "9f86d081884c7d659a2feaa0c55ad015"),
    ],
)
def test_fit_secrets(kind: str, value: str) -> None:
    assert _problems(kind, value) == []


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("fernet", "", "airflow_thing is not set"),
        ("fernet", None, "airflow_thing is not set"),
        ("fernet", FERNET[:-1], "is no Fernet key"),
        ("fernet", FERNET[:-2] + "==", "is no Fernet key"),
        ("fernet", FERNET.replace("z", "+"), "is no Fernet key"),
        ("fernet", FERNET + "," + "x" * 44, "is no Fernet key"),
        ("fernet", FERNET + ",", "is no Fernet key"),
        ("fernet", f"{FERNET},{FERNET}", "contains the same key twice"),
        ("fernet", base64.urlsafe_b64encode(b"\0" * 32).decode(), "is a repetition"),
        ("fernet", base64.urlsafe_b64encode(b"abc\n" * 8).decode(), "is a repetition"),
        ("fernet", "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=", "is a key that public examples contain"),
        ("fernet", "changeme", "is no Fernet key"),
        ("password", "Zk3.v-9q_Lw0xT7", "has 15 characters; a password needs at least 16"),
        ("password", "changeme", "is the word from an example"),
        ("password", "ChangeMe-2026!!!!", "is the word from an example"),
        ("password", "airflowairflowairflow", "is the word from an example"),
        ("password", "postgres-password-1", "is the word from an example"),
        ("password", "your-database-password-here", "is the word from an example"),
        ("password", "your_Zk3.v-9q_Lw0xT7b", "is the word from an example"),
        ("password", "<the database password>", "is the word from an example"),
        ("password", "my-example-kdjJ38skL", "is the word from an example"),
        ("password", "aaaaaaaaaaaaaaaaaaaa", "is a repetition or a sequence"),
        ("password", "Zk3.v-9qZk3.v-9q", "is a repetition or a sequence"),
        ("password", "1234567890123456", "is a repetition or a sequence"),
        ("password", "abcdefghijklmnopqr", "is a repetition or a sequence"),
        ("password", "Zk3.v-9q_Lw0xT7b\n", "contains a newline"),
        ("password", "Zk3.v-9q\0_Lw0xT7b", "contains a newline, another control character"),
        ("password", " Zk3.v-9q_Lw0xT7b", "or spaces at an end"),
        ("password", 1234567890123456, "must be a string, found int; quote it"),
        ("key", "9f86d081884c7d659a2feaa0c55ad01", "has 31 characters; a key needs at least 32"),
        ("key", "airflow_jwt_secret_please_change_this", "is the word from an example"),
        ("key", "0123456789abcdef0123456789abcdef", "is a repetition or a sequence"),
        ("key", "a25mQ1FHTUh3MnFRSk5KMEIyVVU2YmN0VGRyYTVXY08=", "is a key that public examples contain"),
    ],
)
def test_unfit_secrets(kind: str, value: Any, message: str) -> None:
    (problem,) = _problems(kind, value)
    assert problem.startswith("airflow_thing ")
    assert message in problem
    assert "make one with `openssl rand" in problem


@pytest.mark.parametrize("value", ["short", "changeme", "aaaaaaaa", "airflow"])
def test_what_others_have_chosen_is_not_judged(value: str) -> None:
    assert _problems("external", value) == []


@pytest.mark.parametrize(
    ("secret", "remedy"),
    [
        ({"value": ""}, "is not set; set it to the one that its server has, or leave airflow_thing out to have it"),
        (
            {"value": "", "optional": False, "optional_by": "b"},
            "set it to the one that its server has, or b to true if",
        ),
        ({"value": "", "kind": "password", "optional": True, "optional_by": "b"}, "is not set; make one with"),
        ({"value": "a\n"}, "contains a newline"),
        ({"value": 12345}, "must be a string, found int; quote it"),
    ],
)
def test_what_no_server_can_have_chosen_is_refused(secret: dict[str, Any], remedy: str) -> None:
    (problem,) = airflow_secret_problems({"airflow_thing": {"kind": "external"} | secret})
    assert remedy in problem
    assert airflow_secret_problems({"a": {"kind": "external", "value": "", "optional": True}}) == []


WORDS = ["changeme", "password", "secret", "airflow", "admin", "postgres", "redis", "default", "fernet", "jwt"]


@given(
    st.sampled_from(["password", "key"]),
    st.lists(st.sampled_from(WORDS), min_size=1),
    st.sampled_from(["", "-", "_", "1"]),
)
def test_example_words_never_pass_however_often_repeated(kind: str, words: list[str], separator: str) -> None:
    assert "is the word from an example" in _problems(kind, separator.join(words).title())[0]


def test_a_long_value_of_example_words_is_judged_quickly() -> None:
    assert _problems("key", "changeme" * 2000 + "x") != []


@given(st.sampled_from(["password", "key", "fernet"]), st.text(max_size=60))
@example("fernet", "x,y")
def test_no_message_contains_the_value(kind: str, tail: str) -> None:
    value = "zqxjv" + tail
    for problem in _problems(kind, value):
        assert "zqxjv" not in problem
        assert problem.isprintable()


@given(st.binary(min_size=32, max_size=32))
def test_every_random_fernet_key_passes(raw: bytes) -> None:
    repeated = re.fullmatch(rb"(.+?)\1+", raw, re.DOTALL) or len(set(base64.b64encode(raw))) < 5
    if not repeated and b"\0\0\0" not in raw:
        assert _problems("fernet", base64.urlsafe_b64encode(raw).decode()) == []


@pytest.mark.parametrize("length", [12, 16, 32])
def test_generated_secrets_pass(length: int) -> None:
    for _ in range(200):
        assert _problems("password", secrets.token_hex(max(length, 8))) == []
        assert _problems("key", secrets.token_urlsafe(64)) == []
        assert _problems("fernet", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()) == []


@pytest.mark.parametrize(
    ("given_secrets", "message"),
    [
        ([], "the secrets must be a mapping, found list"),
        ({"a": "zqxjv"}, "airflow_secret_problems: a must be a mapping, found str"),
        ({"a": {"kind": "pin", "value": "zqxjv"}}, "the kind of a must be one of fernet, password, key"),
    ],
)
def test_wrong_types(given_secrets: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message) as caught:
        airflow_secret_problems(given_secrets)
    assert "zqxjv" not in str(caught.value)


def test_passwords_of_roles_are_checked_where_they_are_given() -> None:
    roles = [{"name": "app"}, {"name": "fit", "password": "Zk3.v-9q_Lw0xT7b"}, {"name": "bad", "password": "zqxjv"}]
    (problem,) = airflow_secret_problems({}, roles)
    assert problem.startswith("postgresql_roles[bad].password has 5 characters; a password needs at least 16")
    assert "zqxjv" not in problem
    with pytest.raises(AnsibleFilterError, match="postgresql_roles must be a list of mappings, found dict"):
        airflow_secret_problems({}, {})
    with pytest.raises(AnsibleFilterError, match="postgresql_roles: each role must be a mapping, found str"):
        airflow_secret_problems({}, ["app"])


def site(*missing: str, wanted: tuple[str, ...] = (), fernet_key: str = FERNET, external: str = "") -> dict[str, Any]:
    return {
        "missing": [*missing], "wanted": [*wanted], "file": "/site/.secrets.yml", "fernet_key": fernet_key,
        "external_schema": external, "digests": {},
    }  # fmt: skip


def holding(*names: str, keys: str = "", schema: bool = False) -> dict[str, Any]:
    """Return what a host says of itself that has secrets, a Fernet key and a schema."""
    digests = [hmac.new(b"salt", key.encode(), "sha256").hexdigest() for key in keys.split(",") if key]
    return {"secrets": [*names], "fernet_key": {"salt": "salt", "digests": digests}, "schema": schema}


def test_secrets_that_hosts_have_are_not_made_anew() -> None:
    facts = {
        "w1": holding("airflow_jwt_secret"),
        "w2": holding(),
        "w3": holding("airflow_jwt_secret", "airflow_ca_key"),
    }
    (problem,) = airflow_secret_loss_problems(facts, site("airflow_jwt_secret", "airflow_new_key"))
    assert problem.startswith("airflow_jwt_secret: not in site_secrets_file, /site/.secrets.yml, but in use on w1, w3.")
    for remedy in ("Bring that file back", "playbooks/recover_secrets.yml", "preflight_new_secrets"):
        assert remedy in problem


def test_secrets_that_no_host_has_are_made() -> None:
    facts = {"w1": holding("airflow_jwt_secret", keys=FERNET), "w2": {}}
    assert airflow_secret_loss_problems(facts, site("airflow_session_secret_key", "airflow_ca_key")) == []
    assert airflow_secret_loss_problems(facts, site()) == []
    assert airflow_secret_loss_problems({"w1": holding()}, site("airflow_fernet_key", "airflow_jwt_secret")) == []


def test_secrets_that_are_wanted_anew_are_made() -> None:
    facts = {"w1": holding("airflow_fernet_key", "airflow_jwt_secret", keys=FERNET)}
    wanted = ("airflow_fernet_key", "airflow_jwt_secret")
    assert airflow_secret_loss_problems(facts, site(*wanted, wanted=wanted, fernet_key=OTHER_FERNET)) == []
    (problem,) = airflow_secret_loss_problems(facts, site(*wanted, wanted=wanted[:1]))
    assert problem.startswith("airflow_jwt_secret: ")


def test_secrets_that_cut_off_what_runs_are_changed_on_a_site_that_stands_still() -> None:
    noted = {"airflow_jwt_secret": "old", "airflow_broker_password": "same", "worker": "old"}
    running = {"airflow_jwt_secret": ["old"], "airflow_broker_password": ["drifted"], "worker": ["new"], "more": ["x"]}
    said = holding() | {"record": {"secrets": noted}, "running_secrets": running}
    facts = {"w1": said, "w2": said, "stopped": said | {"running_secrets": {}}, "before": said | {"record": {}}}
    wanted = {"digests": {"airflow_jwt_secret": "new", "airflow_broker_password": "same", "worker": "new"}}
    (problem,) = airflow_secret_loss_problems(facts, site() | wanted)
    assert problem.startswith("airflow_jwt_secret has changed since the last run, and what runs on w1, w2 has the old")
    for remedy in ("Set the old one again", "playbooks/stop.yml", "preflight_new_secrets", "docs/secrets.md"):
        assert remedy in problem
    assert airflow_secret_loss_problems(facts, site(wanted=("airflow_jwt_secret",)) | wanted) == []
    assert airflow_secret_loss_problems(facts, site("airflow_jwt_secret") | wanted) == []
    assert airflow_secret_loss_problems(facts, site()) == []


@pytest.mark.parametrize(
    ("facts", "external", "place"),
    [
        ({"w1": holding(), "db": holding(schema=True)}, "", "db"),
        ({"w1": holding()}, "db.example.com", "db.example.com"),
    ],
)
def test_a_schema_keeps_the_fernet_key(facts: dict[str, Any], external: str, place: str) -> None:
    (problem,) = airflow_secret_loss_problems(
        facts, site("airflow_fernet_key", "airflow_jwt_secret", external=external)
    )
    assert problem.startswith(
        f"airflow_fernet_key: not in site_secrets_file, /site/.secrets.yml, but in use on {place}."
    )


@pytest.mark.parametrize(
    ("on_host", "given_key", "lost"),
    [
        (FERNET, FERNET, False),
        (FERNET, f"{OTHER_FERNET},{FERNET}", False),
        (f"{OTHER_FERNET},{FERNET}", OTHER_FERNET, False),
        (FERNET, OTHER_FERNET, True),
        (f"{OTHER_FERNET},{FERNET}", FERNET, True),
        ("", OTHER_FERNET, False),
    ],
)
def test_the_key_that_encrypts_goes_on_to_decrypt(on_host: str, given_key: str, lost: bool) -> None:
    facts = {"w1": holding(keys=on_host), "w2": holding()}
    problems = airflow_secret_loss_problems(facts, site(fernet_key=given_key))
    assert [problem.partition(" ")[0] for problem in problems] == ["airflow_fernet_key"] * lost
    assert all("w1" in problem and "w2" not in problem for problem in problems)
    assert not [key for key in (FERNET, OTHER_FERNET) if key in "".join(problems)]
    assert airflow_secret_loss_problems(facts, site(wanted=("airflow_fernet_key",), fernet_key=given_key)) == []


def test_wrong_types_of_looks() -> None:
    with pytest.raises(AnsibleFilterError, match="w1 must be a mapping, found str"):
        airflow_secret_loss_problems({"w1": "text"}, site())
    with pytest.raises(AnsibleFilterError, match="wanted must be a list, found str"):
        airflow_secret_loss_problems({}, site() | {"wanted": "airflow_fernet_key"})


PLACES = {
    "fernet": {"path": "/c/fernet_key"},
    "owner": {"path": "/c/results_url", "user": "own/er"},
    "reader": {"path": "/c/results_url", "user": "reader"},
    "ca": {"path": "/ca.crt", "is_held": False},
}


def test_secrets_are_recovered_from_files_and_urls() -> None:
    files = {
        "w1": {"/c/results_url": "db+postgresql+psycopg2://own%2Fer:a%2Fb%40%3A@[::1]:5432/r?x=y%40", "/ca.crt": "PEM"},
        "w2": {
            "/c/results_url": "db+postgresql+psycopg2://reader:pw@db/r",
            "/c/fernet_key": "new,old",
        },
        "w3": {},
    }
    expected = {"fernet": "new,old", "owner": "a/b@:", "reader": "pw"}
    assert airflow_recovered_secrets(files, PLACES) == expected
    assert airflow_recovered_secrets({"w3": {}}, PLACES) == {}


def test_hosts_that_differ_are_named_without_values() -> None:
    files = {host: {"/c/fernet_key": key} for host, key in (("w1", FERNET), ("w2", OTHER_FERNET), ("w3", FERNET))}
    with pytest.raises(AnsibleFilterError, match=r"fernet: w1, w3 has another one than w2.*--limit") as caught:
        airflow_recovered_secrets(files, PLACES)
    assert not [key for key in (FERNET, OTHER_FERNET) if key in str(caught.value)]
