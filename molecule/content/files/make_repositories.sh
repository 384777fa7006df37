#!/bin/bash
# The company's repositories: team-a (by ssh, with the submodule lib) and team-b (by HTTPS); and the file of team-c.
set -euo pipefail
company=$1
git config --system safe.directory '*'
git config --system user.name company
git config --system user.email company@example.com
git config --system protocol.file.allow always

dag() { # team, then what a task imports and returns
    cat <<DAG
from airflow.sdk import dag, task

@dag(dag_id="$1", schedule=None, catchup=False, default_args={"owner": "$1"})
def make():
    @task
    def words():
        $2

    words()

make()
DAG
}

for name in lib team-a team-b; do
    git init --quiet --bare --initial-branch=main "/srv/git/$name.git"
    git clone --quiet "/srv/git/$name.git" "/srv/work/$name"
done

cd /srv/work/lib
echo 'WORD = "of the submodule"' >words.py
git add words.py

cd /srv/work/team-b
dag team-b 'return ["one"]' >team_b.py
git add team_b.py

for name in lib team-b; do
    git -C "/srv/work/$name" commit --quiet --message=One
    git -C "/srv/work/$name" push --quiet origin HEAD:main
done

cd /srv/work/team-a
mkdir dags
dag team-a 'from company import words; from lib.words import WORD; return ["one", words.WORD, WORD]' >dags/team_a.py
echo 'raise RuntimeError("it was to be ignored")' >dags/draft_a.py
echo 'draft_*.py' >dags/.airflowignore
git submodule --quiet add /srv/git/lib.git dags/lib
git config --file .gitmodules submodule.dags/lib.url "ssh://git@$company/srv/git/lib.git"
git add .
git commit --quiet --message=One
git push --quiet origin HEAD:main

mkdir -p /srv/work/team-c
dag team-c 'return ["one"]' >/srv/work/team-c/team_c.py
