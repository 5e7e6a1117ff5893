package bench

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"github.com/countersign/countersign/server/auth"
)

const (
	rowsSpan  = 12 * time.Hour // within which tokens expire, and did
	rowsHours = int(rowsSpan / time.Hour)
	// keptTokens is how many opaque tokens are remembered, to be introspected, at most; and one in keptShare.
	keptTokens = 120_000
	keptShare  = 25
	// rowsAhead is what the first live token has left, so that none expires before the end.
	rowsAhead = 30 * time.Minute
)

// checksum is over rows in any order.
type checksum struct {
	count int64
	sum   uint32
}

// add counts a row in.
func (c *checksum) add(token, client []byte) {
	c.count++
	c.sum ^= crc32.Update(crc32.ChecksumIEEE(token), crc32.IEEETable, client)
}

// hour is a span of tokens to be made, and what was made.
type hour struct {
	from, to  time.Time
	rows      int
	live      bool
	last      bool // its latest tokens are remembered, to be restored
	made      checksum
	kept      []string
	quarter   []string
	clients   []credentials
	apis      map[string]auth.APIID
	keepEvery int
}

// fill makes all tokens, an hour at a time for each of two connections.
func (w *rowsWorld) fill() {
	w.Helper()
	before := w.tableBytes()
	hours := w.plan()
	w.pastPartitions()
	var filling errgroup.Group
	filling.SetLimit(2)
	for _, h := range hours {
		filling.Go(func() error { return w.load(h) })
	}
	w.check(filling.Wait())
	w.filled(hours)
	w.perRow = float64(w.tableBytes()-before) / float64(2*w.count)
}

// filled takes over what the hours know of the tokens that were made.
func (w *rowsWorld) filled(hours []*hour) {
	for _, h := range hours {
		if h.live {
			w.made.count, w.made.sum = w.made.count+h.made.count, w.made.sum^h.made.sum
		}
		w.kept, w.quarter = append(w.kept, h.kept...), append(w.quarter, h.quarter...)
	}
	rand.Shuffle(len(w.kept), func(i, j int) { w.kept[i], w.kept[j] = w.kept[j], w.kept[i] })
}

// plan returns the spans: of the expired tokens whole hours, as partitions are.
func (w *rowsWorld) plan() (hours []*hour) {
	past := w.began.Truncate(time.Hour).Add(-rowsSpan)
	ahead := w.began.Add(rowsAhead).Truncate(time.Second)
	// The issuing of the latest one lies before the benchmark's beginning.
	each := (rowsSpan - rowsAhead) / time.Duration(rowsHours)
	keep := max(keptShare, w.count/keptTokens)
	for n := range rowsHours {
		rows := w.count*(n+1)/rowsHours - w.count*n/rowsHours
		from := past.Add(time.Duration(n) * time.Hour)
		w.hours = append(w.hours, auth.Bucket(from.Add(time.Hour)))
		hours = append(hours,
			&hour{from: from, to: from.Add(time.Hour), rows: rows, clients: w.clients, apis: w.full.apis},
			&hour{
				from: ahead.Add(time.Duration(n) * each), to: ahead.Add(time.Duration(n+1) * each), rows: rows, live: true, last: n == rowsHours-1,
				clients: w.clients, apis: w.full.apis, keepEvery: keep,
			})
	}
	return hours
}

// pastPartitions splits the first partition, which is empty, so that the expired tokens lie as they would if they had been issued.
func (w *rowsWorld) pastPartitions() {
	w.Helper()
	var first string
	w.check(w.full.db.QueryRowContext(w.Context(), "SELECT partition_name FROM information_schema.partitions WHERE table_schema = DATABASE() "+
		"AND table_name = 'tokens' ORDER BY partition_ordinal_position LIMIT 1").Scan(&first))
	bucket := strings.TrimPrefix(first, "p")
	var parts strings.Builder
	for _, end := range w.hours {
		id := auth.FirstTokenID(end)
		fmt.Fprintf(&parts, "PARTITION p%08x VALUES LESS THAN (x'%x'), ", end, id[:])
	}
	w.full.exec(fmt.Sprintf("ALTER TABLE tokens REORGANIZE PARTITION %s INTO (%sPARTITION %s VALUES LESS THAN (x'%s%024d'))", first, &parts, first, bucket, 0))
}

