// Command redrive is the whole of Redrive in one binary: the processes (server,
// worker, dev, demo) and the command line that steers them over REST.
package main

import (
	"os"

	"github.com/redrive/redrive/cli"
)

// version is set by the linker in releases.
var version = "dev"

func main() {
	os.Exit(cli.Main(version, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
