// Package api is the native REST API. openapi.yaml is its source: the server's
// interface and models (api.gen.go), the access rules, the checks of every
// request and the pages at /docs all come from it. A resource has a file of
// handlers, and names in it the few engine methods that they use.
//
// A request passes, in this order: the access rule (package auth), then
// [Spec.Check] for parameters and body, then the generated binding, then the
// handler. A handler returns errors in the domain's words; package problem
// turns them into answers.
package api
