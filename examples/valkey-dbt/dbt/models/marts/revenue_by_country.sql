select
    countries.name as country,
    count(*) as orders,
    count(distinct orders.customer) as customers,
    sum(orders.net_cents) as net_cents,
    sum({{ gross('orders.net_cents', 'countries.vat_percent') }}) as gross_cents
from {{ ref('stg_orders') }} as orders
join {{ ref('countries') }} as countries on countries.code = orders.country
group by countries.name
