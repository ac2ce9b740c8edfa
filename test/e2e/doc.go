// Package e2e uses Redrive as its users do: the real binary as separate
// processes over a real Redis, through the command line, HTTP and the client.
package e2e
