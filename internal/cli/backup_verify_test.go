package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// makeBackup returns a backup of the lines, with the last line that counts and seals them.
func makeBackup(records int, lines ...string) string {
	all := strings.Join(lines, "\n") + "\n"
	sum := sha256.Sum256([]byte(all))
	return fmt.Sprintf("%s{\"records\":%d,\"sha256\":%q}\n", all, records, hex.EncodeToString(sum[:]))
}

func TestBackupVerifier(t *testing.T) {
	head := `{"format":"x","taken_at":"2026-03-01T12:00:00.000Z"}`
	whole := makeBackup(2, head, `{"key":"a"}`, `{"key":"b"}`)
	for _, c := range []struct{ name, backup, want string }{
		{"whole", whole, ""},
		{"without records", makeBackup(0, head), ""},
		{"nothing", "", "its end is missing"},
		{"an end alone", `{"records":0,"sha256":""}` + "\n", "its end is missing"},
		{"without its end", head + "\n" + `{"key":"a"}` + "\n", "its end is missing"},
		{"cut in its end", whole[:len(whole)-2], "its end is missing"},
		{"without the last line feed", whole[:len(whole)-1], "its end is missing"},
		{"changed", strings.Replace(whole, `"a"`, `"c"`, 1), "checksum"},
		{"a line less", strings.Replace(whole, `{"key":"a"}`+"\n", "", 1), "checksum"},
		{"another number", makeBackup(3, head, `{"key":"a"}`), "has 1 records, not 3"},
		{"something after it", whole + "{}\n", "its end is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, reader := range map[string]io.Reader{
				"at once": strings.NewReader(c.backup), "byte by byte": iotest.OneByteReader(strings.NewReader(c.backup)),
			} {
				v := newBackupVerifier()
				if _, err := io.Copy(v, reader); err != nil {
					t.Fatal(err)
				}
				records, err := v.finish()
				switch {
				case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("%s: %v, want %q", name, err, c.want)
				case err == nil && records != strings.Count(c.backup, "\n")-2:
					t.Errorf("%s: %d records", name, records)
				}
			}
		})
	}
	v := newBackupVerifier()
	_, _ = io.WriteString(v, whole)
	if want := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC); !v.takenAt().Equal(want) {
		t.Errorf("taken at %s, want %s", v.takenAt(), want)
	}
}
