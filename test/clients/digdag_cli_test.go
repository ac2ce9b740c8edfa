package clients

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// digdag is what Digdag's command line, unchanged, is run with.
func digdag(t *testing.T) []string {
	t.Helper()
	java(t)
	sources, err := filepath.Glob("digdag/standins/*.java")
	require.NoError(t, err)
	asked := ""
	for _, file := range append([]string{"digdag/pom.xml"}, sources...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		asked += string(text)
	}
	folder := cached(t, "digdag-cli", asked, func(folder string) {
		classpath, services := filepath.Join(folder, "classpath"), filepath.Join(folder, "META-INF", "services")
		command(t, nil, "mvn", "--quiet", "--batch-mode", "--file", "digdag/pom.xml", "dependency:build-classpath", "-Dmdep.outputFile="+classpath)
		libraries, err := os.ReadFile(classpath)
		require.NoError(t, err)
		command(t, nil, "javac", append([]string{"-nowarn", "-d", folder, "-cp", string(libraries)}, sources...)...)
		require.NoError(t, os.MkdirAll(services, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(services, "io.digdag.core.Extension"), []byte("io.digdag.standards.StandardsExtension\n"), 0o600))
	})
	libraries, err := os.ReadFile(filepath.Join(folder, "classpath"))
	require.NoError(t, err)
	return []string{"java", "--add-opens", "java.base/java.lang=ALL-UNNAMED", "-XX:TieredStopAtLevel=1", "-cp", folder + ":" + string(libraries), "io.digdag.cli.Main"}
}

// java sees to Maven and a JDK, which Digdag's command line needs: it installs them where it may.
func java(t *testing.T) {
	t.Helper()
	missing := func() string {
		for _, program := range []string{"mvn", "java", "javac"} {
			if _, err := exec.LookPath(program); err != nil {
				return program
			}
		}
		return ""
	}
	program := missing()
	if program == "" {
		return
	}
	if _, err := exec.LookPath("apt-get"); err == nil && os.Geteuid() == 0 {
		t.Logf("there is no %s on PATH: installing Maven and a JDK with apt-get", program)
		env := []string{"DEBIAN_FRONTEND=noninteractive"}
		command(t, env, "apt-get", "update")
		command(t, env, "apt-get", "install", "-y", "maven", "default-jdk-headless")
		program = missing()
	}
	require.Empty(t, program, "this program is not on PATH: Digdag's command line is for Java, and comes from Maven's registry. Install Maven and a JDK, then run this again")
}

