package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// playedPages show a session that happened: files stand under their names, and
// commands with what they print. `go test ./cli -run TestPlayedPages -update` plays them again.
var playedPages = []string{"when-something-failed.md", "redrives.md"}

var (
	fence      = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	fileTitle  = regexp.MustCompile("(?m)^`([\\w.-]+)`[^\n]*:\n\n$")
	hashInText = regexp.MustCompile(`\d+-[0-9a-z]+x[0-9a-f]{32}`)
)

func TestPlayedPages(t *testing.T) {
	for _, name := range playedPages {
		t.Run(name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("..", "docs", name))
			require.NoError(t, err)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			again := playPage(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(again), 0o644))
				return
			}
			require.Equal(t, alike(string(text)), alike(again), "docs/%s is not what happens: go test ./cli -run TestPlayedPages -update", name)
		})
	}
}

// playPage is the page with what its commands print now, in a folder and against a process of their own.
func playPage(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	d, err := startDev(context.Background(), devOptions{listen: "127.0.0.1:0", concurrency: 4, version: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { stopDev(t, d) })
	t.Setenv("REDRIVE_SERVER", d.url())
	t.Setenv("GORACE", noSleep)

	var out strings.Builder
	from, hash := 0, ""
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(text[from:m[4]])
		kind, body := text[m[2]:m[3]], text[m[4]:m[5]]
		if title := fileTitle.FindStringSubmatch(lastLines(text[:m[0]])); title != nil {
			require.NoError(t, os.WriteFile(title[1], []byte(body), 0o600))
		}
		if kind == "console" {
			body, hash = playBlock(t, body, hash)
		}
		out.WriteString(body)
		from = m[5]
	}
	require.NotEmpty(t, hash, "no command showed a plan")
	return out.String() + text[from:]
}

// lastLines are a line and the empty one behind it.
func lastLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "")
}

// playBlock executes the commands of a block. A plan hash in a command is the one that was shown last.
func playBlock(t *testing.T, body, hash string) (played, last string) {
	t.Helper()
	var b strings.Builder
	for _, part := range strings.Split("\n"+body, "\n$ ")[1:] {
		command, before, _ := strings.Cut(strings.TrimSuffix(part, "\n")+"\n", "\n")
		if hash != "" {
			command = hashInText.ReplaceAllString(command, hash)
		}
		said := sayAgain(t, command, before)
		if seen := hashInText.FindAllString(said, -1); seen != nil {
			hash = seen[len(seen)-1]
		}
		b.WriteString("$ " + command + "\n" + said)
	}
	return b.String(), hash
}

// looksOnly are commands that change nothing: they may be asked again until what happens has happened.
var looksOnly = regexp.MustCompile(`^redrive .*(--dry-run|execution (get|list|tasks|redrives|lineage|diff|history|logs)|task (get|attempts)) ?`)

// sayAgain is what a command prints now; before is what it printed when the page was written.
func sayAgain(t *testing.T, command, before string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		said, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil {
			require.ErrorAs(t, err, &exit, "%s: %s", command, said)
		}
		if *update || !looksOnly.MatchString(command) || alike(string(said)) == alike(before) || time.Now().After(deadline) {
			return string(said)
		}
	}
}

// What is another each time it is played.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{hashInText, "HASH"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`), "TIME"},
	{regexp.MustCompile(`\b\S+:\d+:[0-9a-z]{5,12}\b`), "WORKER"},
	{regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)?(ms|s|µs)\b`), "SPAN"},
	{regexp.MustCompile(`(?m)^took .*$`), "took"}, // nothing where it took none
	{regexp.MustCompile(`(?m)^revision  +\d+,`), "revision N,"},
	{regexp.MustCompile(`\b\d+/\d+\b( \(\d+ failed\))?`), "N/N"},
	{regexp.MustCompile(`(?m)^(\d+ +\S+ v\d+ +)(▶ running|✔ succeeded)`), "${1}RUNS"}, // it does or did, when it is listed
	{regexp.MustCompile(`  +`), "  "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// alike is a page without what is another each time, and with the lines of progress, which may overtake each other, in order.
func alike(page string) string {
	for _, c := range changing {
		page = c.what.ReplaceAllString(page, c.with)
	}
	lines := strings.Split(page, "\n")
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && strings.HasPrefix(lines[to], "TIME") {
			to++
		}
		slices.Sort(lines[from:to])
		from = max(from, to-1)
	}
	return strings.Join(lines, "\n")
}
