package cognite

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

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
	if err := json.Unmarshal(body, into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return refuse(wrong.Field, "is a "+wrong.Value, "see Cognite's document")
		}
		return problem.Invalid("request_malformed", "the body is no JSON object: "+err.Error())
	}
	return nil
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

// checkID holds an external id, or a version, against its limits.
func checkID(field, id string) error {
	if id == "" || len(id) > 255 || strings.TrimSpace(id) != id || strings.ContainsRune(id, 0) {
		return refuse(field, "is "+strconv.Quote(id), "1 to 255 characters, without white space around them and without null characters")
	}
	return nil
}

// checkMetadata holds metadata against its limits.
func checkMetadata(m map[string]string) error {
	if len(m) > 10 {
		return refuse("metadata", "has "+strconv.Itoa(len(m))+" pairs", "at most 10")
	}
	for key, value := range m {
		if len(key) > 32 || len(value) > 255 {
			return refuse("metadata", strconv.Quote(key)+" is too long, or its value is", "keys of at most 32 and values of at most 255 characters")
		}
	}
	return nil
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
		return 0, refuse("limit", "is "+strconv.Quote(text), "1 to 1000")
	}
	return limitOf(&n, 100)
}

// ignoresUnknown reads ignoreUnknownIds, which is true by default.
func ignoresUnknown(r *http.Request) bool { return r.URL.Query().Get("ignoreUnknownIds") != "false" }
