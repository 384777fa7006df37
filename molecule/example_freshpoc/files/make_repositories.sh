#!/bin/bash
# Two repositories of dbt. jaffle-shop-classic has seeds and models of the names that dbt-labs' own has, and its lineage.
# In circle, two models read each other.
set -euo pipefail
umask 022
git config --system safe.directory '*'
git config --system user.name company
git config --system user.email company@example.com
mkdir -p /srv/git /srv/work

for name in jaffle-shop-classic circle; do
    git init --quiet --bare --initial-branch=main "/srv/git/$name.git"
    git clone --quiet "/srv/git/$name.git" "/srv/work/$name" 2>/dev/null
    mkdir -p "/srv/work/$name/models/staging" "/srv/work/$name/seeds"
    printf 'name: %s\nversion: "1.0"\n' "${name//-/_}" >"/srv/work/$name/dbt_project.yml"
done

cd /srv/work/jaffle-shop-classic
for name in customers orders payments; do
    printf 'id,name\n1,one\n2,two\n' >"seeds/raw_$name.csv"
    cat >"models/staging/stg_$name.sql" <<SQL
{#- Seeds stand for a source here: ref('no_such_model') in a comment is none. #}
select * from {{ ref('raw_$name') }}
SQL
done
cat >models/orders.sql <<'SQL'
with payments as (select * from {{ ref('stg_payments') }})
select * from {{ ref("stg_orders") }} left join payments using (order_id)
SQL
cat >models/customers.sql <<'SQL'
-- not ref('orders')
select * from {{ ref('stg_customers') }}
left join {{ ref('stg_orders') }} using (customer_id)
left join {{ ref( 'stg_payments' ) }} using (order_id)
SQL

cd /srv/work/circle
printf "select * from {{ ref('b') }}\n" >models/a.sql
printf "select * from {{ ref('a') }}\n" >models/b.sql

for name in jaffle-shop-classic circle; do
    git -C "/srv/work/$name" add .
    git -C "/srv/work/$name" commit --quiet --message=One
    git -C "/srv/work/$name" push --quiet origin HEAD:main
done
