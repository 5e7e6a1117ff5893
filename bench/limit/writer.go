package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	queueLength = 10_000
	maxBatch    = 500

	table = `CREATE TABLE IF NOT EXISTS limit_tokens (
		jti BINARY(16) NOT NULL PRIMARY KEY, client BINARY(16) NOT NULL, credential BINARY(16) NOT NULL, api BINARY(16) NOT NULL,
		scope TEXT CHARACTER SET ascii NOT NULL, issued BIGINT NOT NULL, expires BIGINT NOT NULL, revision BIGINT NOT NULL,
		proof BINARY(32)) ENGINE=InnoDB`
	insert = "INSERT INTO limit_tokens (jti, client, credential, api, scope, issued, expires, revision, proof) VALUES "
	group  = "(?,?,?,?,?,?,?,?,?)"
	fields = 9
)

// row is a token as it is recorded.
type row struct {
	id, client, credential, api [16]byte
	issued, expires             time.Time
	proof                       [32]byte
	done                        chan error
}

// writer commits rows in batches: whatever has queued while the batch before was being committed, without a timer.
type writer struct {
	db    *sql.DB
	queue chan *row
}

func openWriter(ctx context.Context, database string) (*writer, error) {
	config, err := mysql.ParseDSN(database)
	if err != nil {
		return nil, fmt.Errorf("address of the database: %w", err)
	}
	config.InterpolateParams = true // one round trip for a batch of any size
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := sql.OpenDB(connector)
	if _, err := db.ExecContext(ctx, table); err != nil {
		return nil, fmt.Errorf("make table: %w", err)
	}
	return &writer{db: db, queue: make(chan *row, queueLength)}, nil
}

// add queues a row. The channel brings what became of it.
func (w *writer) add(t *row) <-chan error {
	t.done = make(chan error, 1)
	w.queue <- t
	return t.done
}

func (w *writer) run(ctx context.Context) {
	batch := make([]*row, 0, maxBatch)
	for {
		select {
		case first := <-w.queue:
			batch = append(batch[:0], first)
		case <-ctx.Done():
			return
		}
		for len(batch) < maxBatch && len(w.queue) > 0 {
			batch = append(batch, <-w.queue)
		}
		err := w.commit(ctx, batch)
		for _, t := range batch {
			t.done <- err
		}
	}
}

func (w *writer) commit(ctx context.Context, batch []*row) error {
	args := make([]any, 0, fields*len(batch))
	for _, t := range batch {
		args = append(args, t.id[:], t.client[:], t.credential[:], t.api[:], scope, t.issued.UnixMicro(), t.expires.UnixMicro(),
			int64(1), t.proof[:])
	}
	_, err := w.db.ExecContext(ctx, insert+group+strings.Repeat(","+group, len(batch)-1), args...) //nolint:gosec // constants, repeated
	return err
}
