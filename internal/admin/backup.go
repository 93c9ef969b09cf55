package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

// BackupType is the media type of a backup: a JSON object a line.
const BackupType = "application/x-ndjson"

const (
	backupFormat  = "caddy-multi-session/backup"
	backupVersion = 1
)

// The lines of a backup: one head, a line a record in the order of keys, and one end, by which a
// backup that broke off is told from a whole one.
type (
	backupHead struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
		TakenAt Time   `json:"taken_at"`
	}
	backupRecord struct {
		Key    string   `json:"key"`
		Value  []byte   `json:"value"`
		Expiry Time     `json:"expiry"`
		Terms  []string `json:"terms"`
	}
	backupEnd struct {
		Records int    `json:"records"`
		SHA256  string `json:"sha256"` // of all before this line, in hex
	}
)

func (s *server) backup(w http.ResponseWriter, r *http.Request, _ query) error {
	backup, records, err := s.takeBackup(r.Context())
	if err != nil {
		return err
	}
	s.audit.line(r, actionBackup, zap.Int("records", records))
	secure(w, BackupType)
	w.Header().Set("Content-Length", strconv.Itoa(len(backup)))
	_, _ = w.Write(backup) // fails only when the client has gone
	return nil
}

// takeBackup makes all of a backup before any of it is sent: a store that is walked may have to keep
// its writers waiting, and a client can be as slow as it likes.
func (s *server) takeBackup(ctx context.Context) (backup []byte, records int, err error) {
	var buffer bytes.Buffer
	enc := json.NewEncoder(&buffer) // a line for each value
	if err := enc.Encode(backupHead{backupFormat, backupVersion, Time{s.Now()}}); err != nil {
		return nil, 0, err
	}
	// One walk over everything, and not one for each kind of records, is what makes it of one instant.
	err = s.Store.Walk(ctx, "", func(record storage.Record) error {
		if !slices.ContainsFunc(user.Prefixes, func(prefix string) bool { return strings.HasPrefix(record.Key, prefix) }) {
			return nil
		}
		records++
		return enc.Encode(backupRecord{record.Key, record.Value, Time{record.Expiry}, list(record.Terms)})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("take backup: %w", err)
	}
	sum := sha256.Sum256(buffer.Bytes())
	if err := enc.Encode(backupEnd{records, hex.EncodeToString(sum[:])}); err != nil {
		return nil, 0, err
	}
	return buffer.Bytes(), records, nil
}
