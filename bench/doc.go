// Command bench measures Redrive against raw asynq doing the same by hand, in
// interleaved rounds on one redis-server of its own, and prints medians and
// ratios; then the idle hop between two processes and what an idle worker costs
// Redis. Absolute figures depend on the machine; the ratios are what counts.
//
//	go run ./bench [-rounds 7] [-chains 300] [-fans 30]
package main
