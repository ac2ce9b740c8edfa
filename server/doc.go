// Package server is the HTTP process: the native API, the pages around it and
// the doors in front of them.
//
//	request -> id, log, metrics, recover        middleware.go
//	        -> headers, cross-origin, host      guard.go
//	        -> who asks, the route's rule       access.go
//	        -> api | pages | health | metrics | monitoring
//
// Every error leaves as a problem document (package problem), written in one
// place. A route without an access rule is closed.
package server
