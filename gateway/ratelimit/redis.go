package ratelimit

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

const prefix = "csr:"

//go:embed gcra.lua
var scriptText string

//nolint:gochecknoglobals // compiled once, never changed
var script = redisconn.NewScript(scriptText)

var errAnswer = errors.New("redis answered what the script of rate limits does not")

func takeFromRedis(ctx context.Context, conn *redisconn.Conn, n name, limit Limit) (Verdict, error) {
	key := prefix + base64.RawURLEncoding.EncodeToString(n[:])
	answer, err := conn.Eval(ctx, script, []string{key}, limit.interval().Microseconds(), limit.Burst)
	if err != nil {
		return Verdict{}, err
	}
	return read(answer)
}

func read(answer any) (Verdict, error) {
	fields, ok := answer.([]any)
	if !ok || len(fields) != 4 {
		return Verdict{}, errAnswer
	}
	var numbers [4]int64
	for i, field := range fields {
		if numbers[i], ok = field.(int64); !ok || numbers[i] < 0 {
			return Verdict{}, errAnswer
		}
	}
	return Verdict{
		Allowed:    numbers[0] == 1,
		RetryAfter: time.Duration(numbers[1]) * time.Microsecond,
		Remaining:  int(numbers[2]),
		Reset:      time.Duration(numbers[3]) * time.Microsecond,
	}, nil
}
