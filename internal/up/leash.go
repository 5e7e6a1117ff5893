package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// leashDescriptor is the file descriptor under which a child finds its pipe: the first after the standard ones.
const leashDescriptor = 3

// Leash reads a child's settings from the pipe that its parent made and returns a context that ends with the parent, or
// when the parent says so.
func Leash(ctx context.Context, settings any) (context.Context, error) {
	pipe := os.NewFile(leashDescriptor, "leash")
	if pipe == nil {
		return nil, errors.New("this command is for the parts of `up` alone")
	}
	decoder := json.NewDecoder(pipe)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(settings); err != nil {
		return nil, fmt.Errorf("this command is for the parts of `up` alone: read settings from file descriptor %d: %w", leashDescriptor, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the process: the pipe is open as long as the parent lives
		_, _ = io.Copy(io.Discard, pipe)
		cancel()
	}()
	return ctx, nil
}
