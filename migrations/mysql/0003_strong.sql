-- DDL commits by itself in MySQL: each statement can be run again if the one after it did not get its turn.
-- +goose NO TRANSACTION
-- +goose Up

-- What a client authenticates by beside secrets, as JSON; NULL: nothing.
SET @alter = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'clients' AND column_name = 'proofs') > 0, 'DO 0',
  'ALTER TABLE clients ADD COLUMN proofs MEDIUMTEXT');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

SET @alter = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'apis' AND column_name = 'sender') > 0, 'DO 0',
  'ALTER TABLE apis ADD COLUMN sender VARCHAR(16) NOT NULL DEFAULT ''''');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

SET @alter = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'grants' AND column_name = 'may_act') > 0, 'DO 0',
  'ALTER TABLE grants ADD COLUMN may_act BINARY(16)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- What a token is bound to: the thumbprint of a key, then of a certificate, either of them zero. And where it comes from, as JSON.
SET @alter = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'tokens' AND column_name = 'lineage') > 0, 'DO 0',
  'ALTER TABLE tokens ADD COLUMN confirmation BINARY(64), ADD COLUMN lineage TEXT CHARACTER SET ascii COLLATE ascii_bin');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

CREATE TABLE IF NOT EXISTS trusted_issuers (
  id       BINARY(16)     NOT NULL PRIMARY KEY,
  revision BIGINT         NOT NULL,
  name     VARBINARY(800) NOT NULL,
  issuer   VARBINARY(500) NOT NULL, -- compared byte for byte
  trust    MEDIUMTEXT     NOT NULL, -- JSON
  created  BIGINT         NOT NULL,
  updated  BIGINT         NOT NULL,
  UNIQUE KEY trusted_issuers_name (name),
  UNIQUE KEY trusted_issuers_issuer (issuer)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS exchange_grants (
  client_id BINARY(16) NOT NULL,
  source    BINARY(16) NOT NULL,
  target    BINARY(16) NOT NULL,
  revision  BIGINT     NOT NULL,
  scopes    MEDIUMTEXT NOT NULL, -- JSON
  created   BIGINT     NOT NULL,
  updated   BIGINT     NOT NULL,
  PRIMARY KEY (client_id, source, target),
  KEY exchange_grants_source (source), -- deleting an API
  KEY exchange_grants_target (target),
  FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE,
  FOREIGN KEY (source) REFERENCES apis (id) ON DELETE CASCADE,
  FOREIGN KEY (target) REFERENCES apis (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Proofs that are good for one use, and the token that each one got, or another id where it got none.
CREATE TABLE IF NOT EXISTS used_proofs (
  id      BINARY(32) NOT NULL PRIMARY KEY,
  token   BINARY(16) NOT NULL,
  expires BIGINT     NOT NULL,
  KEY used_proofs_expires (expires) -- what is to be removed
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
