//go:build race

package fleet

// race says whether the processes are built as the test was: with the race detector.
const race = true
