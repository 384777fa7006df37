-- What the exporter of Airflow's state, and who heals what hangs, may ask the metadata database: these functions, and
-- nothing else.
--
-- They run with the rights of the owner of Airflow's tables and give numbers and names: of DAGs, tasks, their owners,
-- queues, pools, hosts and bundles. No connection, variable, user, XCom, token, log, or rendered field.
-- They are PL/pgSQL, which looks for tables and columns when it runs: they may be there before Airflow's schema, and no
-- migration is held up by them, as it would be by a view. What a migration takes away fails in the function that needs
-- it, and in no other one. Names come from authors of DAGs, so they are cut, and rows have a limit.
--
-- psql --single-transaction -v database=airflow -v owner=airflow -v metrics=airflow_metrics
--     -v monitor=airflow_monitor -f airflow_metrics.sql
-- as a superuser, or as the owner. It can be run again at any time: the schema is this script's own.

DROP SCHEMA IF EXISTS airstrip CASCADE;
CREATE SCHEMA airstrip;
REVOKE ALL ON SCHEMA airstrip FROM PUBLIC;

-- Tasks that have not ended, by what they wait for. Ages are in seconds.
CREATE FUNCTION airstrip.task_states()
RETURNS TABLE (
    state text, queue text, pool text, hostname text, tasks bigint, slots bigint, queued_age float8, heartbeat_age float8
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT t.state::text, left(coalesce(t.queue, ''), 256), left(t.pool, 256),
        CASE WHEN t.state = 'running' THEN left(coalesce(t.hostname, ''), 256) ELSE '' END,
        count(*), coalesce(sum(t.pool_slots), 0)::bigint,
        extract(epoch FROM now() - min(t.queued_dttm) FILTER (WHERE t.state = 'queued'))::float8,
        extract(epoch FROM now() - min(t.last_heartbeat_at) FILTER (WHERE t.state = 'running'))::float8
    FROM public.task_instance AS t
    WHERE t.state IN (
        'scheduled', 'queued', 'running', 'restarting', 'deferred', 'up_for_retry', 'up_for_reschedule',
        'awaiting_input'
    )
    GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 5000;
END
$$;

CREATE FUNCTION airstrip.run_states() RETURNS TABLE (state text, runs bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
BEGIN
    -- One at a time: each state has an index of its own.
    RETURN QUERY SELECT 'queued', count(*) FROM public.dag_run AS r WHERE r.state = 'queued';
    RETURN QUERY SELECT 'running', count(*) FROM public.dag_run AS r WHERE r.state = 'running';
END
$$;

CREATE FUNCTION airstrip.pools() RETURNS TABLE (pool text, slots bigint, include_deferred boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT left(p.pool, 256), p.slots::bigint, p.include_deferred FROM public.slot_pool AS p ORDER BY p.id LIMIT 1000;
END
$$;

-- Whoever was killed is in state running for ever: after a day, it is not spoken of any more.
CREATE FUNCTION airstrip.jobs() RETURNS TABLE (job_type text, hostname text, heartbeat_age float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT j.job_type::text, left(coalesce(j.hostname, ''), 256),
        extract(epoch FROM now() - max(j.latest_heartbeat))::float8
    FROM public.job AS j
    WHERE j.state = 'running' AND j.latest_heartbeat > now() - interval '1 day'
    GROUP BY 1, 2 ORDER BY 3 LIMIT 1000;
END
$$;

CREATE FUNCTION airstrip.import_errors() RETURNS TABLE (bundle text, errors bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT left(coalesce(b.name, e.bundle_name, ''), 256), count(e.id)
    FROM public.dag_bundle AS b FULL JOIN public.import_error AS e ON e.bundle_name = b.name
    WHERE b.active OR e.id IS NOT NULL
    GROUP BY 1 ORDER BY 2 DESC LIMIT 1000;
END
$$;

CREATE FUNCTION airstrip.dags() RETURNS TABLE (state text, dags bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT CASE WHEN d.is_stale THEN 'stale' WHEN d.is_paused THEN 'paused' ELSE 'active' END, count(*)
    FROM public.dag AS d GROUP BY 1;
END
$$;

-- What components that work have done of late, for who heals those that do not: since when no DAG file was parsed, since
-- when each triggerer keeps a trigger of the canary that is due at once, since when somebody waits for a lock.
CREATE FUNCTION airstrip.life() RETURNS TABLE (part text, hostname text, age float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT 'parsed', '', extract(epoch FROM now() - max(d.last_parsed_time))::float8
    FROM public.dag AS d WHERE NOT d.is_stale;
    RETURN QUERY
    SELECT 'trigger', left(coalesce(j.hostname, ''), 256), extract(epoch FROM now() - min(g.created_date))::float8
    FROM public.task_instance AS t
    JOIN public.trigger AS g ON g.id = t.trigger_id
    LEFT JOIN public.job AS j ON j.id = g.triggerer_id
    WHERE t.state = 'deferred' AND t.dag_id = 'airstrip_canary'
    GROUP BY 2 LIMIT 1000;
    RETURN QUERY
    SELECT 'lock', '', extract(epoch FROM now() - min(l.waitstart))::float8
    FROM pg_locks AS l
    WHERE NOT l.granted
    AND coalesce(l.database, 0) IN (0, (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database()));
END
$$;

-- The canary by its tasks, as of the last hour: since when none has succeeded, how long the last one took from its
-- start in the queue to its end, and for how long one waits now. Tasks that run on the same queue tell why it may wait.
CREATE FUNCTION airstrip.canary()
RETURNS TABLE (task_id text, queue text, success_age float8, seconds float8, waits float8, others bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT left(t.task_id, 256), left(coalesce(t.queue, ''), 256),
        extract(epoch FROM now() - max(t.end_date) FILTER (WHERE t.state = 'success'))::float8,
        (array_agg(extract(epoch FROM t.end_date - coalesce(t.queued_dttm, t.start_date)) ORDER BY t.end_date DESC)
            FILTER (WHERE t.state = 'success'))[1]::float8,
        extract(epoch FROM now() - min(r.run_after) FILTER (
            WHERE t.state IS NULL OR t.state IN ('scheduled', 'queued', 'running', 'deferred')
        ))::float8,
        (SELECT count(*) FROM public.task_instance AS o
         WHERE o.state = 'running' AND o.queue = t.queue AND o.dag_id <> 'airstrip_canary')
    FROM public.task_instance AS t
    JOIN public.dag_run AS r ON r.dag_id = t.dag_id AND r.run_id = t.run_id
    WHERE t.dag_id = 'airstrip_canary' AND r.run_after > now() - interval '1 hour'
    GROUP BY t.task_id, t.queue LIMIT 1000;
END
$$;

-- Where the canary's last log of each host is, below the directory of logs, and since when.
CREATE FUNCTION airstrip.canary_logs() RETURNS TABLE (hostname text, log text, age float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (t.hostname) left(t.hostname, 256),
        left(format('dag_id=%s/run_id=%s/task_id=%s/attempt=%s.log', t.dag_id, t.run_id, t.task_id, t.try_number), 1024),
        extract(epoch FROM now() - t.end_date)::float8
    FROM public.task_instance AS t
    JOIN public.dag_run AS r ON r.dag_id = t.dag_id AND r.run_id = t.run_id
    WHERE t.dag_id = 'airstrip_canary' AND r.run_after > now() - interval '1 hour'
    AND t.state = 'success' AND t.hostname <> ''
    ORDER BY t.hostname, t.end_date DESC LIMIT 1000;
END
$$;

-- The one thing that the login may change: runs of the canary are gone after six hours, and their tasks with them.
CREATE FUNCTION airstrip.clean_canary() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM public.dag_run WHERE id IN (
        SELECT r.id FROM public.dag_run AS r
        WHERE r.dag_id = 'airstrip_canary' AND r.state IN ('success', 'failed')
        AND r.run_after < now() - interval '6 hours' ORDER BY r.id LIMIT 500
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

-- Runs of DAGs that have not ended, and those that have ended since a moment. No index knows the end of a run: those
-- that were known not to have ended are looked at again, and those whose tasks were made, tried again or cleared since,
-- as the id of each try begins with the millisecond in which it was made (UUID version 7).
CREATE FUNCTION airstrip.runs(known bigint[], since timestamptz)
RETURNS TABLE (id bigint, dag_id text, state text, ended timestamptz, seconds float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
#variable_conflict use_column
DECLARE
    -- Nobody has to look back further.
    moment timestamptz := greatest(since, now() - interval '1 day');
    first_try uuid := rpad(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;
BEGIN
    RETURN QUERY
    WITH candidates AS (
        (SELECT r.id FROM public.dag_run AS r WHERE r.state = 'running' ORDER BY r.id DESC LIMIT 10000)
        UNION
        (SELECT r.id FROM public.dag_run AS r WHERE r.state = 'queued' ORDER BY r.id DESC LIMIT 10000)
        UNION
        SELECT k.id FROM unnest(known[1:20000]) AS k (id)
        UNION
        SELECT r.id
        FROM (SELECT DISTINCT t.dag_id, t.run_id FROM public.task_instance AS t WHERE t.id >= first_try) AS made
        JOIN public.dag_run AS r ON r.dag_id = made.dag_id AND r.run_id = made.run_id
    )
    SELECT r.id::bigint, left(r.dag_id, 256), r.state::text, r.end_date,
        extract(epoch FROM r.end_date - r.start_date)::float8
    FROM candidates JOIN public.dag_run AS r ON r.id = candidates.id
    WHERE (r.state IN ('queued', 'running') OR r.state IN ('success', 'failed') AND r.end_date >= moment)
    AND r.dag_id <> 'airstrip_canary'
    LIMIT 40000;
END
$$;

-- Tries of tasks that have ended since a moment, in some runs: 10000 after the one that a caller has had last.
-- A try that is made again stands in the history, under its id; the task has a new one then. `begun` tells whether a
-- process of the task was started, and `retried` whether another try was due without anybody asking for it.
CREATE FUNCTION airstrip.tries(runs bigint[], since timestamptz, after uuid)
RETURNS TABLE (
    id text, dag_id text, task_id text, queue text, owners text, state text, begun boolean, retried boolean,
    ended timestamptz, seconds float8
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := greatest(since, now() - interval '1 day');
BEGIN
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT r.dag_id, r.run_id FROM public.dag_run AS r
        WHERE r.id = ANY (runs[1:40000]) AND r.dag_id <> 'airstrip_canary'
    ), ended AS (
        SELECT t.id, t.dag_id, t.task_id, t.queue, t.state, t.start_date, t.end_date, false AS retried,
            -- What a task has of its try before is no beginning of this one. Clocks of hosts may differ a little.
            t.hostname <> '' AND coalesce(t.last_heartbeat_at >= t.queued_dttm - interval '1 minute', true) AS begun
        FROM chosen JOIN public.task_instance AS t ON t.dag_id = chosen.dag_id AND t.run_id = chosen.run_id
        WHERE t.state IN ('success', 'failed', 'skipped') AND t.end_date >= moment
        UNION ALL
        SELECT h.task_instance_id, h.dag_id, h.task_id, h.queue, h.state, h.start_date, h.end_date,
            h.state = 'failed' AND h.try_number <= h.max_tries, h.hostname <> ''
        FROM chosen JOIN public.task_instance_history AS h ON h.dag_id = chosen.dag_id AND h.run_id = chosen.run_id
        WHERE h.state IN ('success', 'failed', 'skipped') AND h.end_date >= moment
    )
    SELECT e.id::text, left(e.dag_id, 256), left(e.task_id, 256), left(coalesce(e.queue, ''), 256),
        left(coalesce((SELECT d.owners FROM public.dag AS d WHERE d.dag_id = e.dag_id), ''), 256),
        e.state::text, coalesce(e.begun, false), coalesce(e.retried, false), e.end_date,
        extract(epoch FROM e.end_date - e.start_date)::float8
    FROM ended AS e
    WHERE (e.end_date, e.id) > (moment, after)
    ORDER BY e.end_date, e.id LIMIT 10000;
END
$$;

ALTER FUNCTION airstrip.task_states() OWNER TO :"owner";
ALTER FUNCTION airstrip.run_states() OWNER TO :"owner";
ALTER FUNCTION airstrip.pools() OWNER TO :"owner";
ALTER FUNCTION airstrip.jobs() OWNER TO :"owner";
ALTER FUNCTION airstrip.import_errors() OWNER TO :"owner";
ALTER FUNCTION airstrip.dags() OWNER TO :"owner";
ALTER FUNCTION airstrip.life() OWNER TO :"owner";
ALTER FUNCTION airstrip.canary() OWNER TO :"owner";
ALTER FUNCTION airstrip.canary_logs() OWNER TO :"owner";
ALTER FUNCTION airstrip.clean_canary() OWNER TO :"owner";
ALTER FUNCTION airstrip.runs(bigint[], timestamptz) OWNER TO :"owner";
ALTER FUNCTION airstrip.tries(bigint[], timestamptz, uuid) OWNER TO :"owner";
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA airstrip FROM PUBLIC;

GRANT CONNECT ON DATABASE :"database" TO :"metrics";
GRANT USAGE ON SCHEMA airstrip TO :"metrics";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA airstrip TO :"metrics";

-- In all databases: it has no business in another one, and settings for one would not come along with a restored one.
ALTER ROLE :"metrics" SET default_transaction_read_only = on;
ALTER ROLE :"metrics" SET statement_timeout = '10s';
ALTER ROLE :"metrics" SET lock_timeout = '2s';
ALTER ROLE :"metrics" SET idle_in_transaction_session_timeout = '10s';

-- The server's statistics are another role's, who may call none of these functions.
GRANT CONNECT ON DATABASE :"database" TO :"monitor";
GRANT pg_monitor TO :"monitor";
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
-- Its views are everybody's.
REVOKE ALL ON pg_stat_statements, pg_stat_statements_info FROM PUBLIC;
GRANT SELECT ON pg_stat_statements TO :"monitor";
ALTER ROLE :"monitor" SET default_transaction_read_only = on;
ALTER ROLE :"monitor" SET statement_timeout = '10s';
