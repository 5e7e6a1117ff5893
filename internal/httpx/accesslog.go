package httpx

import (
	"context"
	"encoding"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// lineWriter is a slog.Handler that takes lines whose members are encoded already, as that of package telemetry does. A line costs a third
// of what it costs as a slog.Record.
type lineWriter interface {
	// WriteLine writes a line. message needs no escaping; members appends what else is in the line's object, each after a comma.
	WriteLine(at time.Time, level slog.Level, message string, members encoding.TextAppender) error
}

const accessMessage = "request"

// log writes the line of an exchange that is over.
func (e *Edge) log(ctx context.Context, x *Exchange) {
	level := slog.LevelInfo
	switch {
	case x.Quiet:
		level = slog.LevelDebug
	case x.status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case x.status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	if !e.Log.Enabled(ctx, level) {
		return
	}
	at := x.began.Add(x.took)
	if w, ok := e.Log.Handler().(lineWriter); ok && x.plain() {
		_ = w.WriteLine(at, level, accessMessage, (*accessLine)(x)) // as every logger does
		return
	}
	// Not by the logger's own method: it walks the stack to find this line, each time.
	record := slog.NewRecord(at, level, accessMessage, 0)
	record.AddAttrs(x.attrs()...)
	_ = e.Log.Handler().Handle(ctx, record) // as every logger does
}

// attrs are what the line says. accessLine says the same.
func (x *Exchange) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("request_id", x.ID), slog.String("method", x.method), slog.String("route", x.Route),
		slog.Int("status", x.status), slog.Int64("duration_us", x.took.Microseconds()),
		slog.Int64("bytes", x.bytes), slog.String("address", x.Address.String()),
	}
	if x.Client != "" {
		attrs = append(attrs, slog.String("client_id", x.Client))
	}
	if x.Fault != nil {
		attrs = append(attrs, slog.String("fault", string(x.Fault.Code)))
		if x.status >= http.StatusInternalServerError {
			attrs = append(attrs, slog.Any("error", x.cause))
		}
	}
	return append(attrs, x.Details...)
}

// plain tells whether accessLine can say it: whether it is numbers and text that needs no escaping.
func (x *Exchange) plain() bool {
	if x.Fault != nil && x.status >= http.StatusInternalServerError || !plain(x.ID) || !plain(x.method) || !plain(x.Route) || !plain(x.Client) {
		return false
	}
	for i := range x.Details {
		d := &x.Details[i]
		switch d.Value.Kind() { //nolint:exhaustive // others are encoded by slog
		case slog.KindInt64:
		case slog.KindString:
			if !plain(d.Value.String()) {
				return false
			}
		default:
			return false
		}
		if d.Key == "" || !plain(d.Key) {
			return false
		}
	}
	return true
}

// plain tells whether text stands for itself in JSON.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}

// accessLine is an exchange as its line says it.
type accessLine Exchange

// AppendText implements encoding.TextAppender: the members of the line, each after a comma.
func (x *accessLine) AppendText(dst []byte) ([]byte, error) {
	dst = appendString(dst, `,"request_id":"`, x.ID)
	dst = appendString(dst, `,"method":"`, x.method)
	dst = appendString(dst, `,"route":"`, x.Route)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(x.status), 10)
	dst = append(dst, `,"duration_us":`...)
	dst = strconv.AppendInt(dst, x.took.Microseconds(), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, x.bytes, 10)
	dst = append(dst, `,"address":"`...)
	if x.Address.IsValid() {
		dst = append(x.Address.AppendTo(dst), '"')
	} else {
		dst = append(dst, x.Address.String()+`"`...)
	}
	if x.Client != "" {
		dst = appendString(dst, `,"client_id":"`, x.Client)
	}
	if x.Fault != nil {
		dst = appendString(dst, `,"fault":"`, string(x.Fault.Code))
	}
	for i := range x.Details {
		d := &x.Details[i]
		dst = appendString(dst, `,"`, d.Key)
		if d.Value.Kind() == slog.KindInt64 {
			dst = strconv.AppendInt(append(dst, ':'), d.Value.Int64(), 10)
			continue
		}
		dst = appendString(dst, `:"`, d.Value.String())
	}
	return dst, nil
}

// appendString appends what opens a string, the string, and what closes it.
func appendString(dst []byte, opening, text string) []byte {
	return append(append(append(dst, opening...), text...), '"')
}