// loads numbers them: the driver knows readers by name.
var loads atomic.Int64 //nolint:gochecknoglobals // of the process, as the driver's registry is

// load sends the tokens of an hour. They are in the order of the primary key, which is quickest.
func (w *rowsWorld) load(h *hour) error {
	ctx := w.Context()
	conn, err := w.full.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	defer conn.Close()
	name := fmt.Sprintf("hour-%d", loads.Add(1))
	in, out := io.Pipe()
	mysql.RegisterReaderHandler(name, func() io.Reader { return in })
	defer mysql.DeregisterReaderHandler(name)
	go func() { out.CloseWithError(h.write(ctx, out)) }()
	defer in.Close()
	for _, statement := range []string{
		"SET SESSION unique_checks = 0, foreign_key_checks = 0",
		"LOAD DATA LOCAL INFILE 'Reader::" + name + "' INTO TABLE tokens CHARACTER SET binary (@jti, @client, @credential, @api, scope, issued, expires, revision, @proof) " +
			"SET jti = UNHEX(@jti), client = UNHEX(@client), credential = UNHEX(@credential), api = UNHEX(@api), proof = UNHEX(NULLIF(@proof, ''))",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// write sends the tokens as lines.
func (h *hour) write(ctx context.Context, to io.Writer) error {
	out := bufio.NewWriterSize(to, 1<<20)
	var line []byte
	err := h.each(ctx, func(t *auth.Token) error {
		line = line[:0]
		for _, field := range [][]byte{t.ID[:], t.Client[:], t.Credential[:], t.API[:]} {
			line = append(hex.AppendEncode(line, field), '\t')
		}
		line = fmt.Appendf(line, "%s\t%d\t%d\t0\t", t.Scope, t.Issued.UnixMicro(), t.Expires.UnixMicro())
		if t.Proof != [sha256.Size]byte{} {
			line = hex.AppendEncode(line, t.Proof[:])
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// each makes the tokens, in the order of the primary key: half of them JWTs, for clients at random.
func (h *hour) each(ctx context.Context, do func(*auth.Token) error) error {
	random := rand.NewChaCha8([32]byte{byte(h.from.Unix())})
	span := h.to.Sub(h.from)
	for n := range h.rows {
		expires := h.from.Add(time.Duration(float64(span) * float64(n) / float64(h.rows))).Truncate(time.Second)
		t := &auth.Token{Scope: "read write", Issued: expires.Add(-rowsSpan), Expires: expires, ID: auth.FirstTokenID(auth.Bucket(expires))}
		binary.BigEndian.PutUint32(t.ID[4:], uint32(t.Issued.Unix()))
		binary.BigEndian.PutUint32(t.ID[8:], uint32(n)) // rises within a second
		binary.BigEndian.PutUint32(t.ID[12:], uint32(random.Uint64()))
		client := h.clients[random.Uint64()%uint64(len(h.clients))]
		t.Client, t.Credential, t.API = client.id, client.secret, h.apis[jwtAPI]
		switch {
		case h.keepEvery > 0 && n%h.keepEvery == 0:
			h.keep(t.Mint(), expires)
		case n%2 == 0:
			_, _ = random.Read(t.Proof[:])
		}
		if t.Proof != [sha256.Size]byte{} {
			t.API = h.apis[opaqueAPI]
		}
		if err := do(t); err != nil {
			return err
		}
		h.made.add(t.ID[:], t.Client[:])
		if n%10_000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// keep remembers a token.
func (h *hour) keep(token string, expires time.Time) {
	if h.last && auth.Bucket(expires) == auth.Bucket(h.to.Add(-time.Second)) {
		h.quarter = append(h.quarter, token)
		return
	}
	h.kept = append(h.kept, token)
}
