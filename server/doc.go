// Package server is the HTTP process: the native API, the wire dialects, the
// pages around them and the doors in front of them.
//
//	request -> whose path is it                 dialects.go
//	        -> id, log, metrics, recover        middleware.go
//	        -> headers, cross-origin, host      access.go
//	        -> who asks, the route's rule       access.go, dialects.go
//	        -> api | compat/<dialect> | pages | health | metrics | monitoring
//
// Every error leaves as a problem document (package problem), written in one
// place, or in a dialect's own shape. A route without an access rule is closed.
package server
