-- +goose Up

-- Ids are 16 raw bytes, times are microseconds since 1970 UTC.

CREATE TABLE schema_info (
  id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  min_compatible INTEGER NOT NULL -- the oldest schema level whose binaries can work with this database
) STRICT;
INSERT INTO schema_info (id, min_compatible) VALUES (1, 1);

CREATE TABLE apis (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  revision   INTEGER NOT NULL,
  identifier TEXT    NOT NULL UNIQUE, -- look-up by audience
  name       TEXT    NOT NULL,
  scopes     TEXT    NOT NULL, -- JSON
  format     TEXT    NOT NULL CHECK (format IN ('jwt', 'opaque')),
  lifetime   INTEGER NOT NULL, -- microseconds
  algorithm  TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  updated    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
  id               BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  revision         INTEGER NOT NULL,
  name             TEXT    NOT NULL,
  description      TEXT    NOT NULL,
  owner            TEXT    NOT NULL,
  labels           TEXT    NOT NULL, -- JSON
  status           TEXT    NOT NULL CHECK (status IN ('active', 'disabled')),
  auth_method      TEXT    NOT NULL,
  default_resource BLOB    REFERENCES apis (id) ON DELETE SET NULL,
  created          INTEGER NOT NULL,
  updated          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX clients_default_resource ON clients (default_resource); -- deleting an API

CREATE TABLE api_servers (
  api_id    BLOB NOT NULL REFERENCES apis (id) ON DELETE CASCADE,
  client_id BLOB NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
  PRIMARY KEY (api_id, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_servers_client ON api_servers (client_id); -- deleting a client

CREATE TABLE secrets (
  client_id BLOB    NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
  id        BLOB    NOT NULL UNIQUE CHECK (length(id) = 16), -- look-up by id
  revision  INTEGER NOT NULL,
  hash      BLOB    NOT NULL,
  pepper    INTEGER NOT NULL,
  hint      TEXT    NOT NULL,
  status    TEXT    NOT NULL CHECK (status IN ('active', 'disabled')),
  created   INTEGER NOT NULL,
  expires   INTEGER,
  PRIMARY KEY (client_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
  client_id BLOB    NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
  api_id    BLOB    NOT NULL REFERENCES apis (id) ON DELETE CASCADE,
  revision  INTEGER NOT NULL,
  scopes    TEXT    NOT NULL, -- space-delimited
  created   INTEGER NOT NULL,
  updated   INTEGER NOT NULL,
  PRIMARY KEY (client_id, api_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_api ON grants (api_id); -- the grants of an API; deleting an API

CREATE TABLE signing_keys (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  algorithm  TEXT    NOT NULL,
  public     BLOB    NOT NULL, -- PKIX, DER
  sealed     BLOB    NOT NULL, -- PKCS #8, sealed under the master key
  created    INTEGER NOT NULL,
  active_at  INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed_keys (
  purpose TEXT    NOT NULL,
  version INTEGER NOT NULL,
  sealed  BLOB    NOT NULL, -- sealed under the master key
  created INTEGER NOT NULL,
  PRIMARY KEY (purpose, version)
) STRICT, WITHOUT ROWID;

-- One row, the lock under which sequences are given out. It is added when the database is set up, with a generation of its own.
CREATE TABLE change_counter (
  id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  generation INTEGER NOT NULL CHECK (generation > 0),
  sequence   INTEGER NOT NULL, -- the newest change
  decisive   INTEGER NOT NULL, -- the newest change that can alter what is issued
  floor      INTEGER NOT NULL  -- changes up to this one have been pruned
) STRICT;

CREATE TABLE changes (
  sequence INTEGER NOT NULL PRIMARY KEY,
  kind     INTEGER NOT NULL,
  subject  BLOB    NOT NULL,
  object   BLOB    NOT NULL,
  audience TEXT    NOT NULL,
  at       INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_events (
  id               BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  at               INTEGER NOT NULL,
  actor_client     BLOB    NOT NULL,
  actor_credential BLOB    NOT NULL,
  actor_name       TEXT    NOT NULL,
  source           TEXT    NOT NULL,
  request          TEXT    NOT NULL,
  action           TEXT    NOT NULL,
  target           TEXT    NOT NULL,
  changes          TEXT    NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  name    TEXT    NOT NULL PRIMARY KEY,
  holder  BLOB    NOT NULL,
  expires INTEGER NOT NULL -- by the database's clock
) STRICT, WITHOUT ROWID;
INSERT INTO leases (name, holder, expires) VALUES ('maintenance', zeroblob(16), 0);

CREATE TABLE tokens (
  jti        BLOB    NOT NULL PRIMARY KEY CHECK (length(jti) = 16),
  client     BLOB    NOT NULL,
  credential BLOB    NOT NULL,
  api        BLOB    NOT NULL,
  scope      TEXT    NOT NULL CHECK (length(scope) <= 65535),
  issued     INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  revision   INTEGER NOT NULL,
  proof      BLOB    -- SHA-256 of an opaque token's secret part; NULL for a JWT
) STRICT, WITHOUT ROWID;
