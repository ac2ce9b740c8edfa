package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rows is JSON as tasks hand it on: about n bytes of records.
func rows(n int) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := 0; b.Len() < n-2; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"date":"2015-%02d-%02d","precipitation":%d.%d,"temp_max":%d.%d,"weather":"%s"}`,
			i%12+1, i%28+1, i*7%30, i%10, i*13%35, i*3%10, []string{"rain", "sun", "fog", "snow"}[i*i%4])
	}
	b.WriteByte(']')
	return b.Bytes()
}

// noise does not compress much.
func noise(n int) json.RawMessage {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,-./:;=?@[]^_{|}~"
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	b[0], b[n-1] = '"', '"'
	return b
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	for _, plain := range []json.RawMessage{
		nil, json.RawMessage(`null`), json.RawMessage(`{}`), rows(compressFrom - 1), rows(compressFrom), rows(256 << 10), rows(1 << 20), noise(256 << 10),
		json.RawMessage(`{"n":` + strings.Repeat("1", 5000) + `,"e":[]}`),
	} {
		s := stored(plain)
		require.LessOrEqual(t, len(s), len(plain), "it never grows")
		require.Equal(t, string(plain), string(raw(s)))
		require.Equal(t, len(plain) >= compressFrom, s != string(plain), "from %d bytes on: %d", compressFrom, len(plain))
	}
	require.Equal(t, `  {"a":1}`, string(raw(`  {"a":1}`)), "what was stored before is read as it is")
}

// A damaged value is no JSON: whoever reads it finds out, and nothing panics.
func TestDamagedValuesAreNoJSON(t *testing.T) {
	s := stored(rows(10_000))
	for _, damaged := range []string{
		s[:1], s[:2], s[:len(s)/2], s[:len(s)-1], s[:1] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" + s[3:], s[:1] + "\x05" + s[3:], s[:1] + "\xff\xff\xff\xff\x7f" + s[3:],
	} {
		require.False(t, json.Valid(raw(damaged)), "%q", damaged[:min(len(damaged), 8)])
	}
}

func BenchmarkStored(b *testing.B) {
	for _, n := range []int{1 << 10, 2 << 10, 4 << 10, 8 << 10, 64 << 10, 256 << 10} {
		plain := rows(n)
		s := stored(plain)
		b.Run(fmt.Sprintf("write/%d", n), func(b *testing.B) {
			for b.Loop() {
				stored(plain)
			}
			b.ReportMetric(float64(len(s))/float64(len(plain)), "of-size")
		})
		b.Run(fmt.Sprintf("read/%d", n), func(b *testing.B) {
			for b.Loop() {
				raw(s)
			}
		})
	}
}
