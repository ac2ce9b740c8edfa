package digdag_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages reads a list page by page, as a client does: each begins behind the last entry of the one before.
func (r *rig) pages(path, field, size string) (all []string) {
	r.t.Helper()
	for last := ""; ; last = "&last_id=" + all[len(all)-1] {
		some := names(r.get(path + "?" + size + last)[field], "id")
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
		require.Less(r.t, len(all), 1000, "it has an end")
	}
}

// TestPages: every list in its order, whole when read page by page, and what its query may not be.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	scheduled := "schedule: {daily>: 07:00:00}\n+a: {echo>: 1}\n"
	r.push("r1", map[string]string{"b.dig": scheduled, "a.dig": scheduled, "c.dig": "+a: {echo>: 1}\n"})
	require.Equal(t, 200, r.ask("PUT", "/api/projects?project=zoo&revision=r1", "admin", archive(t, map[string]string{"a.dig": scheduled, "ab.dig": "+a: {echo>: 1}\n"})).Code)
	r.push("r2", map[string]string{"b.dig": scheduled + "+b: {echo>: 1}\n", "a.dig": scheduled, "c.dig": "+a: {echo>: 1}\n"})
	var attempts, sessions []string // the oldest first
	for i, day := range []string{"01", "02", "03"} {
		for n := range 3 {
			a := r.object(200, "PUT", "/api/attempts", fmt.Sprintf(`{"projectName":"default","workflowName":%q,"sessionTime":"2026-03-%sT00:00:00Z","params":{},"retryAttemptName":"n%d"}`, []string{"c", "b"}[i%2], day, n))
			attempts = append(attempts, a["id"].(string))
			if n == 0 {
				sessions = append(sessions, a["sessionId"].(string))
			}
		}
	}
	newest := func(all []string) []string { all = slices.Clone(all); slices.Reverse(all); return all }
	project := "/api/projects/" + r.projectID()

	for size := 1; size <= 4; size++ {
		n := fmt.Sprint("page_size=", size)
		require.Equal(t, newest(attempts), r.pages("/api/attempts", "attempts", "include_retried=true&"+n), n)
		require.Equal(t, []string{attempts[8], attempts[5], attempts[2]}, r.pages("/api/attempts", "attempts", n), "the last of each session: %s", n)
		require.Equal(t, []string{attempts[8], attempts[2]}, r.pages("/api/attempts", "attempts", "workflow=c&project=default&"+n), n)
		require.Equal(t, newest(sessions), r.pages("/api/sessions", "sessions", n), n)
		require.Equal(t, newest(sessions), r.pages(project+"/sessions", "sessions", n), n)
		require.Equal(t, []string{sessions[1]}, r.pages(project+"/sessions", "sessions", "workflow=b&"+n), n)
		require.Equal(t, newest(attempts[3:6]), r.pages("/api/sessions/"+sessions[1]+"/attempts", "attempts", n), n)
	}
	require.Equal(t, newest(attempts[:4]), names(r.get("/api/attempts?include_retried=true&last_id=" + attempts[4])["attempts"], "id"), "ids below it")
	require.Equal(t, newest(attempts), names(r.get("/api/attempts?include_retried=true&last_id=999999")["attempts"], "id"), "also where there is none of that id")
	require.Equal(t, newest(attempts[3:6]), names(r.get("/api/sessions/" + sessions[1] + "/attempts?last_id=999999")["attempts"], "id"))
	require.Empty(t, r.get("/api/sessions/" + sessions[1] + "/attempts?last_id=" + attempts[1])["attempts"])
	require.Empty(t, r.get("/api/attempts?workflow=nowhere")["attempts"])
	require.Equal(t, "Resource does not exist: project name=nowhere", r.object(404, "GET", "/api/attempts?project=nowhere", "")["message"])

	schedules := r.get("/api/schedules")["schedules"].([]any)
	require.Equal(t, []string{"a", "b", "a"}, workflowsOf(schedules), "by id, which is as they were made, whatever the project")
	ids := names(schedules, "id")
	require.Equal(t, ids[1:], names(r.get("/api/schedules?last_id=" + ids[0])["schedules"], "id"))
	require.Empty(t, r.get("/api/schedules?last_id=" + ids[2])["schedules"])
	require.Equal(t, ids[1:2], names(r.get(project + "/schedules?last_id=" + ids[0])["schedules"], "id"))
	require.Equal(t, ids[1:2], names(r.get(project + "/schedules?workflow=b")["schedules"], "id"))

	// Workflows are by id: those of the newest revisions, of all projects.
	all := r.get("/api/workflows")["workflows"].([]any)
	require.Len(t, all, 5)
	ids = names(all, "id")
	require.IsIncreasing(t, numbers(t, ids))
	require.Equal(t, ids, names(r.get("/api/workflows?order=asc")["workflows"], "id"))
	require.Equal(t, newest(ids), names(r.get("/api/workflows?order=desc")["workflows"], "id"))
	require.Equal(t, newest(ids), r.pages("/api/workflows", "workflows", "order=desc&count=2"))
	for count := 1; count <= 4; count++ {
		require.Equal(t, ids, r.pages("/api/workflows", "workflows", fmt.Sprint("count=", count)))
	}
	called := func(query string) []string {
		found := []string{}
		for _, one := range r.get("/api/workflows?" + query)["workflows"].([]any) {
			one := one.(map[string]any)
			found = append(found, one["project"].(map[string]any)["name"].(string)+"/"+one["name"].(string))
		}
		slices.Sort(found)
		return found
	}
	require.Equal(t, []string{"default/a", "zoo/a", "zoo/ab"}, called("name_pattern=a"), "a part of the name")
	require.Equal(t, []string{"zoo/ab"}, called("name_pattern=b&last_id=" + ids[0] + "&order=asc")[1:])
	require.Empty(t, called("name_pattern=zo"))
	require.Equal(t, []string{"zoo/a", "zoo/ab"}, called("name_pattern=zo&search_project_name=true"), "or of the project's")
	require.Equal(t, []string{"default/b", "zoo/ab"}, called("name_pattern=b&search_project_name=false"))
	require.Equal(t, []string{"c"}, names(r.get(project + "/workflows?name=c")["workflows"], "name"))
	require.Equal(t, []string{"a", "b", "c"}, names(r.get(project + "/workflows")["workflows"], "name"))

	for path, want := range map[string]string{
		"/api/attempts?page_size=101":                              `page_size is "101"; allowed: 1 to 100`,
		"/api/attempts?page_size=0":                                `page_size is "0"; allowed: 1 to 100`,
		"/api/attempts?page_size=ten":                              `page_size is "ten"; allowed: 1 to 100`,
		"/api/attempts?last_id=x":                                  `last_id is "x"; allowed: an id of the list`,
		"/api/sessions?page_size=101":                              `page_size is "101"; allowed: 1 to 100`,
		"/api/sessions?last_id=-1":                                 `last_id is "-1"; allowed: an id of the list`,
		"/api/sessions/" + sessions[0] + "/attempts?page_size=101": `page_size is "101"; allowed: 1 to 100`,
		"/api/sessions/" + sessions[0] + "/attempts?last_id=x":     `last_id is "x"; allowed: an id of the list`,
		project + "/sessions?page_size=101":                        `page_size is "101"; allowed: 1 to 100`,
		project + "/schedules?last_id=x":                           `last_id is "x"; allowed: an id of the list`,
		"/api/schedules?last_id=x":                                 `last_id is "x"; allowed: an id of the list`,
		"/api/workflows?count=1001":                                `count is "1001"; allowed: 1 to 1000`,
		"/api/workflows?count=x":                                   `count is "x"; allowed: 1 to 1000`,
		"/api/workflows?last_id=x":                                 `last_id is "x"; allowed: an id of the list`,
		"/api/workflows?order=up":                                  `order is "up"; allowed: asc, desc`,
		"/api/workflows?search_project_name=7":                     `search_project_name is "7"; allowed: true, false`,
		"/api/projects?count=1001":                                 `count is "1001"; allowed: 1 to 1000`,
		"/api/projects?last_id=x":                                  `last_id is "x"; allowed: an id of the list`,
	} {
		require.Equal(t, map[string]any{"message": want, "status": 400.0}, r.object(400, "GET", path, ""), path)
	}
}

