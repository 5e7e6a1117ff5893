package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Idle is what connections cost a process while nothing happens on them.
type Idle struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Before      int64  `json:"resident_bytes_before"`
	After       int64  `json:"resident_bytes_after"`
}

// Each returns the bytes of one connection.
func (i Idle) Each() int64 { return (i.After - i.Before) / int64(i.Connections) }

const beforehand = 2 * time.Second // of load

// idle measures a process by how much it grows as connections are opened on which one request each was answered. The side's load goes over
// it before, so that what a process has once and for all is not counted.
func idle(ctx context.Context, side Side, pid, count int) (Idle, error) {
	result := Idle{Name: side.Name, Connections: count}
	load := side.Load
	load.Duration = beforehand
	_, err := load.Run(ctx)
	if err != nil {
		return result, err
	}
	if result.Before, err = resident(pid); err != nil {
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
	if result.After, err = resident(pid); err != nil {
		return result, err
	}
	for n, c := range connections { // each of them is still there
		if err := once(c, side.Load); err != nil {
			return result, fmt.Errorf("connection %d of %d, idle: %w", n, count, err)
		}
	}
	return result, nil
}

// once sends the first request of a load and checks its answer.
func once(c net.Conn, load Load) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(load.Requests[0]); err != nil {
		return err
	}
	from := bufio.NewReader(c)
	body, err := readAnswer(from, nil)
	if err != nil {
		return err
	}
	if from.Buffered() > 0 {
		return errors.New("more than one answer")
	}
	return load.Body(body)
}

func idleTable(all []Idle) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s idle connections of | KiB each |\n|---|---|\n", thousands(float64(all[0].Connections)))
	for _, i := range all {
		fmt.Fprintf(&b, "| %s | %.1f |\n", i.Name, float64(i.Each())/1024)
	}
	return b.String()
}
