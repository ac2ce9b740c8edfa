package queue

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"io"
	"sync"
)

// Values of users of compressFrom bytes and more are compressed where they are
// written and made plain where they are read; no script looks into them. A
// compressed one begins with a byte that no JSON begins with, then its plain
// length as a varint, then a deflate stream.
const (
	compressed   = 0x01
	compressFrom = 4 << 10
	// longestPlain is more than any value may have, so that a corrupt length asks for no more memory.
	longestPlain = 64 << 20
)

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil { // the level is one of its own
		panic(err)
	}
	return w
}}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// stored is a value as it is written to Redis.
func stored(plain json.RawMessage) string {
	if len(plain) < compressFrom {
		return string(plain)
	}
	var b bytes.Buffer
	b.Grow(len(plain) / 2)
	b.Write(binary.AppendUvarint([]byte{compressed}, uint64(len(plain))))
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	_, err := w.Write(plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil || b.Len() >= len(plain) { // a buffer does not fail; what does not shrink stays as it is
		return string(plain)
	}
	return b.String()
}

// raw is a value as it was before it was stored; nil when there is none. One
// that is corrupt is answered as it lies there: it is no JSON, and whoever reads
// it says so.
func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	if s[0] != compressed {
		return json.RawMessage(s)
	}
	size, n := binary.Uvarint([]byte(s[1:min(len(s), 1+binary.MaxVarintLen64)]))
	if n <= 0 || size > longestPlain {
		return json.RawMessage(s)
	}
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	plain := make([]byte, size)
	if err := r.(flate.Resetter).Reset(bytes.NewReader([]byte(s[1+n:])), nil); err != nil {
		return json.RawMessage(s)
	}
	if _, err := io.ReadFull(r, plain); err != nil {
		return json.RawMessage(s)
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		return json.RawMessage(s)
	}
	return plain
}
