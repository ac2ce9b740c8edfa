// Package cli is the command line: one file per noun, and the one place where
// the parts are put together into processes.
//
//	redrive demo | dev | server | worker      processes
//	redrive workflow | run | execution | ...  nouns and verbs, over REST through client/ only
//
// A command is a constructor that returns its flags and its action; the action
// asks the client for something and hands it to the printer, which knows the
// formats. Errors come back as values and become an exit code in one place.
package cli
