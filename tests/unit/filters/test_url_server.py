"""The server that a URL names."""

import pytest
from ansible.errors import AnsibleFilterError
from url_server import url_server


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://pypi.org/simple", "pypi.org", 443),
        ("http://pypi.org/simple", "pypi.org", 80),
        ("https://192.0.2.3:3141/root", "192.0.2.3", 3141),
        ("http://user:p%40ss@proxy:3128", "proxy", 3128),
        ("http://[2001:db8::1]:3128", "2001:db8::1", 3128),
        ("socks5h://proxy:1080", "proxy", 1080),
    ],
)
def test_a_url_names_its_server(url: str, host: str, port: int) -> None:
    assert url_server(url, "v") == {"variable": "v", "host": host, "port": port}


BAD = ["", "proxy", "proxy:3128", "http://", "/simple", "http://p:99999", "http://u:s3cret@p:x", "http://[2001:db8"]


@pytest.mark.parametrize("url", BAD)
def test_what_names_none_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        url_server(url, "airflow_release_package_index_url")
    assert str(raised.value).startswith("airflow_release_package_index_url is no URL that names a server. Write it as")
    assert "s3cret" not in str(raised.value)
