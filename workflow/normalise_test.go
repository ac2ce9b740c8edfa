package workflow

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var updateMessages = flag.Bool("update-messages", false, "write testdata/messages.txt again; read what changed")

// messages are pairs of lines: a message as programs write it and, indented, its general form.
func messages(t testing.TB) (all [][2]string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "messages.txt"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	require.Zero(t, len(lines)%2)
	for i := 0; i < len(lines); i += 2 {
		general, ok := strings.CutPrefix(lines[i+1], "    ")
		require.True(t, ok, lines[i+1])
		all = append(all, [2]string{lines[i], general})
	}
	return all
}

func TestGeneralMessages(t *testing.T) {
	all := messages(t)
	require.GreaterOrEqual(t, len(all), 200)
	var b strings.Builder
	for _, m := range all {
		if !*updateMessages {
			require.Equal(t, m[1], generalMessage(m[0]), m[0])
		}
		require.Equal(t, generalMessage(m[0]), generalMessage(generalMessage(m[0])), "the general form of %q is its own", m[0])
		b.WriteString(m[0] + "\n    " + generalMessage(m[0]) + "\n")
	}
	if *updateMessages {
		require.NoError(t, os.WriteFile(filepath.Join("testdata", "messages.txt"), []byte(b.String()), 0o644))
	}
}

// What varies does not part two failures, and what does not vary does.
func TestGeneralMessagesPart(t *testing.T) {
	for _, m := range [][]string{
		{"timed out after 1 second", "timed out after 30 seconds", "timed out after 1m30s", "timed out after 250 ms", "timed out after 2 hours"},
		{"read 10.0.0.1:53: EOF", "read [2001:db8::17]:53: EOF", "read db.internal:5432: EOF", "read https://a.example/x?y=1: EOF"},
		{"open /a/b: EOF", "open ./x.csv: EOF", `open C:\x\y: EOF`, "open \"a b\": EOF", "open data/17.csv: EOF"},
		{"at 2026-01-02 it broke", "at 2026-01-02T03:04:05Z it broke", "at Jan 2, 2026 it broke", "at Fri, 27 Nov 2026 03:12:00 GMT it broke", "at 1.2.2026 it broke"},
		{"no user 'x'", "no user 17", "no user `it's`", "no user ann@example.com", "no user 0190a1b2-0000-7000-8000-000000000001", "no user deadbeefcafe"},
	} {
		for _, other := range m[1:] {
			require.Equal(t, generalMessage(m[0]), generalMessage(other), other)
		}
	}
	seen := map[string]string{}
	for _, m := range []string{"i/o timeout", "connection refused", "x509: expired", "s3: expired", "can't open", "won't open", "read/write error", "main.go: a", "main.py: a"} {
		g := generalMessage(m)
		require.Empty(t, seen[g], m)
		seen[g] = m
	}
}

func TestGeneralMessagesAreTheirOwn(t *testing.T) {
	pieces := []string{
		"a", "user", "can't", "17", "1,234.5", "-5", "12ms", "5", " seconds", "jan", " fri", "\"", "'", "`", "“", "”", "x y", "10.0.0.1", ":", "5432", "::1", "[", "]", "(", ")",
		"/var/x", "./", "C:\\", "\\", "https://a/b", "ann@b.c", "deadbeef", "0x1f", "a1b2c3", "node12", "base64", "x509", "=", ",", ".", "-", "+", "%", "#", " ", "\n", "İ", "ß", "é", "main.go:42", "am", "utc",
	}
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 40).Draw(t, "pieces"), "")
		general := generalMessage(s)
		if again := generalMessage(general); again != general {
			t.Fatalf("%q became %q and then %q", s, general, again)
		}
	})
}

func FuzzGeneralMessage(f *testing.F) {
	for _, m := range messages(f) {
		f.Add(m[0])
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > fingerprintBytes {
			t.Skip("longer than what is looked at")
		}
		general := generalMessage(s)
		if !utf8.ValidString(general) || strings.ContainsAny(general, "\n\t") {
			t.Fatalf("%q became %q", s, general)
		}
		if again := generalMessage(general); again != general {
			t.Fatalf("%q became %q and then %q", s, general, again)
		}
	})
}

func TestGivenFingerprints(t *testing.T) {
	for _, s := range []string{"stripe-down", "A.b_c-9", strings.Repeat("x", 64)} {
		require.Equal(t, s, GivenFingerprint(s))
	}
	for _, s := range []string{"stripe down", "-x", "{p}", "a:b", "ключ", strings.Repeat("x", 65)} {
		require.Regexp(t, "^[0-9a-f]{16}$", GivenFingerprint(s), s)
		require.True(t, ValidFingerprint(GivenFingerprint(s)))
	}
	require.Empty(t, GivenFingerprint(""))
}

// However it is written, a message costs little.
func TestGeneralMessagesCostLittle(t *testing.T) {
	for _, piece := range []string{"jan ", "5 ", "'a ", "“", "\"", "5'x'", "# s ", "a1b", ":", "x=", "[#]", "/"} {
		s := strings.Repeat(piece, fingerprintBytes/len(piece))
		require.Less(t, testing.AllocsPerRun(1, func() { generalMessage(s) }), 100_000.0, piece)
		require.Equal(t, generalMessage(s), generalMessage(generalMessage(s)), piece)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	all := messages(b)
	for i := 0; b.Loop(); i++ {
		Fingerprint("http", "each[eu].load", &Error{Code: "c", Message: all[i%len(all)][0]})
	}
}
