package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// handler writes records as slog.JSONHandler does. What is of any urgency has left the process when Handle returns.
type handler struct {
	slog.Handler

	flush func() // nil: w keeps nothing back
}

func newHandler(w io.Writer, level slog.Leveler) *handler {
	h := &handler{Handler: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})}
	if gathers, ok := w.(interface{ Flush() }); ok {
		h.flush = gathers.Flush
	}
	return h
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if h.flush != nil && r.Level >= slog.LevelWarn {
		h.flush()
	}
	return err //nolint:wrapcheck // as if it were the handler itself
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.flush}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.flush}
}
