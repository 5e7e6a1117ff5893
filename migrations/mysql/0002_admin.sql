-- DDL commits by itself in MySQL: each statement can be run again if the one after it did not get its turn. An ALTER TABLE is
-- one statement for all that a table needs, and is passed over where it was done: there is no IF NOT EXISTS that both MySQL and MariaDB know.
-- +goose NO TRANSACTION
-- +goose Up

-- The audit log is a chain from here on, which a binary that knows nothing of it would break. One that still runs can
-- issue and introspect tokens, but not revoke them or change anything, until it is replaced.
UPDATE schema_info SET min_compatible = 2 WHERE min_compatible < 2;

-- Names become unique. They and owners are compared and sorted byte for byte: the collation takes "a" and "a " for the same.
UPDATE clients c JOIN (SELECT id, ROW_NUMBER() OVER (PARTITION BY name ORDER BY id) AS nth FROM clients) twins ON twins.id = c.id
  SET c.name = CONCAT(LEFT(c.name, 165), ' (', LOWER(HEX(c.id)), ')'), c.revision = c.revision + 1
  WHERE twins.nth > 1;
SET @alter = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'clients' AND index_name = 'clients_name') > 0, 'DO 0',
  'ALTER TABLE clients
    MODIFY name VARBINARY(800) NOT NULL,
    MODIFY owner VARBINARY(800) NOT NULL,
    ADD UNIQUE KEY clients_name (name),
    ADD KEY clients_owner (owner, id),
    ADD KEY clients_owner_name (owner, name),
    ADD KEY clients_status (status, id),
    ADD KEY clients_status_name (status, name)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The labels of clients once more, to find clients by them, in order of id or name.
