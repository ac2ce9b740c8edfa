package prefect

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/compat"
)

const (
	apiVersion    = "0.8.4" // of Prefect's REST API
	serverVersion = "3.9.1" // of Prefect: what its clients compare themselves with
)

type serve func(c *gin.Context) error

// checked refuses clients of a version that Prefect's server would refuse.
func checked(next serve) serve {
	return func(c *gin.Context) error {
		if asked := c.Request.Header.Get("X-Prefect-Api-Version"); asked != "" {
			version, ok := parseVersion(asked)
			if !ok {
				return refused{http.StatusBadRequest, detail{"Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but received " + asked}}
			}
			if version[0] == 0 && version[1] < 8 {
				return refused{http.StatusBadRequest, detail{fmt.Sprintf("The request specified API version %s but this server requires version 0.8.0 or higher.", asked)}}
			}
		}
		return next(c)
	}
}

func parseVersion(text string) (v [3]int, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func answer(c *gin.Context, status int, v any) error { return compat.Answer(c.Writer, status, v) }

func (h *handlers) health(c *gin.Context) error { return answer(c, http.StatusOK, true) }

func (h *handlers) ready(c *gin.Context) error {
	if err := h.engine.Ready(c.Request.Context()); err != nil {
		return err
	}
	return answer(c, http.StatusOK, map[string]string{"message": "OK"})
}

func (h *handlers) hello(c *gin.Context) error { return answer(c, http.StatusOK, "👋") }

func (h *handlers) version(c *gin.Context) error { return answer(c, http.StatusOK, apiVersion) }

func (h *handlers) adminVersion(c *gin.Context) error { return answer(c, http.StatusOK, serverVersion) }

// csrfToken says that there are none: keys are not sent by browsers by themselves.
func (h *handlers) csrfToken(c *gin.Context) error {
	if c.Query("client") == "" {
		return unprocessable(nil, fault{Type: "missing", Loc: []any{"query", "client"}, Msg: "Field required"})
	}
	return refused{http.StatusUnprocessableEntity, detail{"CSRF protection is disabled."}}
}
