package cognite

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// maxPlain is how many bytes a body may have once it is decompressed.
const maxPlain = 4 << 20

// read reads a body, compressed or not. An empty one is an empty object; fields that nobody knows are ignored.
func read(r *http.Request, into any) error {
	var from io.Reader = r.Body
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return broken(err)
		}
		from = z
	}
	body, err := io.ReadAll(io.LimitReader(from, maxPlain+1))
	if err != nil {
		return broken(err)
	}
	if len(body) > maxPlain {
		return problem.TooLarge(maxPlain)
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		body = []byte("{}")
	}
	err = json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return refuse("body", compat.IsKind(wrong.Value), "an object")
		}
		return refuse(wrong.Field, compat.IsKind(wrong.Value), kindOf(wrong.Type))
	}
	if err != nil {
		return problem.Invalid("request_malformed", "the body is no JSON: "+err.Error())
	}
	return nil
}

// what says what a word is that is none of those that are allowed.
func what(word string) string {
	if word == "" {
		return "is missing"
	}
	return "is " + clip(word)
}

// kindOf is a Go type in the words of JSON.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// broken is a body that could not be read: too large, or not compressed as it says.
func broken(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return problem.Invalid("request_malformed", "the body cannot be read: "+err.Error())
}

func refuse(field, what, allowed string) error {
	return problem.Invalid("request_invalid", "the request is malformed", workflow.Problem{Field: field, Code: "invalid", Message: what, Allowed: allowed})
}

// one is the only item of a request.
func one[T any](list []T) (T, error) {
	if len(list) != 1 {
		var none T
		return none, refuse("items", "has "+strconv.Itoa(len(list))+" items", "exactly 1")
	}
	return list[0], nil
}

// some holds the items of a deletion against their limit.
func some[T any](list []T) error {
	if len(list) < 1 || len(list) > 100 {
		return refuse("items", "has "+strconv.Itoa(len(list))+" items", "1 to 100")
	}
	return nil
}

// checkFilters holds the filters of a list against their limit.
func checkFilters(list []workflowFilter) error {
	if len(list) > 100 {
		return refuse("filter.workflowFilters", "has "+strconv.Itoa(len(list))+" items", "at most 100")
	}
	return nil
}

// checkID holds an external id, or a version, against its limits.
func checkID(field, id string) error {
	if id == "" || utf8.RuneCountInString(id) > 255 || strings.TrimSpace(id) != id || strings.ContainsRune(id, 0) {
		return refuse(field, "is "+strconv.Quote(clip(id)), "1 to 255 characters, without white space around them and without null characters")
	}
	return nil
}

// checkMetadata holds metadata against its limits.
func checkMetadata(m map[string]string) error {
	if len(m) > 10 {
		return refuse("metadata", "has "+strconv.Itoa(len(m))+" pairs", "at most 10")
	}
	for key, value := range m {
		if utf8.RuneCountInString(key) > 32 || utf8.RuneCountInString(value) > 255 {
			return refuse("metadata", strconv.Quote(clip(key))+" is too long, or its value is", "keys of at most 32 and values of at most 255 characters")
		}
	}
	return nil
}

// usedOnce makes a nonce the idempotency key of what was asked for with it.
func usedOnce(what string, a authentication) (string, error) {
	if a.Nonce == "" {
		return "", refuse("authentication.nonce", "is missing", "the nonce of a session")
	}
	key := "cognite-" + what + "-" + a.Nonce
	if len(key) > 200 {
		sum := sha256.Sum256([]byte(key))
		key = "cognite-" + what + "-" + hex.EncodeToString(sum[:])
	}
	return key, nil
}

// usedTwice says of a nonce what the engine says of an idempotency key.
func usedTwice(err error) error {
	if refused, ok := errors.AsType[*engine.Error](err); ok && refused.Code == "idempotency_key_reused" {
		return refuse("authentication.nonce", "was used for another request", "the same request again, or the nonce of a new session")
	}
	return err
}

// limitOf reads a limit.
func limitOf(limit *int, usual int) (int, error) {
	if limit == nil {
		return usual, nil
	}
	if *limit < 1 || *limit > 1000 {
		return 0, refuse("limit", "is "+strconv.Itoa(*limit), "1 to 1000")
	}
	return *limit, nil
}

// queryLimit reads the limit of a query.
func queryLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, refuse("limit", "is "+strconv.Quote(clip(text)), "1 to 1000")
	}
	return limitOf(&n, 100)
}

// ignoresUnknown reads ignoreUnknownIds, which is true by default.
func ignoresUnknown(r *http.Request) bool { return r.URL.Query().Get("ignoreUnknownIds") != "false" }
