package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// backupVerifier checks that the backup written to it is complete and undamaged: its last line has
// the number of records and a checksum. The records themselves are checked by the gateway that
// restores them.
type backupVerifier struct {
	sum   hash.Hash // of all lines before the current one
	lines int       // how many lines came before the current one
	line  []byte    // the current line
	ended bool      // the current line has its line feed
	head  []byte    // the first line
}

func newBackupVerifier() *backupVerifier { return &backupVerifier{sum: sha256.New()} }

// Write implements io.Writer. It never fails.
func (v *backupVerifier) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if v.ended { // another line begins, so the current one is not the last
			if v.lines == 0 {
				v.head = bytes.Clone(v.line)
			}
			v.sum.Write(v.line)
			v.lines++
			v.line, v.ended = v.line[:0], false
		}
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			v.line = append(v.line, rest...)
			break
		}
		v.line, v.ended = append(v.line, rest[:end]...), true
		rest = rest[end:]
	}
	return len(p), nil
}

// finish returns the number of records. Call it after all of the backup is written.
func (v *backupVerifier) finish() (records int, err error) {
	var end struct {
		Records *int   `json:"records"`
		SHA256  string `json:"sha256"`
	}
	switch {
	case !v.ended || json.Unmarshal(v.line, &end) != nil || end.Records == nil || v.lines == 0:
		return 0, errors.New("the backup is not whole: its end is missing")
	case end.SHA256 != hex.EncodeToString(v.sum.Sum(nil)):
		return 0, errors.New("the backup is damaged: its checksum does not match")
	case *end.Records != v.lines-1:
		return 0, fmt.Errorf("the backup is damaged: it has %d records, not %d", v.lines-1, *end.Records)
	}
	return *end.Records, nil
}

// takenAt returns when the backup was taken, zero if the backup does not say.
func (v *backupVerifier) takenAt() time.Time {
	var head struct {
		TakenAt admin.Time `json:"taken_at"`
	}
	if json.Unmarshal(v.head, &head) != nil {
		return time.Time{}
	}
	return head.TakenAt.Time
}
