package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

const (
	envSecret  = `s3cr3t/of+the<env>&"x"`
	fileSecret = "line one of a file\nline/two+of&it"
)

// leaky are tasks that do with secrets what tasks do, and worse: every one of
// them hands the value on in its output, its log or its error.
const leaky = `
name: leaky
tasks:
  - { name: length, type: exec, with: { command: [sh, -c, 'echo "$${#T} $${#F}"'], env: { T: "${secrets.token}", F: "${secrets.filed}" } } }
  - { name: print, type: exec, with: { command: [sh, -c, 'echo "T=$T"; echo "$F"; printf %s "$T" | base64 >&2; printf "you:%s" "$T" | base64'], env: { T: "${secrets.token}", F: "${secrets.filed}" } } }
  - { name: parse, type: exec, with: { command: [cat], stdin: { t: "${secrets.token}", f: "${secrets.filed}" }, parse: json } }
  - { name: echo, type: noop, with: { t: "${secrets.token}", nested: [ { n: 1, f: "it is ${secrets.filed}!" } ] } }
  - name: encode
    type: transform
    with: { jq: '{t: ., base64: @base64, uri: @uri, json: tojson, twice: (tojson | tojson), long: [range(300) as $i | "\($i) \(.)"]}', value: "${secrets.token}" }
  - { name: say, type: log, with: { message: "token ${secrets.token} and ${secrets.filed}", level: error } }
  - { name: die, on_failure: continue, type: exec, with: { command: [sh, -c, 'echo "no $T" >&2; exit 3'], env: { T: "${secrets.token}" } }, retry: { max_attempts: 2, delay: 1ms } }
  - { name: fail, on_failure: continue, type: fail, with: { message: "refused ${secrets.token}", code: "${secrets.token}" } }
  - { name: refused, on_failure: continue, type: exec, with: { command: ["${secrets.token}"] } }
  - { name: invalid, on_failure: continue, type: log, with: { message: x, level: "${secrets.token}" } }
  - { name: schema, on_failure: continue, type: noop, with: { t: "${secrets.token}" }, output_schema: { type: object, properties: { t: { enum: [a, b] } } } }
  - { name: call, type: http, with: { url: "${workflow.input.url}/echo", headers: { Authorization: "Bearer ${secrets.token}" }, body: { f: "${secrets.filed}" } , method: POST } }
  - { name: unreachable, on_failure: continue, type: http, with: { url: "http://127.0.0.1:1/", query: { token: "${secrets.token}" } } }
output:
  all: ["${tasks.print.output}", "${tasks.echo.output}", "${tasks.encode.output}", "${tasks.call.output}"]
  errors: ["${tasks.die.error}", "${tasks.fail.error}"]
`

// forms are the ways to write a secret that must be found nowhere.
func forms(secret string) []string {
	asJSON, _ := json.Marshal(secret) //nolint:errchkjson // a string
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(asJSON))
	all := []string{
		secret, strings.Trim(string(asJSON), `"`), strings.Trim(plain, `"`), url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("you:" + secret)), hex.EncodeToString([]byte(secret)),
	}
	for line := range strings.Lines(secret) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

