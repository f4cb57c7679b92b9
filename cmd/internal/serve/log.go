package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	flushAt    = 32 << 10               // bytes
	flushAfter = 100 * time.Millisecond // age of the oldest line
)

// Log is a logger over a buffer; see Design notes for when it is flushed.
type Log struct {
	*slog.Logger

	lines *lines
}

// OpenLog returns a log that writes lines of the format (json or text) from the level (debug, info,
// warn or error) up. Its Close must be the last thing that a process does.
func OpenLog(w io.Writer, level, format string) (*Log, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	buffer := &lines{w: w}
	options := &slog.HandlerOptions{Level: l}
	f := flusher{lines: buffer}
	switch format {
	case "json":
		f.Handler, f.flat = slog.NewJSONHandler(buffer, options), true
	case "text":
		f.Handler = slog.NewTextHandler(buffer, options)
	default:
		return nil, fmt.Errorf("log format: %q is neither json nor text", format)
	}
	return &Log{Logger: slog.New(f), lines: buffer}, nil
}

// Close writes what is buffered. Lines that come later are written at once. It returns the first
// error that writing ever gave.
func (l *Log) Close() error { return l.lines.close() }

// flusher flushes after every line of level warning or above, and encodes plain lines itself.
type flusher struct {
	slog.Handler

	lines *lines
	flat  bool // JSON, without attributes or groups of the logger
}

// Handle implements slog.Handler.
func (f flusher) Handle(ctx context.Context, r slog.Record) error {
	written, err := false, error(nil)
	if f.flat {
		written, err = f.lines.encode(r)
	}
	if !written {
		err = f.Handler.Handle(ctx, r)
	}
	if r.Level >= slog.LevelWarn {
		err = errors.Join(err, f.lines.flush())
	}
	return err
}

// WithAttrs implements slog.Handler.
func (f flusher) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flusher{Handler: f.Handler.WithAttrs(attrs), lines: f.lines}
}

// WithGroup implements slog.Handler.
func (f flusher) WithGroup(name string) slog.Handler {
	return flusher{Handler: f.Handler.WithGroup(name), lines: f.lines}
}

// lines is the buffer. Its timer runs only while something is in it.
type lines struct {
	w      io.Writer
	mu     sync.Mutex
	buffer []byte
	timer  *time.Timer
	closed bool
	err    error // the first that writing gave
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.buffer)
	l.buffer = append(l.buffer, p...)
	return len(p), l.added(before)
}

// encode adds a record, unless it is not plain.
func (l *lines) encode(r slog.Record) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.buffer)
	b, ok := appendRecord(l.buffer, r)
	if !ok {
		l.buffer = b[:before]
		return false, nil
	}
	l.buffer = b
	return true, l.added(before)
}

// added writes the buffer out if it is full, and sees that it is written in time if not; before is how
// much was in it. The lock is held.
func (l *lines) added(before int) error {
	switch {
	case l.closed || len(l.buffer) >= flushAt:
		return l.empty()
	case l.timer == nil:
		l.timer = time.AfterFunc(flushAfter, func() { _ = l.flush() }) // the error is kept for close
	case before == 0: // the first line since the last flush
		l.timer.Reset(flushAfter)
	}
	return nil
}

func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.empty()
}

// empty writes the buffer out. The lock is held.
func (l *lines) empty() error {
	if len(l.buffer) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buffer)
	l.buffer = l.buffer[:0]
	if l.err == nil {
		l.err = err
	}
	return err
}

func (l *lines) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	_ = l.empty() // its error is in l.err
	return l.err
}
