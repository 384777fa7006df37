#
# Ansible managed
#
# Lists what the DAG files in a directory use and Airflow 3 has not, as JSON. Exit status: 0 nothing, 1 something,
# 3 the linter could not be installed.
set -u

directory=$(mktemp -d)
export TMPDIR="$directory" HOME="$directory"
export https_proxy=http://proxy.example.com:3128
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
export PIP_INDEX_URL=https://pypi.example.com/simple
cat >"$directory/ruff.txt" <<'REQUIREMENTS'
# Checks DAGs for what Airflow 3 has removed. As in requirements/test.txt.
ruff==0.17.5 \
    --hash=sha256:0e5c125c5b31dc8efc948d41357496a4c4a312977565ccba740030efdff83580 \
    --hash=sha256:40ca8afaac309b41a5b2e09e4e7beb1f824826b93c25697c4d74f573324fba4e \
    --hash=sha256:50dfc3c6b3ebd0a932f11dfd579bd42234b0b7137e68940eb6abdbfdb9d69697 \
    --hash=sha256:54c0f67d1be11b55d12c184a819fc229f5eee3ef45c16c4fcad41258e83b4882 \
    --hash=sha256:625e57d80cd43352d12ea81690f3eac46cddc8c0f35026d137fb0f157f94592e \
    --hash=sha256:64a6fd668a336df959c522991de33e9e3c8be463afc0c9ac8f029f9d19ef756e \
    --hash=sha256:6f0db748508f04a04e3fbebcc636a5c8b3bd76274f8ed28f497c44d75c2ea2d7 \
    --hash=sha256:6f6a7b138edf9cc402ca736a59d9525e6d766e5395760b72e7e146e6251ac963 \
    --hash=sha256:86bd1f3b83c25f9b8055c6e796f0685b39d3127ce947322098c3108cf82fd586 \
    --hash=sha256:8e85601bd6d9b6c3e3b95c0e0dccdbac1d23c6bcef006d187fbcddaf8225a5df \
    --hash=sha256:aa415d57c244299279901d776607fee3df7831c2a7435433fbfacde8632c6550 \
    --hash=sha256:b72fbc232e328bdbb9cdddf4f1aedcd61bd1aa64d75fc012114b4add0bd7f26b \
    --hash=sha256:d511dd302982e46a285528942fa6557d57730edc4bdb9def95e86a2603d77396 \
    --hash=sha256:dd0dfe7c6fe5a447fce467c58e69893be1d9a7e4378f5b9906432da33d94a97f \
    --hash=sha256:e1546609b2ad73f1d6c5c076881b788672b7b3cc3283981182cbdbb6524ed88a \
    --hash=sha256:e52622ecf3a0df9d03e796fe3eed4aa085adda65520db7e0619cbd2192a97342 \
    --hash=sha256:ec4ecf40fb4d6e1265b009dbe551727920926fc0f769070c452d6d84b422a74d \
    --hash=sha256:f93d2b7d449ed9545304f6923699ca20d13c675b69f258481709a08ae61076db
REQUIREMENTS

/home/airflow/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: \
    --require-hashes --requirement "$directory/ruff.txt" --target "$directory/ruff" >&2 || exit 3
# Whatever the directory has of settings for ruff: these rules, and no others.
"$directory/ruff/bin/ruff" check --isolated --no-cache --output-format json \
    --select AIR301,AIR302,AIR311,AIR312 "$1"
