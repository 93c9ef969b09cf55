package admin

import "go.uber.org/zap"

// audit writes a line for each thing that was changed, and for each backup that was handed out: it
// has everybody's hashes. No line has a password, a hash or a code.
type audit struct{ log *zap.Logger }