func workflowsOf(all []any) (found []string) {
	for _, one := range all {
		found = append(found, one.(map[string]any)["workflow"].(map[string]any)["name"].(string))
	}
	return found
}

func numbers(t *testing.T, ids []string) (all []int) {
	t.Helper()
	for _, id := range ids {
		var n int
		_, err := fmt.Sscan(id, &n)
		require.NoError(t, err)
		all = append(all, n)
	}
	return all
}

// TestLogFiles: which files there are, in which order, what they are named, and how they are asked for.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": `
+b: {_retry: 1, sh>: 'echo b; test -e ` + r.dir + `/b || { touch ` + r.dir + `/b; exit 1; }'}
+ab: {echo>: ab}
+a:
  for_each>: {x: ["x y%", "*~"]}
  _do: {+in: {echo>: "${x}"}}
+quiet: {sh>: 'true'}
`})
	id := r.start("w", "{}")
	r.ends(id, "success")
	list := func(query string) []any { return r.get("/api/logs/" + id + "/files" + query)["files"].([]any) }
	of := func(query string) []string { return names(list(query), "taskName") }
	loop := []string{"+w+a^sub+for-0=x=0=x%20y%25+in", "+w+a^sub+for-0=x=1=*%7E+in"}

	require.ElementsMatch(t, append([]string{"+w+ab", "+w+b", "+w+b"}, loop...), of(""), "a file for each try that wrote something")
	all := names(list(""), "fileName")
	require.True(t, slices.IsSorted(all), "%q", all)
	require.ElementsMatch(t, append([]string{"+w+ab"}, loop...), of("?task=%2Bw%2Ba"), "names begin so")
	require.Equal(t, loop, of("?task=%2Bw%2Ba%5Esub"))
	require.Equal(t, loop[:1], of("?task=%2Bw%2Ba%5Esub%2Bfor-0%3Dx%3D0%3Dx%2520y"))
	require.Empty(t, of("?task=%2Bw%2Bquiet"))
	require.Empty(t, of("?task=w"))
	require.Len(t, of("?task="), 5)
	for _, f := range list("?direct_download=true") {
		f := f.(map[string]any)
		require.Len(t, f, 7)
		require.Regexp(t, `^\+w\S*@[0-9a-f]{8}[0-9a-f]{8}\.attempt-\d+\.log\.gz$`, f["fileName"])
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, f["fileTime"])
		require.Regexp(t, `^attempt-[12]$`, f["agentId"])
		require.Positive(t, f["fileSize"])
		require.Nil(t, f["direct"])
	}

	// A + of a path is a +, escaped or not; what is escaped in a name is escaped once more.
	for _, name := range all {
		for _, path := range []string{url.PathEscape(name), "%2B" + url.PathEscape(name[1:])} {
			w := r.ask("GET", "/api/logs/"+id+"/files/"+path, "reader", "")
			require.Equal(t, []any{200, "application/gzip", ""}, []any{w.Code, w.Header().Get("Content-Type"), w.Header().Get("Content-Encoding")}, path)
			require.Equal(t, "\x1f\x8b", w.Body.String()[:2], "compressed as content")
		}
	}
	require.Contains(t, r.log(id, loop[0]), " [INFO] ("+loop[0]+") x y%\n")
	require.Equal(t, 2, r.starts(id)["+w+b"])

	// Files are those of the list, and nothing else.
	good := url.PathEscape(all[0])
	for path, status := range map[string]int{
		"..%2f..%2f..%2fetc%2fpasswd": 404, "%2e%2e": 404, "%2fetc%2fpasswd": 404, good + "%00": 404, "..%5c..%5cwin.ini": 404, "%2e%2e%2f" + good: 404, "x/" + good: 404,
		good[:len(good)-3]: 404, url.PathEscape(all[0][1:]): 404, "%20" + good[1:]: 404,
	} {
		w := r.ask("GET", "/api/logs/"+id+"/files/"+path, "reader", "")
		require.Equal(t, status, w.Code, path)
		require.NotContains(t, w.Body.String(), "root:", path)
	}
	w := r.ask("GET", "/api/logs/"+id+"/files/none.log.gz", "reader", "")
	require.JSONEq(t, `{"message":"Resource does not exist: log file \"none.log.gz\"","status":404}`, w.Body.String())
	for _, path := range []string{"/api/logs/999999/files", "/api/logs/x/files", "/api/logs/999999/files/" + good} {
		require.Equal(t, 404, r.ask("GET", path, "reader", "").Code, path)
	}
}
