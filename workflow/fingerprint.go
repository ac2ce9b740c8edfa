package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

const fingerprintBytes = 4 << 10

// Fingerprint names the group of failures that this one belongs to: the same
// task type, task and code, and the same message but for what varies in it.
// Items and iterations in the ref count as one task.
func Fingerprint(taskType, ref string, e *Error) string {
	if e == nil {
		return ""
	}
	message := e.Message
	if len(message) > fingerprintBytes {
		message = message[:fingerprintBytes]
	}
	h := sha256.New()
	for _, part := range []string{taskType, generalRef(ref), e.Code, generalMessage(message)} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// givenFingerprint is what a handler may call a group of failures.
var givenFingerprint = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// ValidFingerprint reports whether a group of failures may have this name.
func ValidFingerprint(s string) bool { return givenFingerprint.MatchString(s) }

// GivenFingerprint is the name of the group of failures that a handler names: its own
// word where that is one of letters, digits, '.', '_' and '-', at most 64, else a hash of it.
func GivenFingerprint(s string) string {
	if s == "" || ValidFingerprint(s) {
		return s
	}
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

// generalRef writes each[eu].load as each[].load.
func generalRef(ref string) string {
	var b strings.Builder
	inside := false
	for _, c := range ref {
		switch {
		case c == '[':
			inside = true
			b.WriteString("[]")
		case c == ']':
			inside = false
		case !inside:
			b.WriteRune(c)
		}
	}
	return b.String()
}
