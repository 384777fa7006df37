select
    id,
    customer,
    upper(country) as country,
    cents as net_cents,
    placed_at
from {{ source('app', 'orders') }}
