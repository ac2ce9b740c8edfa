// Package engine holds the use cases of Redrive, one file each. Every one of
// them reads, asks package workflow to decide, and asks a store to make the
// decision so; the store checks again what the decision rested on. The engine
// owns the ports it needs (ports.go) and the words errors are told in
// (errors.go); it knows neither Redis nor HTTP.
package engine
