"""A plugin of the company's, which answers at /company/word."""

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI


def word() -> dict[str, str]:
    return {"word": "one"}


app = FastAPI()
app.add_api_route("/word", word)


class CompanyPlugin(AirflowPlugin):  # type: ignore[misc]
    name = "company"
    fastapi_apps = ({"app": app, "url_prefix": "/company", "name": "company"},)