// TestDigdagCommandLine plays a day with digdag: push, start, look, retry in all ways, kill, schedules.
func TestDigdagCommandLine(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	client := digdag(t)
	project, rows := t.TempDir(), filepath.Join(t.TempDir(), "rows.csv")
	for name, text := range map[string]string{
		"daily.dig": "timezone: Asia/Tokyo\nschedule:\n  daily>: 07:00:00\n+first:\n  echo>: begun\n+load:\n  sh>: cat " + rows + "\n" +
			"+count:\n  echo>: ${moment(session_time).add(1, 'days').format(\"YYYY-MM-DD\")} after ${last_session_date}, ${a * 2}\n",
		"held.dig": "+wait:\n  wait>: 1h\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(project, name), []byte(text), 0o600))
	}
	server := []string{"--endpoint", strings.TrimPrefix(f.URL, "http://"), "-H", "Authorization=Bearer " + f.Key}
	// says runs a command that ends with a status and has to say something.
	says := func(status int, args string, wants ...string) string {
		t.Helper()
		words := slices.Concat(client[1:], strings.Split(strings.ReplaceAll(args, "PROJECT", project), "|"), server)
		out, errOut, err := try(t, []string{"HOME=" + t.TempDir()}, client[0], words...)
		got := 0
		if err != nil {
			exit, ended := errors.AsType[*exec.ExitError](err)
			require.True(t, ended, "%s: %v", args, err)
			got = exit.ExitCode()
		}
		require.Equal(t, status, got, "%s: %s%s", args, out, errOut)
		for _, want := range wants {
			require.Contains(t, out+errOut, want, args)
		}
		return out
	}
	run := func(args string, wants ...string) string { t.Helper(); return says(0, args, wants...) }
	refused := func(args string, wants ...string) { t.Helper(); says(1, args, wants...) }
	id := func(out string) string {
		t.Helper()
		m := regexp.MustCompile("attempt id: ([0-9]+)").FindStringSubmatch(out)
		require.NotNil(t, m, out)
		return m[1]
	}
	run("version", "Client version: 0.9.42", "Server version: 0.10.5.1")
	run("push|default|--project|PROJECT|-r|r1", "Archiving daily.dig", "revision: r1", "archive type: db")
	refused("push|default|--project|PROJECT|-r|r1", `error: Request conflicted: {"message":"the revision is there already: push another one","status":409}`)
	run("projects", "name: default", "revision: r1")
	run("workflows", "  default", "    daily", "    held")
	run("workflows|default|daily", "timezone: \"Asia/Tokyo\"", "daily>: \"07:00:00\"")

	run("start|default|daily|--session|2026-03-01|--dry-run", "session id: (dry run)", "Session attempt is not started.")
	out := run("start|default|daily|--session|2026-03-01|-p|a=21", "session id: 1", "session time: 2026-03-01 00:00:00 +0900", `"last_session_time":"2026-02-28T00:00:00+09:00"`)
	first := id(out)
	refused("start|default|daily|--session|2026-03-01", "error: A session for the requested session_time already exists (session_id=1, attempt_id="+first, "hint: use `digdag retry "+first+" --latest-revision --all`")
	ended := func(attempt string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := f.API.Wait(ctx, attempt)
		require.NoError(t, err)
	}
	await := func(attempt, status string) {
		t.Helper()
		ended(attempt)
		run("attempt|"+attempt, "attempt id: "+attempt, "workflow: daily", "status: "+status)
	}
	await(first, "error")
	run("tasks|"+first, "name: +daily+load", "state: error", "state: blocked", `config: {"sh>":"cat `+rows+`"}`)
	run("log|"+first, "(+daily+first) begun", "No such file or directory")

	require.NoError(t, os.WriteFile(rows, []byte("one\n"), 0o600))
	resumed := id(run("retry|"+first+"|--latest-revision|--resume|--name|again", "retry attempt name: again", `"a":"21"`))
	await(resumed, "success")
	run("log|"+resumed+"|+daily+count", "(+daily+count) 2026-03-02 after 2026-02-28, 42")
	require.NotContains(t, run("log|"+resumed), "begun", "it was kept")
	from := id(run("retry|"+first+"|--keep-revision|--resume-from|+load", "Started a session attempt"))
	await(from, "success")
	refused("retry|"+first+"|--revision|r1|--resume-from|+count", "error: Status code 400: ", "Resuming non-successful tasks is not allowed")
	all := id(run("retry|"+first+"|--latest-revision|--all", "Started a session attempt"))
	await(all, "success")
	run("log|"+all, "(+daily+first) begun")
	run("log|"+all+"|--follow", "(+daily+first) begun")
	refused("retry|"+all+"|--latest-revision|--resume", "Resuming successfully completed attempts is not supported")

	run("attempts", "attempt id: "+all)
	run("attempts|1", "attempt id: "+first, "attempt id: "+resumed, "attempt id: "+from, "attempt id: "+all)
	run("sessions", "session id: 1", "attempt id: "+all, "status: success")
	run("sessions|default|daily", "session id: 1")
	run("session|1", "session time: 2026-03-01 00:00:00 +0900")
	refused("attempt|999999", "error: Resource not found")

	held := id(run("start|default|held|--session|now", "workflow: held"))
	run("kill|"+held, "Kill requested")
	ended(held)
	run("attempt|"+held, "kill requested: true")
	refused("kill|"+held, `error: Request conflicted: {"message":"Session attempt already killed or finished","status":409}`)

	run("schedules", "workflow: daily", "next session time: ")
	run("disable|default|daily", "Disabled schedule id: ")
	run("enable|default|daily", "Enabled schedule id: ")
	run("backfill|default|daily|--from|2026-03-03 00:00:00|--name|b|--count|2|--dry-run", "session time: 2026-03-03 00:00:00 +0900", "session time: 2026-03-04 00:00:00 +0900")
	run("backfill|default|daily|--from|2026-03-03 00:00:00|--name|b|--count|2", "retry attempt name: b", "Backfill session attempts started.")
	refused("reschedule|default|daily|--skip|1", "HTTP 501")
	refused("secrets|--project|default", "HTTP 501")
	run("download|default|--output|PROJECT/down", "Extracted project 'default' revision 'r1'")
	require.FileExists(t, filepath.Join(project, "down", "daily.dig"))
}
