// Package client is the Go SDK of the Redrive REST API.
//
//	c, err := client.New("http://127.0.0.1:8080", client.Options{APIKey: key})
//	x, _, err := c.Start(ctx, "default", client.StartRequest{Workflow: "hello"})
//	x, err = c.Wait(ctx, x.ID)
//
// The models and [Transport] are generated from the API's specification;
// [Client] puts typed methods, errors, pages and event streams on top.
// Every refusal of the server is an [*Error].
package client
