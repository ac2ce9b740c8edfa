package cognite

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

// createSessions gives nonces. There is nothing behind one: tasks run as the workers that run them.
func (h *handlers) createSessions(c *gin.Context) error {
	var q items[sessionRequest]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if len(q.Items) != 1 {
		return refuse("items", "is not one session", "exactly 1")
	}
	answer := items[sessionView]{}
	for _, s := range q.Items {
		v := sessionView{ID: sessionID(), Status: "READY", Nonce: rand.Text(), ClientID: s.ClientID}
		switch {
		case s.ClientID != "" && s.ClientSecret != "":
			v.Type = "CLIENT_CREDENTIALS"
		case s.TokenExchange:
			v.Type = "TOKEN_EXCHANGE"
		case s.OneshotTokenExchange:
			v.Type = "ONESHOT_TOKEN_EXCHANGE"
		default:
			return refuse("items[0]", "says not how it is created", "tokenExchange, oneshotTokenExchange, or clientId and clientSecret")
		}
		answer.Items = append(answer.Items, v)
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// sessionID is a number that JavaScript reads exactly.
func sessionID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int64(binary.BigEndian.Uint64(b[:])>>12) + 1
}

// inspect tells what the key may do, in Cognite's words.
func (h *handlers) inspect(c *gin.Context) error {
	p := auth.From(c.Request.Context())
	actions := []string{"READ"}
	if p.Scope != engine.ScopeRead {
		actions = append(actions, "WRITE")
	}
	projects := p.Projects
	scope := map[string]any{"projects": projects}
	if !p.Limited() {
		projects, scope = []string{compat.DefaultProject}, map[string]any{"allProjects": struct{}{}}
	}
	listed := make([]any, len(projects))
	for i, name := range projects {
		listed[i] = map[string]any{"projectUrlName": name, "groups": []int{}}
	}
	capability := func(name string) any {
		return map[string]any{name: map[string]any{"actions": actions, "scope": map[string]any{"all": struct{}{}}}, "projectScope": scope}
	}
	return compat.Answer(c.Writer, http.StatusOK, map[string]any{
		"subject": p.Name, "projects": listed, "capabilities": []any{capability("workflowOrchestrationAcl")},
	})
}
