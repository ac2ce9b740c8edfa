// Package clients holds the server against the real clients of the systems whose
// protocols it speaks: unchanged, pinned, installed from their registries.
//
//	prefect/        requirements and scripts of a client, in its language
//	prefect_test.go starts a server and workers, runs the scripts, looks at what came of it
//
// They take minutes and a network, so `go test` skips them; `make test-clients` runs them, and
// REDRIVE_CLIENTS=1 switches them on. What is installed stays in the user's cache folder.
package clients
