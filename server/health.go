package server

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/problem"
)

// readyWithin bounds the look at Redis.
const readyWithin = 2 * time.Second

// health says that the process lives.
func (s *Server) health(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}

// ready says that the process can do its work. What is wrong stays in the log,
// for anybody may ask.
func (s *Server) ready(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyWithin)
	defer cancel()
	err := s.options.Engine.Ready(ctx)
	if err == nil && s.stopping.Err() == nil {
		c.JSON(http.StatusOK, gin.H{"status": "ready"})
		return
	}
	p := problem.New(http.StatusServiceUnavailable, "not_ready", "Redis or asynq cannot be reached, or the server is stopping: see its log")
	p.RetryAfter, p.Cause = 1, err
	fail(c, p)
}
