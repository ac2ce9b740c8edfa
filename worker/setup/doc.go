// Package setup is where the processes of Redrive get their settings from:
// flags, the environment and a file, one set of names for all three.
//
//	--allow-exec awk   >   REDRIVE_ALLOW_EXEC=awk   >   allow_exec: [awk]   >   default
//
// A setting that is misspelled anywhere stops the process before it starts.
package setup
