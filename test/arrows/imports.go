package arrows

import (
	"fmt"
	"slices"
	"strings"
)

// room is a top-level folder: what of ours its non-test files may import, and why no more.
type room struct {
	may []string
	why string
}

// rooms is the drawing of the house. Folders not named here are free.
var rooms = map[string]room{
	"workflow": {nil, "the core decides from its arguments alone, so that it can be property-tested and reused anywhere"},
	"engine":   {[]string{"workflow"}, "use cases ask the core to decide and a port to make it so; a port's implementation imports the engine, never the other way"},
	"queue":    {[]string{"engine", "workflow"}, "the store implements the engine's ports and knows nothing of those who call the engine"},
	"tasks":    {[]string{"workflow"}, "a task type gets an input and returns an output; it must run without engine and Redis"},
	"worker":   {[]string{"engine", "queue", "tasks", "workflow"}, "a user's own worker binary links this and must not pull in the API server or the CLI"},
	"server":   {[]string{"engine", "workflow", "web"}, "the API goes through the engine; Redis and the fleet are behind it"},
	"web":      {nil, "the UI is files"},
	"client":   {nil, "the SDK is what others import; it speaks HTTP and carries none of the implementation"},
}

// foreign are modules that belong to some folders, at the top or below.
var foreign = []struct {
	prefix  string
	folders []string
	why     string
}{
	{"github.com/gin-gonic/", []string{"server"}, "HTTP routing stays behind the API server"},
	{"github.com/hibiken/asynq", []string{"queue", "worker", "server", "cli"}, "asynq is a wake-up hint; the engine must not know it"},
	{"github.com/redis/go-redis/", []string{"queue", "worker", "server/monitoring"}, "queue/ is the only place that knows a Redis key; the others hand a connection to asynq"},
	{"github.com/alicebob/miniredis/", []string{"queue"}, "queue/ starts the embedded Redis"},
	{"github.com/urfave/cli/", []string{"cli", "worker"}, "flags are read where processes are put together"},
}

// CheckImports finds imports that the house does not allow.
func CheckImports(files []File) []string {
	var breaches []string
	for _, f := range files {
		if f.Test {
			continue
		}
		for _, imported := range f.Imports {
			if why := refused(f.Dir, imported); why != "" {
				breaches = append(breaches, fmt.Sprintf("%s imports %s: %s", f.Path, imported, why))
			}
		}
	}
	return breaches
}

func refused(dir, imported string) string {
	from := top(dir)
	house, known := rooms[from]
	inner, ours := strings.CutPrefix(imported, Module+"/")
	if !ours {
		return refusedForeign(dir, imported)
	}
	to := top(inner)
	if to == from {
		return refusedIsland(dir, inner)
	}
	if known && !slices.Contains(house.may, to) {
		allowed := "nothing of ours"
		if len(house.may) > 0 {
			allowed = strings.Join(house.may, ", ")
		}
		return fmt.Sprintf("%s/ may import %s, because %s", from, allowed, house.why)
	}
	return ""
}

func refusedForeign(dir, imported string) string {
	from := top(dir)
	if _, known := rooms[from]; !known && from != "cli" {
		return ""
	}
	for _, f := range foreign {
		if strings.HasPrefix(imported, f.prefix) && !slices.Contains(f.folders, from) && !slices.Contains(f.folders, dir) {
			return fmt.Sprintf("only %s may, because %s", strings.Join(f.folders, ", "), f.why)
		}
	}
	return ""
}

// ground is what of server/ a wire dialect may import besides its own.
var ground = []string{"server/compat", "server/auth", "server/problem"}

// refusedIsland keeps a wire dialect apart from the other dialects and from the native API.
func refusedIsland(dir, inner string) string {
	island := func(p string) string {
		rest, found := strings.CutPrefix(p, "server/compat/")
		if !found {
			return ""
		}
		return top(rest)
	}
	from, to := island(dir), island(inner)
	if from == "" {
		return ""
	}
	if to != from && !slices.Contains(ground, inner) {
		return "a dialect is an island: it translates to the engine and shares nothing with another dialect or the native API, so that one can change without the other"
	}
	return ""
}

func top(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}
