package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// alterWait bounds a statement that makes or drops partitions, which takes milliseconds once the table is free.
	alterWait = 10 * time.Second
	// alterLook is how often is looked whether such a statement waits for the table. It is ended if it does so at two looks in a row: whoever
	// comes after it, to issue a token say, waits behind it.
	alterLook = 20 * time.Millisecond
	// alterTries is how often it is tried: the statements of servers that issue tokens leave the table every few milliseconds.
	alterTries = 5
	// alterOverdue is how late a change may be before it makes others wait, for up to a second: on a disk so slow that the table is
	// never free for a moment, partitions would run out.
	alterOverdue = 12 * time.Hour
)

var (
	// errDenied says that the database user may not change the table.
	errDenied = errors.New("the database user may not alter or drop partitions of the table tokens")
	// errInUse says that somebody reads the table for long, and goes on if nobody makes others wait: a dump, a report.
	errInUse = errors.New("a transaction has used the table tokens for long")
)

// alter changes the partitions of the table of tokens, which could have been done for late. It returns errInUse if the table does not get free.
func (s *Store) alter(ctx context.Context, late time.Duration, change string) error {
	ctx, cancel := context.WithTimeout(ctx, alterWait)
	defer cancel()
	watch := s.endWaiting
	if late > alterOverdue {
		watch = func(context.Context, uint64) bool { return false }
	}
	for try := 1; ; try++ {
		took, err := s.tryAlter(ctx, change, watch)
		if !errors.Is(err, errInUse) || try == alterTries {
			return err
		}
		if pause(ctx, 4*took); ctx.Err() != nil {
			return err // the table is in use, all the same
		}
	}
}

// tryAlter returns errInUse if watch had to end the statement since it waited.
func (s *Store) tryAlter(ctx context.Context, change string, watch func(context.Context, uint64) bool) (took time.Duration, err error) {
	conn, err := s.setup.Conn(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	var id uint64
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return 0, s.failed("alter the table tokens", err)
	}
	watching, stop := context.WithCancel(ctx)
	ended := make(chan bool, 1)
	go func() { ended <- watch(watching, id) }()
	began := time.Now()
	_, err = conn.ExecContext(ctx, "ALTER TABLE tokens "+change)
	took = time.Since(began)
	stop()
	switch inUse := <-ended; {
	case err == nil:
		return took, nil
	case inUse:
		return took, fmt.Errorf("%w: %w", errInUse, err)
	case s.dialect.classify(err) == denied:
		return took, fmt.Errorf("%w: %w", errDenied, err)
	}
	return took, s.failed("alter the table tokens", err)
}

// endWaiting ends the statement of a connection if it waits for a lock, until ctx is done, and reports whether it did. A database user
// sees and ends its own statements without a right to. MariaDB and MySQL know no bound on such a wait that is below a second.
func (s *Store) endWaiting(ctx context.Context, connection uint64) (ended bool) {
	waited := false
	for pause(ctx, alterLook); ctx.Err() == nil; pause(ctx, alterLook) {
		var waits bool
		err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) > 0 FROM information_schema.processlist "+
			"WHERE id = ? AND info LIKE 'ALTER TABLE tokens %' AND state LIKE 'Waiting for % lock'", connection).Scan(&waits)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "cannot tell whether a change of partitions waits", "error", err.Error())
		}
		if waits && waited {
			_, err := s.read.ExecContext(ctx, "KILL QUERY "+strconv.FormatUint(connection, 10))
			ended = ended || err == nil
		}
		waited = waits
	}
	return ended
}
