package conductor_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStartsBesideReaders: what starts compile anew is theirs, and not what others read meanwhile.
func TestStartsBesideReaders(t *testing.T) {
	r := newRig(t)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"routed","tasks":[{"name":"work","taskReferenceName":"w"},{"name":"s","taskReferenceName":"s","type":"SWITCH",
	  "evaluatorType":"value-param","expression":"x","inputParameters":{"x":"1"},"decisionCases":{"1":[{"name":"work","taskReferenceName":"in"}]}}]}`).Code)
	before := r.ask("GET", "/api/metadata/workflow/routed", "").Body.String()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			started := r.ask("POST", "/api/workflow", fmt.Sprintf(`{"name":"routed","version":1,"taskToDomain":{"*":"d%d"}}`, i))
			if started.Code != 200 {
				t.Error(started.Body)
			}
		})
		group.Go(func() { r.ask("GET", "/api/metadata/workflow/routed", "") })
		group.Go(func() { r.ask("PUT", "/api/metadata/taskdefs", `{"name":"work"}`) })
	}
	group.Wait()
	require.Equal(t, before, r.ask("GET", "/api/metadata/workflow/routed", "").Body.String())
}
