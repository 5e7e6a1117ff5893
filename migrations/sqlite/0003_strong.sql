-- +goose Up

-- What a client authenticates by beside secrets, as JSON; NULL: nothing.
ALTER TABLE clients ADD COLUMN proofs TEXT;
ALTER TABLE apis ADD COLUMN sender TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN may_act BLOB;

-- What a token is bound to: the thumbprint of a key, then of a certificate, either of them zero. And where it comes from, as JSON.
ALTER TABLE tokens ADD COLUMN confirmation BLOB;
ALTER TABLE tokens ADD COLUMN lineage TEXT;

CREATE TABLE trusted_issuers (
  id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  revision INTEGER NOT NULL,
  name     TEXT    NOT NULL UNIQUE,
  issuer   TEXT    NOT NULL UNIQUE,
  trust    TEXT    NOT NULL, -- JSON
  created  INTEGER NOT NULL,
  updated  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE exchange_grants (
  client_id BLOB    NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
  source    BLOB    NOT NULL REFERENCES apis (id) ON DELETE CASCADE,
  target    BLOB    NOT NULL REFERENCES apis (id) ON DELETE CASCADE,
  revision  INTEGER NOT NULL,
  scopes    TEXT    NOT NULL, -- JSON
  created   INTEGER NOT NULL,
  updated   INTEGER NOT NULL,
  PRIMARY KEY (client_id, source, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX exchange_grants_source ON exchange_grants (source); -- deleting an API
CREATE INDEX exchange_grants_target ON exchange_grants (target);

-- Proofs that are good for one use, and the token that each one got, or another id where it got none.
CREATE TABLE used_proofs (
  id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
  token   BLOB    NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_proofs_expires ON used_proofs (expires); -- what is to be removed