func TestSecretsAreStoredNowhere(t *testing.T) {
	t.Parallel()
	var seen []string
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := new(strings.Builder)
		_, _ = fmt.Fprint(body, r.Header.Get("Authorization"))
		seen = append(seen, r.Header.Get("Authorization"))
		w.Header().Set("X-Echo", base64.StdEncoding.EncodeToString([]byte(r.Header.Get("Authorization"))))
		_, _ = fmt.Fprintf(w, `{"said":%q,"query":%q}`, body, url.QueryEscape(body.String()))
	}))
	t.Cleanup(echo.Close)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "filed"), []byte(fileSecret+"\n"), 0o600))
	binary, err := fleet.Build(fleet.Redrive)
	require.NoError(t, err)
	f := fleet.New(t, queuetest.URL(t))
	processes := []*fleet.Process{f.Server("--log-level", "debug")}
	for range 2 {
		processes = append(processes, f.OwnWorker(binary, []string{"REDRIVE_SECRET_TOKEN=" + envSecret}, "worker", "--secrets-dir", dir,
			"--allow-exec", "sh", "--allow-exec", "cat", "--allow-address", "127.0.0.1", "--log-level", "debug"))
	}
	f.Publish(leaky)
	id := f.Start("leaky", map[string]string{"url": echo.URL})
	x := await(t, f, id)
	require.EqualValues(t, "succeeded", x.Status, "%+v", x.Error)
	require.Equal(t, []string{"Bearer " + envSecret}, seen, "handlers have the secret")
	length, err := f.API.Task(t.Context(), id, "length")
	require.NoError(t, err)
	require.Contains(t, string(length.Output), fmt.Sprintf(`"%d %d\n"`, len(envSecret), len(fileSecret)), "a file's last line end is cut")

	told := map[string]string{"the execution": fmt.Sprintf("%s %+v", x.Output, x.Error)}
	for _, p := range processes {
		told[fmt.Sprintf("the log of %s %d", p.Name, p.PID())] = p.Log()
	}
	for _, path := range []string{"/v1/executions/" + id, "/v1/executions/" + id + "/tasks", "/v1/executions/" + id + "/history",
		"/v1/executions/" + id + "/logs?limit=1000", "/v1/executions/" + id + "/tasks/die/attempts",
		"/monitoring/api/queues/default/archived_tasks?page=1&size=100"} {
		code, text := call(t, f, "GET", path, "", "")
		require.Equal(t, 200, code, path)
		told["GET "+path] = text
	}
	require.Contains(t, told["GET /v1/executions/"+id+"/logs?limit=1000"], "token [secret] and [secret]")
	require.Contains(t, told["GET /monitoring/api/queues/default/archived_tasks?page=1&size=100"], "[secret]")
	for task, part := range map[string]string{"print": `T=[secret]\n[secret]`, "parse": `{"f":"[secret]","t":"[secret]"}`, "encode": `"299 [secret]"`, "call": "[secret]"} {
		got, err := f.API.Task(t.Context(), id, task)
		require.NoError(t, err)
		require.Equal(t, client.TaskStatusSucceeded, got.Status, "%s: %+v", task, got.Error)
		require.Contains(t, string(got.Output), part, task)
	}
	for _, task := range []string{"die", "fail", "refused", "invalid", "schema", "unreachable"} {
		got, err := f.API.Task(t.Context(), id, task)
		require.NoError(t, err)
		require.Equal(t, client.TaskStatusFailed, got.Status, task)
	}
	for key, value := range everything(t, f.Client()) {
		told["the key "+key] = value
	}
	for where, text := range told {
		for _, secret := range []string{envSecret, fileSecret} {
			for _, form := range forms(secret) {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s has a secret as %q: %q", where, form, text[max(0, i-80):min(len(text), i+len(form)+80)])
				}
			}
		}
	}
}

// everything is every key of Redis with all that it holds, one after the other.
func everything(t *testing.T, c redis.UniversalClient) map[string]string {
	t.Helper()
	ctx, all := context.Background(), map[string]string{}
	for it := c.Scan(ctx, 0, "*", 1000).Iterator(); it.Next(ctx); {
		key := it.Val()
		kind, err := c.Type(ctx, key).Result()
		require.NoError(t, err)
		var value any
		switch kind {
		case "string":
			value, err = c.Get(ctx, key).Result()
		case "hash":
			value, err = c.HGetAll(ctx, key).Result()
		case "list":
			value, err = c.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = c.SMembers(ctx, key).Result()
		case "zset":
			value, err = c.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			value, err = c.XRange(ctx, key, "-", "+").Result()
		case "none":
			continue // gone meanwhile
		default:
			t.Fatalf("%s is a %s: this test must learn to read it", key, kind)
		}
		if err == redis.Nil { //nolint:errorlint // go-redis answers it as it is
			continue
		}
		require.NoError(t, err, key)
		all[key] = key + fmt.Sprint(value)
	}
	require.NotEmpty(t, all)
	return all
}
