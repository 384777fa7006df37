"""How people log in to Airflow by LDAP or OpenID Connect, beside the accounts in its own database."""

import json
import logging
import re
from typing import Any

from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask_appbuilder.const import AUTH_LDAP, AUTH_OAUTH
from flask_appbuilder.security.views import AuthDBView
from werkzeug.security import check_password_hash

# Seconds for one answer of a directory: python-ldap itself waits without end.
DIRECTORY_TIMEOUT = 10


def with_secrets(providers: list[dict[str, Any]], given: str) -> list[dict[str, Any]]:
    """Return the providers with Airflow's secrets there. Commands have none, and ask no provider."""
    secrets_there = json.loads(given) if given.startswith("{") else {}
    for row in providers:
        row["remote_app"]["client_secret"] = secrets_there.get(row["name"], "")
    return providers


class LocalLogin(AuthDBView):
    """The form for accounts of the site's own, /auth/local/login/: the page of OAuth has none."""

    route_base = "/local"


class Identity(FabAirflowSecurityManagerOverride):
    """Accounts with a password in Airflow's own database stay the site's own, whoever else has their name."""

    def is_own(self, username: str | None) -> bool:
        """Tell them from those of people who came by LDAP or OAuth: FAB gives those an empty password."""
        user = self.find_user(username=username) if username else None
        return bool(user and user.password and not check_password_hash(user.password, ""))

    def auth_user_ldap(self, username: str, password: str, *arguments: Any, **options: Any) -> Any:
        """Return who has a name and a password, or None."""
        if self.is_own(username):
            return self.auth_user_db(username, password, *arguments, **options)
        # Of the system, and not there without site_ldap. FAB before 3.9 uses its filters, and does not import them.
        import ldap.filter  # noqa: PLC0415

        ldap.set_option(ldap.OPT_NETWORK_TIMEOUT, DIRECTORY_TIMEOUT)
        ldap.set_option(ldap.OPT_TIMEOUT, DIRECTORY_TIMEOUT)
        return super().auth_user_ldap(username, password, *arguments, **options)

    def auth_user_oauth(self, userinfo: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """Return whom a provider has told of, or None."""
        if self.is_own(userinfo.get("username")):
            logging.getLogger(__name__).error("%s is an account of the site's own", userinfo["username"])
            return None
        return super().auth_user_oauth(userinfo, *arguments, **options)

    def add_user(self, username: str, first_name: str, last_name: str, email: str, *rest: Any, **options: Any) -> Any:
        """Add somebody, or return None: else a person with another's address gets an error 500, and nobody a reason."""
        if self.find_user(email=email):
            logging.getLogger(__name__).error("%s cannot be added: another account has the address %s", username, email)
            return None
        return super().add_user(username, first_name, last_name, email, *rest, **options)

    def get_roles_from_keys(self, role_keys: list[str]) -> Any:
        """Return the roles of groups. A directory may write one DN in several ways, of which we have one."""
        if self.auth_type == AUTH_LDAP:
            role_keys = [re.sub(r"\s*([,=])\s*", r"\1", name).lower() for name in role_keys]
        return super().get_roles_from_keys(role_keys)

    def get_oauth_user_info(self, provider: str, resp: dict[str, Any]) -> dict[str, Any]:
        """Return a person by the claims of OpenID Connect. FAB has a way of its own for some names of providers."""
        wanted = next(row["claims"] for row in self.oauth_providers if row["name"] == provider)
        claims = dict(resp["userinfo"])
        if wanted["ask_userinfo"]:
            more = self.oauth_remotes[provider].userinfo(token=resp)
            if more["sub"] != claims["sub"]:
                raise ValueError("the provider tells of another person than its token")
            claims |= more
        groups = claims.get(wanted["groups_claim"]) or []
        return {
            "username": f"{wanted['username_prefix']}{claims[wanted['username_claim']]}",
            "first_name": claims.get("given_name", ""),
            "last_name": claims.get("family_name", ""),
            "email": claims.get("email", "") if claims.get("email_verified") is not False else "",
            # A group is that of its provider: another one can have one of the same name.
            "role_keys": [f"{provider}:{group}" for group in ([groups] if isinstance(groups, str) else groups)],
        }

    def register_views(self) -> None:
        """Add the form for the site's own accounts, with the same bound on attempts."""
        super().register_views()
        if self.auth_type == AUTH_OAUTH:
            view = self.appbuilder.add_view_no_menu(LocalLogin())
            if self.is_auth_limited:
                self.limiter.limit(self.auth_rate_limit, methods=["POST"])(view.blueprint)


SECURITY_MANAGER_CLASS = Identity
