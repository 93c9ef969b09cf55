package admin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"iter"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

// Bounds of a backup that is read.
const (
	maxBackup     = 1 << 30
	maxBackupLine = storage.MaxValueBytes * 3 / 2 // a record of storage.MaxValueBytes in base64, and its key
)

// restore reads and verifies a whole backup, and then replaces everything by it. A backup has no
// sessions, so all existing ones end; the epochs end those that are just being created.
func (s *server) restore(w http.ResponseWriter, r *http.Request, _ query) error {
	replacer, ok := s.Store.(storage.Replacer)
	if !ok {
		return failure(http.StatusNotImplemented, "the store cannot replace all that it has")
	}
	if err := wantType(r, BackupType); err != nil {
		return err
	}
	saved, err := readBackup(http.MaxBytesReader(w, r.Body, maxBackup))
	if err != nil {
		return err
	}
	// From here on the restore continues even if the client goes away.
	ctx := context.WithoutCancel(r.Context())
	err = s.Users.Restore(ctx, saved, func(ctx context.Context, users iter.Seq2[storage.Record, error]) error {
		lasting, err := s.Jars.Lasting(ctx)
		if err != nil {
			return err
		}
		return replacer.Replace(ctx, func(yield func(storage.Record, error) bool) {
			for _, record := range lasting {
				if !yield(record, nil) {
					return
				}
			}
			users(yield)
		})
	})
	s.Jars.Forget() // also after a failure, which may have happened after the write
	if err != nil {
		return err
	}
	var answer Restored
	answer.Users, answer.Invitations = saved.Len()
	s.audit.line(r, actionRestore, zap.Int("users", answer.Users), zap.Int("invitations", answer.Invitations))
	return writeJSON(w, http.StatusOK, answer)
}

// readBackup reads a whole backup. Its errors are problems.
func readBackup(body io.Reader) (*user.Saved, error) {
	lines := &lineReader{in: bufio.NewReaderSize(body, maxBackupLine), sum: sha256.New()}
	var head backupHead
	err := lines.read(map[string]any{"format": &head.Format, "version": &head.Version, "taken_at": &head.TakenAt})
	switch {
	case err != nil:
		return nil, err
	case head.Format != backupFormat:
		return nil, lines.wrong("this is no backup: the format is %q", bounded(head.Format))
	case head.Version < 1 || head.Version > backupVersion:
		return nil, lines.wrong("the backup is of version %d, and this release reads versions 1 to %d", head.Version, backupVersion)
	}
	saved := new(user.Saved)
	for records := 0; ; records++ {
		var record backupRecord
		var end backupEnd
		before := lines.sum.Sum(nil)
		err := lines.read(
			map[string]any{"key": &record.Key, "value": &record.Value, "expiry": &record.Expiry, "terms": &record.Terms},
			map[string]any{"records": &end.Records, "sha256": &end.SHA256},
		)
		if err != nil {
			return nil, err
		}
		if end.SHA256 != "" {
			return saved, lines.finish(end, records, before, saved)
		}
		if err := saved.Add(storage.Record{Key: record.Key, Value: record.Value, Expiry: record.Expiry.Time, Terms: record.Terms}); err != nil {
			return nil, lines.wrong("%v", err)
		}
	}
}

// finish checks that the backup is complete and undamaged.
func (l *lineReader) finish(end backupEnd, records int, sum []byte, saved *user.Saved) error {
	switch {
	case end.Records != records:
		return l.wrong("there are %d records, and not %d", records, end.Records)
	case end.SHA256 != hex.EncodeToString(sum):
		return l.wrong("the checksum is another one: the backup was changed")
	}
	if _, err := l.in.ReadByte(); !errors.Is(err, io.EOF) {
		return l.wrong("there is more after the end")
	}
	if err := saved.Complete(); err != nil {
		return l.wrong("%v", err)
	}
	return nil
}

// lineReader reads one JSON object a line and computes the checksum of what it has read.
type lineReader struct {
	in   *bufio.Reader
	sum  hash.Hash
	line int
}

func (l *lineReader) wrong(format string, args ...any) *problem {
	return invalid("line %d: %v", l.line, failure(0, format, args...))
}

// read reads a line that has all members of one of the shapes and no others.
func (l *lineReader) read(shapes ...map[string]any) error {
	l.line++
	line, err := l.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return l.wrong("longer than %d bytes", maxBackupLine)
	case errors.Is(err, io.EOF):
		return l.wrong("the backup breaks off")
	case err != nil:
		return unread(err)
	}
	l.sum.Write(line)
	members := make(map[string]any)
	for _, shape := range shapes {
		for name, into := range shape {
			members[name] = into
		}
	}
	given, err := parseObject(line, members)
	if err != nil {
		return l.wrong("%v", err)
	}
	fits := func(shape map[string]any) bool {
		return len(given) == len(shape) && !slices.ContainsFunc(given, func(name string) bool { return shape[name] == nil })
	}
	if !slices.ContainsFunc(shapes, fits) {
		return l.wrong("members are missing")
	}
	return nil
}
