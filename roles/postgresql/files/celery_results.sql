-- Where Celery keeps the results of tasks, so that schedulers need not trust what workers write.
--
-- Celery pickles results, and task code can write whatever its worker can. So a worker's role owns nothing here: it may
-- only insert, read and update the columns that Celery knows. The schedulers' role sees views of the tables, which
-- have the state of a task and no result. Celery finds both by name: in the schema that comes first in search_path.
--
-- psql -v database=airflow_results -v writer=airflow_results -v reader=airflow_results_reader -f celery_results.sql
-- as the owner of the database, who is neither writer nor reader. It can be run again at any time.

-- What Celery made itself, or a task has left behind. Results that are waited for are lost: schedulers restart.
DROP OWNED BY :"writer";
GRANT CONNECT ON DATABASE :"database" TO :"writer", :"reader";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"writer", :"reader";

-- As Celery 5.6 makes them (celery/backends/database/models.py), and when a row was made, which no task can change.
CREATE SEQUENCE IF NOT EXISTS public.task_id_sequence;
CREATE SEQUENCE IF NOT EXISTS public.taskset_id_sequence;
CREATE TABLE IF NOT EXISTS public.celery_taskmeta (
    id integer PRIMARY KEY,
    task_id varchar(155) UNIQUE,
    status varchar(50),
    result bytea,
    date_done timestamp,
    traceback text,
    name varchar(155),
    args bytea,
    kwargs bytea,
    worker varchar(155),
    retries integer,
    queue varchar(155),
    created timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS public.celery_tasksetmeta (
    id integer PRIMARY KEY,
    taskset_id varchar(155) UNIQUE,
    result bytea,
    date_done timestamp
);
CREATE INDEX IF NOT EXISTS celery_taskmeta_created ON public.celery_taskmeta (created);

GRANT USAGE ON SEQUENCE public.task_id_sequence TO :"writer";
GRANT SELECT (id, task_id, status, result, date_done, traceback, name, args, kwargs, worker, retries, queue),
    INSERT (id, task_id, status, result, date_done, traceback, name, args, kwargs, worker, retries, queue),
    UPDATE (status, result, date_done, traceback, name, args, kwargs, worker, retries, queue)
    ON public.celery_taskmeta TO :"writer";

-- Each new row removes old ones. Celery would want a process of its own for it (beat), and Airflow has none. A day is
-- Celery's own result_expires; schedulers read a result within seconds.
CREATE OR REPLACE FUNCTION public.celery_taskmeta_expire() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.celery_taskmeta WHERE id IN (
        SELECT id FROM public.celery_taskmeta WHERE created < now() - interval '1 day'
        ORDER BY created LIMIT 100 FOR UPDATE SKIP LOCKED
    );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.celery_taskmeta_expire() FROM PUBLIC;
DROP TRIGGER IF EXISTS celery_taskmeta_expire ON public.celery_taskmeta;
CREATE TRIGGER celery_taskmeta_expire AFTER INSERT ON public.celery_taskmeta
    FOR EACH STATEMENT EXECUTE FUNCTION public.celery_taskmeta_expire();

DROP SCHEMA IF EXISTS scheduler CASCADE;
CREATE SCHEMA scheduler;
CREATE VIEW scheduler.celery_taskmeta AS
    SELECT id, task_id, status, NULL::bytea AS result, date_done, NULL::text AS traceback, NULL::varchar AS name,
        NULL::bytea AS args, NULL::bytea AS kwargs, NULL::varchar AS worker, NULL::integer AS retries,
        NULL::varchar AS queue
    FROM public.celery_taskmeta;
CREATE VIEW scheduler.celery_tasksetmeta AS
    SELECT NULL::integer AS id, NULL::varchar AS taskset_id, NULL::bytea AS result, NULL::timestamp AS date_done
    WHERE false;
GRANT USAGE ON SCHEMA scheduler TO :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA scheduler TO :"reader";
ALTER ROLE :"reader" IN DATABASE :"database" SET search_path = scheduler, public;
