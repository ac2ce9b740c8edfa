package cognite

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// longLived has a workflow with as many native versions, of which each stored one of Cognite's.
type longLived struct {
	Engine
	versions, read int
}

func (l *longLived) Versions(_ context.Context, _, name string, page engine.Page) (all []engine.Workflow, next string, err error) {
	from := l.versions
	if page.Cursor != "" {
		if from, err = strconv.Atoi(page.Cursor); err != nil {
			return nil, "", err
		}
	}
	for v := from; v > 0 && len(all) < page.Limit; v-- {
		all = append(all, engine.Workflow{
			Name: name, Version: v, CreatedAt: time.UnixMilli(int64(v)),
			Definition: json.RawMessage(fmt.Sprintf(`{"input_schema":{"x-cognite":{"externalId":"w","version":"v%d","workflow":{"created":7}}}}`, v)),
		})
	}
	if last := from - len(all); last > 0 {
		next = strconv.Itoa(last)
	}
	l.read += len(all)
	return all, next, nil
}

// What is new is found at once, however long a workflow has lived.
func TestOnlyWhatIsNeededOfAWorkflowIsRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		enough needs
		read   int
	}{
		{dated, familyBegin}, {downTo("v4999"), familyBegin}, {both(dated, downTo("v4999")), familyBegin},
		{downTo("v4900"), familyBegin + familyPage}, {downTo("v1"), 5000}, {downTo("none"), 5000}, {whole, 5000},
	} {
		l := &longLived{versions: 5000}
		f, err := (&handlers{engine: l}).family(t.Context(), "default", "w", c.enough)
		require.NoError(t, err)
		require.Equal(t, c.read, l.read)
		require.Equal(t, 5000, f.newest)
		require.Equal(t, int64(7), f.view().CreatedTime)
	}
}
