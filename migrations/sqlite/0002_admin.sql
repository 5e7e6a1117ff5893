-- +goose Up

-- The audit log is a chain from here on, which a binary that knows nothing of it would break. One that still runs can
-- issue and introspect tokens, but not revoke them or change anything, until it is replaced.
UPDATE schema_info SET min_compatible = 2 WHERE min_compatible < 2;

-- Names become unique.
UPDATE clients SET name = substr(name, 1, 165) || ' (' || lower(hex(id)) || ')', revision = revision + 1
  FROM (SELECT id AS twin, row_number() OVER (PARTITION BY name ORDER BY id) AS nth FROM clients) twins
  WHERE twins.twin = clients.id AND twins.nth > 1;
CREATE UNIQUE INDEX clients_name ON clients (name);
CREATE INDEX clients_owner ON clients (owner, id);
CREATE INDEX clients_owner_name ON clients (owner, name);
CREATE INDEX clients_status ON clients (status, id);
CREATE INDEX clients_status_name ON clients (status, name);

-- The labels of clients once more, to find clients by them, in order of id or name.
CREATE TABLE client_labels (
  client_id   BLOB NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
  name        TEXT NOT NULL,
  value       TEXT NOT NULL,
  client_name TEXT NOT NULL,
  PRIMARY KEY (client_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO client_labels (client_id, name, value, client_name)
  SELECT c.id, label.key, label.value, c.name FROM clients c, json_each(c.labels) label WHERE label.type = 'text';
CREATE INDEX client_labels_id ON client_labels (name, client_id);
CREATE INDEX client_labels_name ON client_labels (name, client_name);
CREATE INDEX client_labels_value_id ON client_labels (name, value, client_id);
CREATE INDEX client_labels_value_name ON client_labels (name, value, client_name);

CREATE INDEX apis_name ON apis (name, id);

-- imported is the argon2id hash of a value from outside; hash and pepper are zero then. created_by is the credential with which
-- whoever made it had authenticated.
ALTER TABLE secrets ADD COLUMN imported TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN created_by BLOB;
CREATE INDEX secrets_hash ON secrets (hash);
CREATE INDEX secrets_created_by ON secrets (created_by, client_id, id);

CREATE INDEX tokens_client ON tokens (client, jti); -- the tokens of a client

-- Events get numbers. Those from before this level are not chained: their chain is zero, and the chain begins behind the last of them.
CREATE TABLE numbered_events (
  number           INTEGER NOT NULL PRIMARY KEY,
  id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
  at               INTEGER NOT NULL,
  actor_client     BLOB    NOT NULL,
  actor_credential BLOB    NOT NULL,
  actor_name       TEXT    NOT NULL,
  source           TEXT    NOT NULL,
  request          TEXT    NOT NULL,
  action           TEXT    NOT NULL,
  target           TEXT    NOT NULL,
  target_id        TEXT    NOT NULL, -- target up to its first slash
  changes          TEXT    NOT NULL, -- JSON
  chain            BLOB    NOT NULL
) STRICT;
INSERT INTO numbered_events (number, id, at, actor_client, actor_credential, actor_name, source, request, action, target, target_id, changes, chain)
  SELECT row_number() OVER (ORDER BY id), id, at, actor_client, actor_credential, actor_name, source, request, action,
    target, substr(target, 1, instr(target || '/', '/') - 1), changes, zeroblob(32) FROM audit_events ORDER BY id;
DROP TABLE audit_events;
ALTER TABLE numbered_events RENAME TO audit_events;
CREATE INDEX audit_events_actor ON audit_events (actor_client, number);
CREATE INDEX audit_events_target ON audit_events (target_id, number);
CREATE INDEX audit_events_action ON audit_events (action, number);
CREATE INDEX audit_events_at ON audit_events (at, number);

-- The last event.
CREATE TABLE audit_head (
  id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL,
  chain  BLOB    NOT NULL
) STRICT;
INSERT INTO audit_head (id, number, chain) SELECT 1, COALESCE(MAX(number), 0), zeroblob(32) FROM audit_events;

-- The checkpoint behind which the chain is complete. Where its chain is zero, the chain begins there, and it needs no seal.
CREATE TABLE audit_floor (
  id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL,
  chain  BLOB    NOT NULL,
  seal   BLOB    NOT NULL
) STRICT;
INSERT INTO audit_floor (id, number, chain, seal) SELECT 1, number, chain, zeroblob(32) FROM audit_head;

CREATE TABLE auth_failures (
  id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  client  BLOB    NOT NULL, -- zero: none of ours
  reason  TEXT    NOT NULL,
  source  TEXT    NOT NULL,
  request TEXT    NOT NULL,
  number  INTEGER NOT NULL  -- how many there were
) STRICT;
CREATE INDEX auth_failures_at ON auth_failures (at, id);
CREATE INDEX auth_failures_client ON auth_failures (client, at, id);

CREATE TABLE secret_uses (
  client_id  BLOB    NOT NULL,
  secret_id  BLOB    NOT NULL,
  first_used INTEGER NOT NULL,
  last_used  INTEGER NOT NULL,
  source     TEXT    NOT NULL,
  PRIMARY KEY (client_id, secret_id),
  FOREIGN KEY (client_id, secret_id) REFERENCES secrets (client_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE grant_uses (
  client_id BLOB    NOT NULL,
  api_id    BLOB    NOT NULL,
  scope     TEXT    NOT NULL, -- empty: the grant as a whole
  last_used INTEGER NOT NULL,
  tokens    INTEGER NOT NULL,
  PRIMARY KEY (client_id, api_id, scope),
  FOREIGN KEY (client_id, api_id) REFERENCES grants (client_id, api_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
  id        BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  request   BLOB    NOT NULL,
  answer    BLOB    NOT NULL,
  sealed    BLOB,
  at        INTEGER NOT NULL,
  sealed_at INTEGER           -- at, as long as there is a sealed part
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_at ON replays (at);            -- what is to be removed
CREATE INDEX replays_sealed ON replays (sealed_at); -- whose sealed part is
