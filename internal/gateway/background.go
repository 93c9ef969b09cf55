package gateway

import (
	"errors"

	"go.uber.org/zap"
)

var errPanicked = errors.New("panicked")

// contain runs work that is done besides the requests, logs its panic and returns errPanicked then.
// A panic of a request is contained by the server. This one would end Caddy with all its sites.
func contain(log *zap.Logger, what string, work func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("contained a panic", zap.String("in", what), zap.Any("panic", p), zap.Stack("stack"))
			err = errPanicked
		}
	}()
	work()
	return nil
}
