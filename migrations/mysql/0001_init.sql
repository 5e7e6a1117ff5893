-- DDL commits by itself in MySQL: each statement can be run again if the one after it did not get its turn.
-- +goose NO TRANSACTION
-- +goose Up

-- Ids are 16 raw bytes, times are microseconds since 1970 UTC.

CREATE TABLE IF NOT EXISTS schema_info (
  id             TINYINT NOT NULL PRIMARY KEY,
  min_compatible INT     NOT NULL, -- the oldest schema level whose binaries can work with this database
  CHECK (id = 1)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO schema_info (id, min_compatible) VALUES (1, 1);

CREATE TABLE IF NOT EXISTS apis (
  id         BINARY(16)    NOT NULL PRIMARY KEY,
  revision   BIGINT        NOT NULL,
  identifier VARBINARY(500) NOT NULL, -- compared byte for byte
  name       VARCHAR(200)  NOT NULL,
  scopes     MEDIUMTEXT    NOT NULL, -- JSON
  format     VARCHAR(16)   NOT NULL,
  lifetime   BIGINT        NOT NULL, -- microseconds
  algorithm  VARCHAR(16)   NOT NULL,
  created    BIGINT        NOT NULL,
  updated    BIGINT        NOT NULL,
  UNIQUE KEY apis_identifier (identifier), -- look-up by audience
  CHECK (format IN ('jwt', 'opaque'))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS clients (
  id               BINARY(16)    NOT NULL PRIMARY KEY,
  revision         BIGINT        NOT NULL,
  name             VARCHAR(200)  NOT NULL,
  description      VARCHAR(2000) NOT NULL,
  owner            VARCHAR(200)  NOT NULL,
  labels           MEDIUMTEXT    NOT NULL, -- JSON
  status           VARCHAR(16)   NOT NULL,
  auth_method      VARCHAR(64)   NOT NULL,
  default_resource BINARY(16),
  created          BIGINT        NOT NULL,
  updated          BIGINT        NOT NULL,
  KEY clients_default_resource (default_resource), -- deleting an API
  FOREIGN KEY (default_resource) REFERENCES apis (id) ON DELETE SET NULL,
  CHECK (status IN ('active', 'disabled'))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS api_servers (
  api_id    BINARY(16) NOT NULL,
  client_id BINARY(16) NOT NULL,
  PRIMARY KEY (api_id, client_id),
  KEY api_servers_client (client_id), -- deleting a client
  FOREIGN KEY (api_id) REFERENCES apis (id) ON DELETE CASCADE,
  FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS secrets (
  client_id BINARY(16)  NOT NULL,
  id        BINARY(16)  NOT NULL,
  revision  BIGINT      NOT NULL,
  hash      BINARY(32)  NOT NULL,
  pepper    BIGINT      NOT NULL,
  hint      VARCHAR(16) NOT NULL,
  status    VARCHAR(16) NOT NULL,
  created   BIGINT      NOT NULL,
  expires   BIGINT,
  PRIMARY KEY (client_id, id),
  UNIQUE KEY secrets_id (id), -- look-up by id
  FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE,
  CHECK (status IN ('active', 'disabled'))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS grants (
  client_id BINARY(16) NOT NULL,
  api_id    BINARY(16) NOT NULL,
  revision  BIGINT     NOT NULL,
  scopes    TEXT       CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- space-delimited
  created   BIGINT     NOT NULL,
  updated   BIGINT     NOT NULL,
  PRIMARY KEY (client_id, api_id),
  KEY grants_api (api_id), -- the grants of an API; deleting an API
  FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE,
  FOREIGN KEY (api_id) REFERENCES apis (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS signing_keys (
  id         BINARY(16)  NOT NULL PRIMARY KEY,
  algorithm  VARCHAR(16) NOT NULL,
  public     BLOB        NOT NULL, -- PKIX, DER
  sealed     BLOB        NOT NULL, -- PKCS #8, sealed under the master key
  created    BIGINT      NOT NULL,
  active_at  BIGINT      NOT NULL,
  revoked_at BIGINT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS sealed_keys (
  purpose VARCHAR(32) NOT NULL,
  version BIGINT      NOT NULL,
  sealed  BLOB        NOT NULL, -- sealed under the master key
  created BIGINT      NOT NULL,
  PRIMARY KEY (purpose, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- One row, the lock under which sequences are given out. It is added when the database is set up, with a generation of its own.
CREATE TABLE IF NOT EXISTS change_counter (
  id         TINYINT NOT NULL PRIMARY KEY,
  generation BIGINT  NOT NULL,
  sequence   BIGINT  NOT NULL, -- the newest change
  decisive   BIGINT  NOT NULL, -- the newest change that can alter what is issued
  floor      BIGINT  NOT NULL, -- changes up to this one have been pruned
  CHECK (id = 1),
  CHECK (generation > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS changes (
  sequence BIGINT     NOT NULL PRIMARY KEY,
  kind     TINYINT    NOT NULL,
  subject  BINARY(16) NOT NULL,
  object   BINARY(16) NOT NULL,
  audience VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at       BIGINT     NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS audit_events (
  id               BINARY(16)   NOT NULL PRIMARY KEY,
  at               BIGINT       NOT NULL,
  actor_client     BINARY(16)   NOT NULL,
  actor_credential BINARY(16)   NOT NULL,
  actor_name       VARCHAR(255) NOT NULL,
  source           VARCHAR(255) NOT NULL,
  request          VARCHAR(255) NOT NULL,
  action           VARCHAR(100) NOT NULL,
  target           VARCHAR(600) NOT NULL,
  changes          MEDIUMTEXT   NOT NULL -- JSON
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS leases (
  name    VARCHAR(64) NOT NULL PRIMARY KEY,
  holder  BINARY(16)  NOT NULL,
  expires BIGINT      NOT NULL -- by the database's clock
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO leases (name, holder, expires) VALUES ('maintenance', '', 0);

-- The first part of a jti is when the token expires, so that tokens which expire together are dropped together. Partitions are made
-- ahead by the server that holds the maintenance lease; the last one catches what no other holds.
CREATE TABLE IF NOT EXISTS tokens (
  jti        BINARY(16) NOT NULL PRIMARY KEY,
  client     BINARY(16) NOT NULL,
  credential BINARY(16) NOT NULL,
  api        BINARY(16) NOT NULL,
  scope      TEXT       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  issued     BIGINT     NOT NULL,
  expires    BIGINT     NOT NULL,
  revision   BIGINT     NOT NULL,
  proof      BINARY(32) -- SHA-256 of an opaque token's secret part; NULL for a JWT
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
PARTITION BY RANGE COLUMNS (jti) (PARTITION p_rest VALUES LESS THAN (MAXVALUE));
