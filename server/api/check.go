package api

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

const invalidRequest = "request_invalid"

// Check refuses a request that does not fit its operation, before the handler
// sees it: parameters, media type, size, encoding, depth, and every field of a
// JSON body. maxBody is in bytes.
func (s *Spec) Check(c *gin.Context, maxBody int64) error {
	op, ok := s.ops[c.Request.Method+" "+c.FullPath()]
	if !ok {
		return nil
	}
	var wrong workflow.Problems
	for _, p := range op.params {
		if p.In == "path" {
			wrong = append(wrong, checkText(p.Schema.Value, p.Name, c.Param(p.Name))...)
		}
		if p.In == "header" && c.GetHeader(p.Name) != "" {
			wrong = append(wrong, checkText(p.Schema.Value, p.Name, c.GetHeader(p.Name))...)
		}
	}
	wrong = append(wrong, checkQuery(op, c.Request)...)
	if len(wrong) > 0 {
		return problem.Invalid(invalidRequest, "the request has parameters that cannot be used", wrong...)
	}
	if op.body == nil {
		return nil
	}
	return checkBody(op, c, max(maxBody, op.most))
}

func checkBody(op *operation, c *gin.Context, maxBody int64) error {
	r := c.Request
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return problem.New(http.StatusUnsupportedMediaType, "encoding_unsupported", "Content-Encoding is %q: send the body as it is", enc)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, r.Body, maxBody))
	if err != nil {
		return bodyError(err)
	}
	if len(bytes.TrimSpace(body)) == 0 && !op.raw {
		if op.body.Required {
			return problem.Invalid("body_missing", "the body is empty: send a JSON object", required(op)...)
		}
		setBody(r, []byte("{}"), "application/json")
		return nil
	}
	media, err := mediaType(op, r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return problem.Invalid("invalid_utf8", "the body is not valid UTF-8")
	}
	setBody(r, body, media)
	if op.raw {
		return nil
	}
	value, err := parseJSON(body)
	if err != nil {
		return err
	}
	if wrong := checkValue(op.body.Content[media].Schema.Value, "", value); len(wrong) > 0 {
		return problem.Invalid(invalidRequest, "the body has fields that cannot be used", wrong...)
	}
	return nil
}

func setBody(r *http.Request, body []byte, media string) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.Header.Set("Content-Type", media)
}

// bodyError tells a body that is too large from one that broke off.
func bodyError(err error) error {
	if p := problem.From(err); p.Status == http.StatusRequestEntityTooLarge {
		return p
	}
	p := problem.New(http.StatusBadRequest, "body_unreadable", "the body broke off before its end: send it again")
	p.Cause = err
	return p
}

// mediaType checks the Content-Type and returns the one the body is read as.
func mediaType(op *operation, header string) (string, error) {
	media, params, err := mime.ParseMediaType(header)
	as, ok := op.aliases[media]
	charset := params["charset"]
	if err != nil || !ok || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		allowed := strings.Join(slices.Sorted(maps.Keys(op.aliases)), ", ")
		return "", problem.New(http.StatusUnsupportedMediaType, "media_type_unsupported", "Content-Type is %q: send %s, in UTF-8", header, allowed)
	}
	return as, nil
}

func required(op *operation) workflow.Problems {
	var wrong workflow.Problems
	for _, content := range op.body.Content {
		for _, name := range content.Schema.Value.Required {
			wrong = append(wrong, missing(name))
		}
	}
	return wrong
}

func missing(field string) workflow.Problem {
	return workflow.Problem{Field: field, Code: "required", Message: "is required"}
}