CREATE TABLE IF NOT EXISTS client_labels (
  client_id   BINARY(16)     NOT NULL,
  name        VARBINARY(800) NOT NULL,
  value       VARBINARY(800) NOT NULL,
  client_name VARBINARY(800) NOT NULL,
  PRIMARY KEY (client_id, name),
  KEY client_labels_id (name, client_id),
  KEY client_labels_name (name, client_name),
  KEY client_labels_value_id (name, value, client_id),
  KEY client_labels_value_name (name, value, client_name),
  FOREIGN KEY (client_id) REFERENCES clients (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO client_labels (client_id, name, value, client_name)
  SELECT c.id, n.name, v.value, c.name FROM clients c
  JOIN JSON_TABLE(JSON_KEYS(c.labels), '$[*]' COLUMNS (nth FOR ORDINALITY, name VARCHAR(200) PATH '$')) n
  JOIN JSON_TABLE(JSON_EXTRACT(c.labels, '$.*'), '$[*]' COLUMNS (nth FOR ORDINALITY, value VARCHAR(200) PATH '$')) v ON v.nth = n.nth
  WHERE c.labels LIKE '{"%';

SET @alter = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'apis' AND index_name = 'apis_name') > 0, 'DO 0',
  'ALTER TABLE apis MODIFY name VARBINARY(800) NOT NULL, ADD KEY apis_name (name, id)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- imported is the argon2id hash of a value from outside; hash and pepper are zero then. created_by is the credential with which
-- whoever made it had authenticated.
SET @alter = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'secrets' AND index_name = 'secrets_created_by') > 0, 'DO 0',
  'ALTER TABLE secrets
    ADD COLUMN imported VARCHAR(255) NOT NULL DEFAULT '''',
    ADD COLUMN created_by BINARY(16),
    ADD KEY secrets_hash (hash),
    ADD KEY secrets_created_by (created_by, client_id, id)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The tokens of a client.
SET @alter = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'tokens' AND index_name = 'tokens_client') > 0, 'DO 0',
  'ALTER TABLE tokens ADD KEY tokens_client (client, jti)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- Events get numbers. Those from before this level are not chained: their chain is zero, and the chain begins behind the last of them.
SET @alter = IF((SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'audit_events' AND column_name = 'number') > 0, 'DO 0',
  'ALTER TABLE audit_events ADD COLUMN number BIGINT, ADD COLUMN chain BINARY(32), ADD COLUMN target_id VARCHAR(600)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;
UPDATE audit_events e JOIN (SELECT id, (SELECT COALESCE(MAX(number), 0) FROM audit_events) + ROW_NUMBER() OVER (ORDER BY id) AS number
    FROM audit_events WHERE number IS NULL) numbered ON numbered.id = e.id
  SET e.number = numbered.number, e.chain = REPEAT(x'00', 32), e.target_id = SUBSTRING_INDEX(e.target, '/', 1);
SET @alter = IF((SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'audit_events' AND index_name = 'audit_events_number') > 0, 'DO 0',
  'ALTER TABLE audit_events
    MODIFY number BIGINT NOT NULL,
    MODIFY chain BINARY(32) NOT NULL,
    MODIFY target_id VARCHAR(600) NOT NULL,
    ADD UNIQUE KEY audit_events_number (number),
    ADD KEY audit_events_actor (actor_client, number),
    ADD KEY audit_events_target (target_id, number),
    ADD KEY audit_events_action (action, number),
    ADD KEY audit_events_at (at, number)');
PREPARE change_table FROM @alter;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The last event. It is read and written under the lock on the change counter.
CREATE TABLE IF NOT EXISTS audit_head (
  id     TINYINT    NOT NULL PRIMARY KEY,
  number BIGINT     NOT NULL,
  chain  BINARY(32) NOT NULL,
  CHECK (id = 1)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO audit_head (id, number, chain) SELECT 1, COALESCE(MAX(number), 0), REPEAT(x'00', 32) FROM audit_events;

-- The checkpoint behind which the chain is complete. Where its chain is zero, the chain begins there, and it needs no seal.
CREATE TABLE IF NOT EXISTS audit_floor (
  id     TINYINT    NOT NULL PRIMARY KEY,
  number BIGINT     NOT NULL,
  chain  BINARY(32) NOT NULL,
  seal   BINARY(32) NOT NULL,
  CHECK (id = 1)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT IGNORE INTO audit_floor (id, number, chain, seal) SELECT 1, number, chain, REPEAT(x'00', 32) FROM audit_head;

CREATE TABLE IF NOT EXISTS auth_failures (
  id      BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at      BIGINT       NOT NULL,
  client  BINARY(16)   NOT NULL, -- zero: none of ours
  reason  VARCHAR(64)  NOT NULL,
  source  VARCHAR(255) NOT NULL,
  request VARCHAR(255) NOT NULL,
  number  BIGINT       NOT NULL, -- how many there were
  KEY auth_failures_at (at, id),
  KEY auth_failures_client (client, at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS secret_uses (
  client_id  BINARY(16)   NOT NULL,
  secret_id  BINARY(16)   NOT NULL,
  first_used BIGINT       NOT NULL,
  last_used  BIGINT       NOT NULL,
  source     VARCHAR(255) NOT NULL,
  PRIMARY KEY (client_id, secret_id),
  FOREIGN KEY (client_id, secret_id) REFERENCES secrets (client_id, id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS grant_uses (
  client_id BINARY(16) NOT NULL,
  api_id    BINARY(16) NOT NULL,
  scope     VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty: the grant as a whole
  last_used BIGINT     NOT NULL,
  tokens    BIGINT     NOT NULL,
  PRIMARY KEY (client_id, api_id, scope),
  FOREIGN KEY (client_id, api_id) REFERENCES grants (client_id, api_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS replays (
  id      BINARY(32) NOT NULL PRIMARY KEY,
  request BINARY(32) NOT NULL,
  answer  MEDIUMBLOB NOT NULL,
  sealed  MEDIUMBLOB,
  at      BIGINT     NOT NULL,
  sealed_at BIGINT,            -- at, as long as there is a sealed part
  KEY replays_at (at),         -- what is to be removed
  KEY replays_sealed (sealed_at) -- whose sealed part is
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
