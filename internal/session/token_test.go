package session

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestTokenHasOneText(t *testing.T) {
	token := NewToken()
	text := token.Reveal()
	if len(text) != TokenLength {
		t.Fatalf("text has %d bytes, want %d", len(text), TokenLength)
	}
	parsed, err := ParseToken(text)
	if err != nil || parsed != token || parsed.IsZero() {
		t.Fatalf("ParseToken(Reveal()) = %v, %v; want the token itself", parsed == token, err)
	}

	// The last character carries four bits of the token and two that must be zero.
	last := strings.IndexByte(base64url, text[TokenLength-1])
	head := text[:TokenLength-1]
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"stray bit 1", head + string(base64url[last|1])},
		{"stray bit 2", head + string(base64url[last|2])},
		{"stray bits", head + string(base64url[last|3])},
		{"padded", text + "="},
		{"padding in place of the last", head + "="},
		{"one short", head},
		{"one long", text + "A"},
		{"newline after", text + "\n"},
		{"newline before", "\n" + text},
		{"newline in place of the last", head + "\n"},
		{"newline within", text[:20] + "\n" + text[21:]},
		{"carriage return within", text[:20] + "\r" + text[21:]},
		{"newline added within", text[:20] + "\n" + text[20:]},
		{"space before", " " + head},
		{"standard alphabet, plus", "+" + text[1:]},
		{"standard alphabet, slash", "/" + text[1:]},
		{"quoted", `"` + text + `"`},
		{"NUL", text[:42] + "\x00"},
		{"not ASCII", strings.Repeat("é", 21) + "A"},
		{"percent-encoded", text[:40] + "%41"},
		{"twice", text + text},
	} {
		if parsed, err := ParseToken(c.text); !errors.Is(err, ErrMalformedToken) || !parsed.IsZero() {
			t.Errorf("%s: ParseToken = zero %t, %v; want the zero token and ErrMalformedToken", c.name, parsed.IsZero(), err)
		}
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestZeroTokenStandsForNoJar(t *testing.T) {
	if !(Token{}).IsZero() {
		t.Error("Token{} is not zero")
	}
	// All zero bits are a token like any other; Token{} must not be confused with it.
	zeros, err := ParseToken(strings.Repeat("A", TokenLength))
	if err != nil || zeros.IsZero() || zeros == (Token{}) {
		t.Errorf("the token of zero bits is the zero Token, or refused: %v", err)
	}
	w := newWorld(t, defaults())
	if v := w.visit(Token{}); v.JarID() != "" || v.Entries() != nil || w.mem.count("get") != 0 {
		t.Error("the zero token was looked up")
	}
}

func TestTokensDiffer(t *testing.T) {
	seen := make(map[Token]bool)
	keys := make(map[Key]bool)
	for range 1000 {
		token := NewToken()
		seen[token], keys[token.Key()] = true, true
	}
	if len(seen) != 1000 || len(keys) != 1000 {
		t.Errorf("%d tokens and %d keys of 1000", len(seen), len(keys))
	}
}

// The store's file and the logs must be of no use to whoever reads them.
func TestTokenIsNotRevealed(t *testing.T) {
	token, err := ParseToken("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.RawURLEncoding.DecodeString(token.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(verb string) string { return strings.Trim(fmt.Sprintf(verb, secret[:8]), "[]") }
	spellings := []string{
		token.Reveal(), string(secret[:8]), hex.EncodeToString(secret[:8]),
		strings.ToUpper(hex.EncodeToString(secret[:8])), base64.StdEncoding.EncodeToString(secret),
		numbers("%d"), numbers("%b"), numbers("%o"), numbers("%c"), numbers("%U"), numbers("%q"), numbers("%v"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret[:8]), "[]byte{"), "}"),
		numbers("% x"), numbers("%#x"),
	}
	check := func(t *testing.T, how, out string) {
		t.Helper()
		for _, s := range spellings {
			if strings.Contains(out, s) {
				t.Errorf("%s reveals the token as %q", how, s)
			}
		}
	}

	type visitor struct {
		Name  string
		Token Token
	}
	values := map[string]any{
		"token": token, "pointer": &token, "struct": visitor{"x", token}, "pointer to struct": &visitor{"x", token},
		"slice": []Token{token}, "key of map": map[Token]int{token: 1}, "value of map": map[string]Token{"x": token},
		"sign-in": SignedIn{Token: token}, "error": fmt.Errorf("jar %v", token),
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%b", "%o", "%O", "%c", "%U", "%e", "%t", "%y", "%43v", "%-43.40s"} {
			check(t, name+" as "+verb, fmt.Sprintf(verb, value))
		}
		data, err := json.Marshal(value)
		if err == nil {
			check(t, name+" as JSON", string(data))
		}
		entry, err := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(zapcore.Entry{}, []zapcore.Field{
			zap.Any("any", value), zap.Reflect("reflect", value),
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, name+" in zap", entry.String())
		console, err := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()).EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.Any("any", value)})
		if err != nil {
			t.Fatal(err)
		}
		check(t, name+" on zap's console", console.String())
		var lines bytes.Buffer
		slog.New(slog.NewJSONHandler(&lines, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&lines, nil)).Info("x", "value", value)
		check(t, name+" in slog", lines.String())
	}
	if got := fmt.Sprintf("%v %#v %d", token, token, token); got != "[token] [token] [token]" {
		t.Errorf("printed as %q", got)
	}
}

func TestTokenIsNotStored(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	for key, record := range w.mem.records {
		all := key + string(record.Value) + strings.Join(record.Terms, " ")
		if strings.Contains(all, token.Reveal()) {
			t.Error("the token is in the store")
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewToken().Reveal())
	f.Add(strings.Repeat("A", TokenLength))
	f.Add(strings.Repeat("A", TokenLength-1) + "B")
	f.Add(strings.Repeat("A", TokenLength-1) + "\n")
	f.Add(strings.Repeat("A", TokenLength) + "=")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrMalformedToken) || !token.IsZero() {
				t.Fatalf("%q: %v, with a token that is zero: %t", text, err, token.IsZero())
			}
			return
		}
		if token.IsZero() || token.Reveal() != text {
			t.Fatalf("%q is a second text of the token with the text %q", text, token.Reveal())
		}
	})
}
