package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// playDemo is the whole demo, and the folder that it wrote.
func playDemo(t *testing.T, args ...string) (out, dir string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	begun := time.Now()
	code := Run(t.Context(), "test", append([]string{"redrive", "demo"}, args...), strings.NewReader(""), &stdout, &stderr)
	require.Equal(t, exitOK, code, stdout.String()+stderr.String())
	require.Less(t, time.Since(begun), 30*time.Second)
	require.Empty(t, stderr.String())
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "redrive-demo-*"))
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	return stdout.String(), dirs[0]
}

// acts are what the demo tells, cut where the next act begins.
func acts(t *testing.T, out string) (fails, retries, reruns string) {
	t.Helper()
	parts := regexp.MustCompile(`(?m)^[123]/3  `).Split(out, -1)
	require.Len(t, parts, 4, out)
	return parts[1], parts[2], parts[3]
}

func TestDemoTellsOfARetry(t *testing.T) {
	out, dir := playDemo(t)
	fails, retries, reruns := acts(t, out)

	require.Contains(t, fails, "year[2014]: row_invalid: line 42: temp_max: is \"1O.0\"; allowed: a number")
	require.Regexp(t, `year\[2013\] +✔ succeeded`, fails)
	require.Regexp(t, `status +✘ failed`, fails)
	require.Contains(t, fails, "- 2014-02-10,18.3,10.0,2.2,4.7,rain\n  + 2014-02-10,18.3,1O.0,2.2,4.7,rain")
	require.Equal(t, "2014-02-10,18.3,1O.0,2.2,4.7,rain", lineOf(t, filepath.Join(dir, "2014.csv"), 42), "what is shown is what is in the file")

	require.Regexp(t, `year\[2012\] +✔ keep`, retries)
	require.Regexp(t, `year\[2014\] +▶ run +✘ failed`, retries)
	require.Contains(t, retries, `replace  /csv  "`+filepath.Join(dir, "2014-corrected.csv")+`"`)
	shown := regexp.MustCompile(`(?m)^  (redrive retry .*)$`).FindStringSubmatch(retries)
	require.Len(t, shown, 2)
	require.Contains(t, retries, "\n$ "+shown[1]+" --wait\n", "the plan that was shown is the one that is executed")
	require.NotRegexp(t, `year\[201[235]\] +▶ running`, retries)
	require.Equal(t, map[string]string{"year[2012]": "1", "year[2013]": "1", "year[2014]": "2", "year[2015]": "1", "compare": "1", "report": "1"}, attemptsIn(retries))

	require.Contains(t, reruns, "- 2012-11-19,54.1,13.3,8.3,6.0,rain\n  + 2012-11-19,64.1,13.3,8.3,6.0,rain")
	require.Equal(t, "2012-11-19,64.1,13.3,8.3,6.0,rain", lineOf(t, filepath.Join(dir, "2012-revised.csv"), 325))
	require.NotRegexp(t, `year\[201[345]\] +▶ running`, reruns)
	require.Equal(t, map[string]string{"year[2012]": "2", "year[2013]": "1", "year[2014]": "2", "year[2015]": "1", "compare": "2", "report": "2"}, attemptsIn(reruns))
	require.Contains(t, retries, `"wettest_year": 2014`)
	require.Contains(t, reruns, `"wettest_year": 2012`)
	require.Regexp(t, `(?m)^2012  \S+ +11\.28   1236\.0$`, reruns)
	require.Contains(t, reruns, "demo --keep")
	report, err := os.ReadFile(filepath.Join(dir, "weather-report.md"))
	require.NoError(t, err)
	require.Contains(t, string(report), "wettest year: 2012")
}

// told ends a process as Ctrl-C would, once it said something.
type told struct {
	bytes.Buffer
	what string
	stop context.CancelFunc
}

func (w *told) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.what) {
		w.stop()
	}
	return w.Buffer.Write(b)
}

func TestDemoKeepsRunning(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	out := &told{what: "Ctrl-C stops it", stop: cancel}
	var errOut bytes.Buffer
	require.Equal(t, exitOK, Run(ctx, "test", []string{"redrive", "demo", "--keep"}, strings.NewReader(""), out, &errOut), errOut.String())
	require.Contains(t, out.String(), "Look further: ask it from another terminal:\n")
	require.NotContains(t, out.String(), "runs it once more")
	require.Regexp(t, `export REDRIVE_SERVER=http://127\.0\.0\.1:\d+`, out.String())
}

func lineOf(t *testing.T, file string, n int) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Split(string(data), "\n")[n-1]
}

// attemptsIn reads the table of tasks: attempts by ref, those that hold others left out.
func attemptsIn(out string) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(year\[\d+\]|compare|report) +[a-z.]+ +✔ succeeded +(\d+) `).FindAllStringSubmatch(out, -1) {
		all[m[1]] = m[2]
	}
	return all
}

// What the environment says of another server is not for the demo.
func TestDemoIsOnItsOwn(t *testing.T) {
	t.Setenv("REDRIVE_SERVER", "http://127.0.0.1:1")
	t.Setenv("REDRIVE_API_KEY", "rd_other")
	t.Setenv("REDRIVE_PROJECT", "other")
	t.Setenv("REDRIVE_OUTPUT", "json")
	out, _ := playDemo(t)
	_, retries, reruns := acts(t, out)
	require.NotContains(t, out, "rd_other")
	require.Len(t, attemptsIn(retries), 6)
	require.Len(t, attemptsIn(reruns), 6)
}

// A command that ends in another way ends the demo, and what it said is shown.
func TestDemoStopsWhereItGoesAnotherWay(t *testing.T) {
	d := newDoor(t, map[string]any{"GET /v1/executions/7": client.Problem{Title: "Not Found", Status: 404, Code: "execution_not_found"}})
	var out bytes.Buffer
	p := testProgram()
	p.out = &out
	s := &story{program: p, style: styleFor(&out), url: d.URL, id: "7"}
	err := s.play(t.Context(), exitOK, "execution", "get", s.id)
	code, text := explain(err)
	require.Equal(t, exitUnsuccess, code)
	require.Contains(t, text, "the demo went another way")
	require.Contains(t, text, "ended with 3")
	require.Contains(t, out.String(), "$ redrive execution get 7\nerror: ")
	require.NoError(t, s.play(t.Context(), exitNotFound, "execution", "get", s.id))
}

func TestDemoChangesOnlyWhatIsThere(t *testing.T) {
	data, c, err := changed("a.csv", []byte("h\n1\n2\n"), "2", "3")
	require.NoError(t, err)
	require.Equal(t, change{file: "a.csv", line: 3, was: "2", now: "3"}, c)
	require.Equal(t, "h\n1\n3\n", string(data))
	_, _, err = changed("a.csv", []byte("h\n1\n"), "2", "3")
	require.ErrorContains(t, err, `no line "2"`)
}
