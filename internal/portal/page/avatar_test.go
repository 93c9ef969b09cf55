package page

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{
		"Alice Example":             "AE",
		"alice example":             "AE",
		"Alice":                     "A",
		"Alice van den Example":     "AE",
		"  Alice \t Example ":       "AE",
		"Alice Example (Admin)":     "AE",
		"(Admin)":                   "A",
		"alice@example.com":         "A",
		"alice.example@work.test":   "AE",
		"alice_example":             "AE",
		"Jean-Luc Picard":           "JP",
		"Conan O'Brien":             "CO",
		"Conan O’Brien":             "CO",
		"'Quoted' \"Name\"":         "QN",
		"J. R. R. Tolkien":          "JT",
		"Team 42":                   "T4",
		"42":                        "4",
		"émile zola":                "ÉZ",
		"e\u0301mile zola":          "E\u0301Z",
		"Øystein Ås":                "ØÅ",
		"ǆenan":                     "ǅ",
		"山田 太郎":                     "山太",
		"山田太郎":                      "山",
		"Мария Иванова":             "МИ",
		"გიორგი":                    "გ",
		"منى العربي":                "م",
		"\u202eAlice\u202c Ex":      "AE",
		"A\u200dlice":               "A",
		"a\u0301\u0302\u0303\u0304": "A\u0301\u0302",
		"🦊":                         "?",
		"🦊 Fox":                     "F",
		"":                          "?",
		" ":                         "?",
		"@":                         "?",
		"@alice":                    "A",
		"---":                       "?",
		"\xff\xfe":                  "?",
		"<script>":                  "S",
	} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			if got := Initials(name); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func FuzzInitials(f *testing.F) {
	for _, seed := range hostile {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		const most = 2 * 3 // two letters with two marks each
		got := Initials(name)
		if n := utf8.RuneCountInString(got); n == 0 || n > most || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}

func TestHue(t *testing.T) {
	// Fixed values: an update must not change the colour of an account.
	for id, want := range map[string]int{"": 2, "password:alice": 0, "google:117": 3} {
		if got := Hue(id); got != want {
			t.Errorf("%q: %d, want %d", id, got, want)
		}
	}
	var seen [Hues]int
	const accounts = 800
	for i := range accounts {
		seen[Hue(fmt.Sprint("password:user-", i))]++
	}
	for hue, n := range seen {
		if n < accounts/Hues/2 || n > accounts/Hues*2 {
			t.Errorf("hue %d has %d of %d accounts", hue, n, accounts)
		}
	}
}
