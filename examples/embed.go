// Package examples carries the example workflows inside the binary, so that the
// demo works from any folder.
package examples

import "embed"

// Files are the example workflows, by path below this folder.
//
//go:embed *.yaml weather/workflow.yaml worker/hello.yaml schedules/workflow.yaml remote/workflow.yaml
var Files embed.FS
