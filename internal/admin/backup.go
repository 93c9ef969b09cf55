package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"go.uber.org/zap"
)

// BackupType is the media type of a backup, which has one JSON object on each line.
const BackupType = "application/x-ndjson"

const (
	backupFormat = "caddy-multi-session/backup"

	// backupVersion is the version that is written. Version 1 is the same without the user names of
	// providers' accounts, and is read too.
	backupVersion = 2
)

// The lines of a backup: a head, a line for each record in the order of keys, and an end. Without
// the end, a backup is incomplete.
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
		SHA256  string `json:"sha256"` // of all lines before this one, in hex
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
	_, _ = w.Write(backup) // fails only if the client has gone
	return nil
}

// takeBackup builds the whole backup before any of it is sent, because it begins with how long it is.
func (s *server) takeBackup(ctx context.Context) (backup []byte, n int, err error) {
	records, err := s.Users.Backup(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("take backup: %w", err)
	}
	var buffer bytes.Buffer
	enc := json.NewEncoder(&buffer) // one line for each value
	if err := enc.Encode(backupHead{backupFormat, backupVersion, Time{s.Now()}}); err != nil {
		return nil, 0, err
	}
	for _, record := range records {
		if err := enc.Encode(backupRecord{record.Key, record.Value, Time{record.Expiry}, list(record.Terms)}); err != nil {
			return nil, 0, err
		}
	}
	sum := sha256.Sum256(buffer.Bytes())
	if err := enc.Encode(backupEnd{len(records), hex.EncodeToString(sum[:])}); err != nil {
		return nil, 0, err
	}
	return buffer.Bytes(), len(records), nil
}
