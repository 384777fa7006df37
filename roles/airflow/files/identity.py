import json
import logging
import re

from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask_appbuilder.const import AUTH_LDAP, AUTH_OAUTH
from flask_appbuilder.security.views import AuthDBView
from werkzeug.security import check_password_hash

# Seconds for one answer of a directory: python-ldap itself waits without end.
DIRECTORY_TIMEOUT = 10


def client_secret(provider):
    # Commands have none, and ask no provider.
    given = credential("oauth_client_secrets")
    return json.loads(given)[provider] if given.startswith("{") else given


class LocalLogin(AuthDBView):
    """The form for accounts of the site's own, /auth/local/login/: the page of OAuth has none."""

    route_base = "/local"


class Identity(FabAirflowSecurityManagerOverride):
    """Accounts with a password in Airflow's own database stay the site's own, whoever else has their name."""

    def is_own(self, username):
        # Who comes by LDAP or OAuth is registered with an empty password, with which nobody can log in.
        user = self.find_user(username=username)
        return bool(user and user.password and not check_password_hash(user.password, ""))

    def auth_user_ldap(self, username, password, *arguments, **options):
        if self.is_own(username):
            return self.auth_user_db(username, password, *arguments, **options)
        import ldap

        ldap.set_option(ldap.OPT_NETWORK_TIMEOUT, DIRECTORY_TIMEOUT)
        ldap.set_option(ldap.OPT_TIMEOUT, DIRECTORY_TIMEOUT)
        return super().auth_user_ldap(username, password, *arguments, **options)

    def get_roles_from_keys(self, role_keys):
        # One DN can be written in several ways, and a directory does not write it the same everywhere.
        if self.auth_type == AUTH_LDAP:
            role_keys = [re.sub(r"\s*([,=])\s*", r"\1", name).lower() for name in role_keys]
        return super().get_roles_from_keys(role_keys)

    def auth_user_oauth(self, userinfo, *arguments, **options):
        if self.is_own(userinfo.get("username")):
            logging.getLogger(__name__).error("%s is an account of the site's own", userinfo["username"])
            return None
        return super().auth_user_oauth(userinfo, *arguments, **options)

    def add_user(self, username, first_name, last_name, email, *arguments, **options):
        # Else the person gets an error 500, and nobody the reason.
        if self.find_user(email=email):
            logging.getLogger(__name__).error("%s cannot be added: another account has the address %s", username, email)
            return None
        return super().add_user(username, first_name, last_name, email, *arguments, **options)

    def get_oauth_user_info(self, provider, resp):
        # By the claims of OpenID Connect, whatever the provider's name: FAB has a way of its own for some.
        wanted = PROVIDERS[provider]
        claims = dict(resp["userinfo"])
        if wanted["ask_userinfo"]:
            more = self.oauth_remotes[provider].userinfo(token=resp)
            if more["sub"] != claims["sub"]:
                raise ValueError("the provider tells of another person than its token")
            claims |= more
        groups = claims.get(wanted["groups_claim"], [])
        return {
            "username": f"{wanted['username_prefix']}{claims[wanted['username_claim']]}",
            "first_name": claims.get("given_name", ""),
            "last_name": claims.get("family_name", ""),
            "email": claims.get("email", "") if claims.get("email_verified") is not False else "",
            # A group is that of its provider: another one can have one of the same name.
            "role_keys": [f"{provider}:{group}" for group in ([groups] if isinstance(groups, str) else groups)],
        }

    def register_views(self):
        super().register_views()
        if self.auth_type == AUTH_OAUTH:
            view = self.appbuilder.add_view_no_menu(LocalLogin())
            if self.is_auth_limited:
                self.limiter.limit(self.auth_rate_limit, methods=["POST"])(view.blueprint)


SECURITY_MANAGER_CLASS = Identity
