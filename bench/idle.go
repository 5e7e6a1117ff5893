package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

const (
	beforehand    = 2 * time.Second // of load
	perConnection = "of each"       // in KiB
)

// idle measures a process by how much it grows as connections are opened on which one request each was answered. The side's load goes over
// it before, so that what a process has once and for all is not counted.
func idle(ctx context.Context, side Side, pid, count int) (report.Side, error) {
	result := report.Side{Name: side.Name}
	load := side.Load
	load.Duration = beforehand
	_, err := load.Run(ctx)
	if err != nil {
		return result, err
	}
	before, err := resident(pid)
	if err != nil {
		return result, err
	}
	connections := make([]net.Conn, 0, count)
	defer func() {
		for _, c := range connections {
			_ = c.Close() // nothing is left to be said on it
		}
	}()
	var dialer net.Dialer
	for n := range count {
		c, err := dialer.DialContext(ctx, "tcp", side.Load.Address)
		if err != nil {
			return result, fmt.Errorf("connection %d: %w", n, err)
		}
		connections = append(connections, c)
		if err := once(c, side.Load); err != nil {
			return result, fmt.Errorf("connection %d: %w", n, err)
		}
	}
	after, err := resident(pid)
	if err != nil {
		return result, err
	}
	result.Figures = []report.Figure{report.NewFigure(perConnection, "KiB", float64(after-before)/1024/float64(count))}
	for n, c := range connections { // each of them is still there
		if err := once(c, side.Load); err != nil {
			return result, fmt.Errorf("connection %d of %d, idle: %w", n, count, err)
		}
	}
	return result, nil
}

// once sends the first request of a load and checks its answer.
func once(c net.Conn, load generator.Load) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(load.Requests[0]); err != nil {
		return err
	}
	from := bufio.NewReader(c)
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || from.Buffered() > 0 {
		return fmt.Errorf("%s, and %d bytes behind the answer", answer.Status, from.Buffered())
	}
	return load.Body(body)
}
