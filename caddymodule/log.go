package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// currentLogger returns a logger that writes to Caddy's default log as it is configured at the time
// of each line. Whatever outlives a configuration must not keep that configuration's logger, because
// Caddy closes its files.
func currentLogger(name string) *zap.Logger {
	return zap.New(currentCore{}).Named(name)
}

type currentCore struct{ fields []zapcore.Field }

func (currentCore) Enabled(level zapcore.Level) bool { return caddy.Log().Core().Enabled(level) }

func (c currentCore) With(fields []zapcore.Field) zapcore.Core {
	return currentCore{append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c currentCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c currentCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	core := caddy.Log().Core()
	if checked := core.Check(entry, nil); checked != nil {
		checked.Write(append(c.fields[:len(c.fields):len(c.fields)], fields...)...)
	}
	return nil
}

func (currentCore) Sync() error { return caddy.Log().Core().Sync() }
