package server

import (
	"net"
	"strings"
)

// localHost reports whether a Host header names this machine or an address. A
// page that points its own name at 127.0.0.1 must not reach an open server.
func localHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "" {
		return true
	}
	return net.ParseIP(strings.Trim(name, "[]")) != nil
}
