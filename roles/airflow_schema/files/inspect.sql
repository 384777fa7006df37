-- What is in a table, if there is one: without the detour by XML, the whole query would fail where one is missing.
WITH asked (name, query) AS (
    VALUES
        ('alembic_version', 'SELECT version_num AS found FROM alembic_version'),
        ('alembic_version_fab', 'SELECT version_num AS found FROM alembic_version_fab'),
        ('ab_user', 'SELECT 1 AS found FROM ab_user WHERE username = ' || quote_literal(%(name)s))
), told AS (
    SELECT name, CASE WHEN to_regclass(name) IS NOT NULL
        THEN (xpath('//found/text()', query_to_xml(query, false, false, '')))[1]::text END AS found
    FROM asked
)
SELECT
    to_regclass('alembic_version') IS NOT NULL AS has_schema,
    max(found) FILTER (WHERE name = 'alembic_version') AS alembic_version,
    max(found) FILTER (WHERE name = 'alembic_version_fab') AS alembic_version_fab,
    count(found) FILTER (WHERE name = 'ab_user') > 0 AS admin_exists
FROM told
