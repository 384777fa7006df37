-- Fails if an order's country is not in the seed: the join would leave the order out.
select orders.id
from {{ ref('stg_orders') }} as orders
left join {{ ref('countries') }} as countries on countries.code = orders.country
where countries.code is null
