package ratelimit

import (
	"context"
	_ "embed"
	"errors"

	"github.com/countersign/countersign/internal/redisconn"
)

//go:embed gcra.lua
var scriptText string

//nolint:gochecknoglobals // compiled once, never changed
var script = redisconn.NewScript(scriptText)

var errAnswer = errors.New("redis answered what the script of rate limits does not")

func takeFromRedis(ctx context.Context, conn *redisconn.Conn, key string, limit Limit) (Verdict, error) {
	answer, err := conn.Eval(ctx, script, []string{key}, limit.interval().Microseconds(), limit.Burst)
	if err != nil {
		return Verdict{}, err
	}
	return read(answer)
}

func read(answer any) (Verdict, error) {
	numbers, err := numbersOf(answer, 4)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{
		Allowed: numbers[0] == 1, RetryAfter: micros(numbers[1]), Remaining: int(numbers[2]), Reset: micros(numbers[3]),
	}, nil
}

// numbersOf reads an answer of n whole numbers, none of them negative.
func numbersOf(answer any, n int) ([]int64, error) {
	fields, ok := answer.([]any)
	if !ok || len(fields) != n {
		return nil, errAnswer
	}
	numbers := make([]int64, n)
	for i, field := range fields {
		if numbers[i], ok = field.(int64); !ok || numbers[i] < 0 {
			return nil, errAnswer
		}
	}
	return numbers, nil
}
