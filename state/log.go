package state

import (
	"context"
	"log/slog"
	"os"

	"go.uber.org/zap/zapcore"
)

// logCore hands etcd's warnings and errors to a slog handler.
type logCore struct {
	handler slog.Handler
	fields  []zapcore.Field
}

// quiet tells whether a message is of no concern to an operator: it speaks of
// listeners, of which this member has none, or of a term that the very first
// start has not yet written when it looks for it.
func quiet(message string) bool {
	switch message {
	case "Running http and grpc server on single port. This is not recommended for production.",
		"Failed to detect schema version", "failed to update storage version":
		return true
	}
	return false
}

// Enabled lets warnings and worse through, and on request what was made quiet.
func (c logCore) Enabled(l zapcore.Level) bool {
	return l != zapcore.InfoLevel && c.handler.Enabled(context.Background(), slogLevel(l))
}

// With adds fields to every record.
func (c logCore) With(fields []zapcore.Field) zapcore.Core {
	c.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return c
}

// Check asks to write an entry that is enabled.
func (c logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if quiet(e.Message) {
		e.Level = zapcore.DebugLevel
	}
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write hands an entry over.
func (c logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range c.fields {
		f.AddTo(enc)
	}
	for _, f := range fields {
		f.AddTo(enc)
	}
	r := slog.NewRecord(e.Time, slogLevel(e.Level), "etcd: "+e.Message, 0)
	for k, v := range enc.Fields {
		r.AddAttrs(slog.Any(k, v))
	}
	return c.handler.Handle(context.Background(), r)
}

// Sync has nothing to do: the handler buffers nothing.
func (c logCore) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelError
	}
	if l == zapcore.WarnLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// lastWord ends the process when etcd can't go on, which is when it can't write:
// what was not written was not acknowledged either.
type lastWord struct{ log *slog.Logger }

// OnWrite says what is about to happen, and lets it.
func (w lastWord) OnWrite(e *zapcore.CheckedEntry, _ []zapcore.Field) {
	w.log.Error("the store can't go on, so this process ends; packets stay filtered", "reason", e.Message)
	os.Exit(1)
}
