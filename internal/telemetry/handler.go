package telemetry

import (
	"context"
	"encoding"
	"io"
	"log/slog"
	"sync"
	"time"
)

// flushing writes records as its Handler does. What is of any urgency has left the process when Handle returns.
type flushing struct {
	slog.Handler

	flush func() // nil: nothing is kept back
}

// Handle implements slog.Handler.
func (h *flushing) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	h.done(r.Level)
	return err //nolint:wrapcheck // as if it were the handler itself
}

func (h *flushing) done(level slog.Level) {
	if h.flush != nil && level >= slog.LevelWarn {
		h.flush()
	}
}

// WithAttrs implements slog.Handler.
func (h *flushing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &flushing{h.Handler.WithAttrs(attrs), h.flush}
}

// WithGroup implements slog.Handler.
func (h *flushing) WithGroup(name string) slog.Handler {
	return &flushing{h.Handler.WithGroup(name), h.flush}
}

// handler is a slog.JSONHandler that flushes, and takes lines that are encoded already.
type handler struct {
	flushing

	to      io.Writer
	buffers sync.Pool
}

func newHandler(w io.Writer, level slog.Leveler) *handler {
	h := &handler{to: w, buffers: sync.Pool{New: func() any { return new([]byte) }}}
	if lines, ok := w.(*Lines); ok {
		h.flush = lines.Flush
	} else {
		h.to = &oneByOne{to: w}
	}
	h.Handler = slog.NewJSONHandler(h.to, &slog.HandlerOptions{Level: level})
	return h
}

// WriteLine writes a line of level and message, and of what members appends: members of the line's JSON object, each after a comma. message
// needs no escaping. It reads as a slog.JSONHandler would have written it. The level is not looked at.
func (h *handler) WriteLine(at time.Time, level slog.Level, message string, members encoding.TextAppender) error {
	buffer := h.buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in the pool
	defer h.buffers.Put(buffer)
	line := append((*buffer)[:0], `{"time":"`...)
	line = at.AppendFormat(line, time.RFC3339Nano)
	line = append(append(line, `","level":"`...), level.String()...)
	line = append(append(append(line, `","msg":"`...), message...), '"')
	line, err := members.AppendText(line)
	if err != nil {
		return err //nolint:wrapcheck // of who called
	}
	*buffer = append(line, '}', '\n')
	_, err = h.to.Write(*buffer)
	h.done(level)
	return err //nolint:wrapcheck // as if it were the handler itself
}

// oneByOne lets one write to a writer at a time.
type oneByOne struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer.
func (w *oneByOne) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p) //nolint:wrapcheck // as if it were the writer itself
}
