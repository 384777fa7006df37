-- The graph of FreshPoC: repositories, what they are made of (nodes), and who reads whom (edges). Run as postgres,
-- again whenever this file changes.
CREATE TABLE IF NOT EXISTS repository (
    url text PRIMARY KEY,
    commit text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS node (
    repository text NOT NULL REFERENCES repository ON DELETE CASCADE,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('model', 'seed')),
    path text NOT NULL,
    lines integer NOT NULL CHECK (lines >= 0),
    layer integer NOT NULL CHECK (layer >= 0),
    PRIMARY KEY (repository, name)
);
CREATE TABLE IF NOT EXISTS edge (
    repository text NOT NULL,
    child text NOT NULL,
    parent text NOT NULL,
    PRIMARY KEY (repository, child, parent),
    FOREIGN KEY (repository, child) REFERENCES node ON DELETE CASCADE,
    FOREIGN KEY (repository, parent) REFERENCES node ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS edge_parent ON edge (repository, parent);
-- The writer changes the rows, the query API reads them, and neither can change a table.
GRANT CONNECT ON DATABASE :"database" TO :"writer", :"reader";
GRANT SELECT, INSERT, UPDATE, DELETE ON repository, node, edge TO :"writer";
GRANT SELECT ON repository, node, edge TO :"reader";
