"""Inputs of roles that have another name now: whoever sets the old one is told so, where it would have no effect."""

RENAMED = {
    "airflow_admin_email": "airflow_schema_admin_email",
    "airflow_build_timeout": "airflow_release_build_timeout",
    "airflow_constraints": "airflow_release_constraints",
    "airflow_extra_packages": "airflow_release_extra_packages",
    "airflow_extras": "airflow_release_extras",
    "airflow_new_database_allowed": "airflow_schema_new_database_allowed",
    "airflow_package_index_enabled": "airflow_release_package_index_enabled",
    "airflow_package_index_url": "airflow_release_package_index_url",
    "airflow_python": "airflow_release_python",
    "airflow_python_version": "airflow_release_python_version",
    "airflow_releases_keep": "airflow_release_keep",
    "airflow_releases_needed": "airflow_release_needed",
    "airflow_source_packages_allowed": "airflow_release_source_packages_allowed",
    "airflow_users_accounts": "airflow_users",
    "airflow_users_no_log": "airflow_resources_no_log",
    "airflow_wheelhouse": "airflow_release_wheelhouse",
    "certificates_leafs": "certificates_issued",
}
