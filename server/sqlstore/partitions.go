package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	// bucketsPerPartition makes a partition an hour. A partition for each bucket would be four times as many files, for rows that
	// go at most 45 minutes sooner.
	bucketsPerPartition = uint32(time.Hour / auth.BucketLength)
	// headroom is how far ahead there are partitions: beyond the longest life of a token, long enough to mend what is broken.
	headroom = auth.MaxLifetime + 24*time.Hour
	// partitionsAtOnce is how many are made by one statement where nobody issues tokens yet. Each is a file to make, and
	// everybody waits meanwhile: maintenance makes and drops one at a time.
	partitionsAtOnce = 8
	// movable is how many rows may be in the catch-all partition when it is split. They are copied.
	movable = 20_000

	restPartition = "p_rest"
)

// A partition is known by its end, the first bucket that is not in it. Its name holds the bucket, in hexadecimal digits.
func partitionName(end uint32) string { return fmt.Sprintf("p%08x", end) }

func (s *Store) partitionEnds(ctx context.Context) ([]uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	rows, err := s.read.QueryContext(ctx, "SELECT partition_name FROM information_schema.partitions "+
		"WHERE table_schema = DATABASE() AND table_name = 'tokens' AND partition_name IS NOT NULL")
	if err != nil {
		return nil, s.failed("list partitions", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has it
	var ends []uint32
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, s.failed("list partitions", err)
		}
		if end, err := strconv.ParseUint(strings.TrimPrefix(name, "p"), 16, 32); err == nil {
			ends = append(ends, uint32(end))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("list partitions", err)
	}
	slices.Sort(ends)
	return ends, nil
}

// makePartitions splits the catch-all partition, which is empty as long as this is done in time.
// It makes some by each statement, and calls rest after each.
func (s *Store) makePartitions(ctx context.Context, now time.Time, some int, rest func(took time.Duration) error) error {
	ends, err := s.partitionEnds(ctx)
	if err != nil {
		return err
	}
	last := auth.Bucket(now) / bucketsPerPartition * bucketsPerPartition
	if len(ends) > 0 {
		last = max(last, ends[len(ends)-1])
	}
	var missing []uint32
	for last <= auth.Bucket(now.Add(headroom)) {
		last += bucketsPerPartition
		missing = append(missing, last)
	}
	if len(missing) == 0 {
		return nil
	}
	late := now.Add(headroom).Sub(bucketStart(missing[0]))
	if err := s.checkMovable(ctx); err != nil {
		return err
	}
	for chunk := range slices.Chunk(missing, some) {
		began := time.Now()
		var b strings.Builder
		for _, end := range chunk {
			id := auth.FirstTokenID(end)
			fmt.Fprintf(&b, "PARTITION %s VALUES LESS THAN (x'%x'), ", partitionName(end), id[:])
		}
		if err := s.alter(ctx, late, fmt.Sprintf("REORGANIZE PARTITION %s INTO (%sPARTITION %s VALUES LESS THAN (MAXVALUE))", restPartition, &b, restPartition)); err != nil {
			return err
		}
		if err := rest(time.Since(began)); err != nil {
			return err
		}
	}
	return nil
}

// checkMovable returns an error if splitting the catch-all partition would hold up the issuing of tokens.
func (s *Store) checkMovable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var rows int
	query := fmt.Sprintf("SELECT COUNT(*) FROM (SELECT 1 FROM tokens PARTITION (%s) LIMIT %d) some", restPartition, movable+1)
	if err := s.read.QueryRowContext(ctx, query).Scan(&rows); err != nil {
		return s.failed("count tokens without a partition", err)
	}
	if rows > movable {
		return fmt.Errorf("%w %s", errCrowded, restPartition)
	}
	return nil
}

// dropPartitions drops those whose tokens were expired at now, and returns how many there were.
func (s *Store) dropPartitions(ctx context.Context, now time.Time) (int, error) {
	ends, err := s.partitionEnds(ctx)
	if err != nil {
		return 0, err
	}
	dropped := 0
	for _, end := range ends {
		if end > auth.Bucket(now) {
			break
		}
		began := time.Now()
		if err := s.alter(ctx, now.Sub(bucketStart(end)), "DROP PARTITION "+partitionName(end)); err != nil {
			return dropped, err
		}
		dropped++
		if err := s.yield(ctx, time.Since(began)); err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// errCrowded says that maintenance was away for so long that only an operator can make room, by a statement that takes its time.
var errCrowded = errors.New("more tokens than can be moved in passing lie in the partition")

// headroom returns how far ahead there are partitions; negative if there are none ahead.
func (s *Store) headroom(ctx context.Context, now time.Time) (time.Duration, error) {
	ends, err := s.partitionEnds(ctx)
	if err != nil {
		return 0, err
	}
	if len(ends) == 0 {
		return -1, nil
	}
	return bucketStart(ends[len(ends)-1]).Sub(now), nil
}

func bucketStart(bucket uint32) time.Time {
	return time.Unix(0, 0).Add(time.Duration(bucket) * auth.BucketLength)
}
