package digdag_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// entry is a file of an archive, or with a link one that leads to another.
type entry struct {
	name, text, link string
	kind             byte // 0 = a file, or a symbolic link
}

// tarGz packs entries in their order, whatever their names are.
func tarGz(t *testing.T, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		head := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.text)), Typeflag: tar.TypeReg, Linkname: e.link, Format: tar.FormatPAX}
		switch {
		case e.kind != 0:
			head.Typeflag = e.kind
		case e.link != "":
			head.Typeflag = tar.TypeSymlink
		}
		require.NoError(t, w.WriteHeader(head))
		_, err := io.WriteString(w, e.text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.String()
}

// TestArchives: what may be in an archive that is pushed, and what may not.
func TestArchives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const say = "+a: {echo>: 1}\n"
	push := func(status int, revision, body string) map[string]any {
		return r.object(status, "PUT", "/api/projects?project=default&revision="+revision, body)
	}
	deep := strings.Repeat("a-folder-with-a-long-name/", 20) + "z"

	// Folders, long names, modes, links, and what is no workflow.
	push(200, "r1", tarGz(
		t, entry{name: "lib/", kind: tar.TypeDir}, entry{name: "./w.dig", text: say}, entry{name: "lib/in.dig", text: say}, entry{name: deep + ".dig", text: say},
		entry{name: "v.dig", link: "lib/../u.dig"}, entry{name: "u.dig", link: "lib/in.dig"}, entry{name: "lib/up.dig", link: "../w.dig"}, entry{name: "hard.dig", link: "lib/in.dig"},
		entry{name: "x.dig", text: "+c: {call>: lib/up}\n+d: {call>: " + deep + "}\n"}, entry{name: "run.sh", text: "true"}, entry{name: "elsewhere", link: "/etc"}, entry{name: "data.bin", text: "\xff\xfe"},
		entry{name: "folder/../y.dig", text: say},
	))
	require.Equal(t, []string{"hard", "u", "v", "w", "x", "y"}, names(r.get("/api/projects/" + r.projectID() + "/workflows")["workflows"], "name"))
	id := r.start("x", "{}")
	r.ends(id, "success")
	require.Equal(t, "success", r.states(id)["+x+c^sub+a"])

	noise := make([]byte, 3<<20)
	_, err := rand.Read(noise)
	require.NoError(t, err)
	many := make([]entry, 2001)
	for i := range many {
		many[i] = entry{name: fmt.Sprint(i)}
	}
	whole := tarGz(t, entry{name: "w.dig", text: say})
	for name, c := range map[string]struct {
		body, message string
		status        int
	}{
		"a path out of it":       {tarGz(t, entry{name: "../w.dig", text: say}), `the archive has a file "../w.dig" outside of it; allowed: paths below its top`, 400},
		"a path out, hidden":     {tarGz(t, entry{name: "a/../../w.dig", text: say}), `the archive has a file "a/../../w.dig" outside of it; allowed: paths below its top`, 400},
		"a path from the root":   {tarGz(t, entry{name: "/etc/cron.d/w.dig", text: say}), `the archive has a file "/etc/cron.d/w.dig" outside of it; allowed: paths below its top`, 400},
		"a path of Windows":      {tarGz(t, entry{name: `..\w.dig`, text: say}), `the archive has a file "..\\w.dig" outside of it; allowed: paths below its top`, 400},
		"another file, too":      {tarGz(t, entry{name: "w.dig", text: say}, entry{name: "../../run.sh", text: "x"}), `the archive has a file "../../run.sh" outside of it; allowed: paths below its top`, 400},
		"a link out of it":       {tarGz(t, entry{name: "w.dig", link: "../secret.dig"}), `the archive has a link "w.dig" to "../secret.dig", outside of it; allowed: links to what is below its top`, 400},
		"a link to the root":     {tarGz(t, entry{name: "w.dig", link: "/etc/passwd"}), `the archive has a link "w.dig" to "/etc/passwd", outside of it; allowed: links to what is below its top`, 400},
		"a link to nothing":      {tarGz(t, entry{name: "w.dig", link: "none.dig"}), `the archive has a link "w.dig" to "none.dig", which is no workflow file in it; allowed: links to files ending with .dig`, 400},
		"a link to itself":       {tarGz(t, entry{name: "w.dig", link: "w.dig"}), `the archive has a link "w.dig" to "w.dig", which is no workflow file in it; allowed: links to files ending with .dig`, 400},
		"bytes that are no text": {tarGz(t, entry{name: "w.dig", text: "+a: \xff"}), "w.dig is no text in UTF-8", 400},
		"too many files":         {tarGz(t, many...), "the archive is too large; allowed: at most 2000 files, 8388608 bytes unpacked", 400},
		"too much, packed well":  {tarGz(t, entry{name: "zeros", text: strings.Repeat("0", 9<<20)}), "the archive is too large; allowed: at most 2000 files, 8388608 bytes unpacked", 400},
		"too much, packed badly": {tarGz(t, entry{name: "noise", text: string(noise)}), "", 413},
		"no archive":             {"x", "the archive is no gzip: ", 400},
		"nothing":                {"", "the archive is no gzip: EOF; allowed: a tar.gz, as digdag push makes it", 400},
		"half of it":             {whole[:len(whole)/2], "the archive cannot be read: unexpected EOF", 400},
		"a gzip of what is none": {func() string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(bytes.Repeat([]byte("no tar "), 100))
			_ = z.Close()
			return b.String()
		}(), "the archive cannot be read: archive/tar: invalid tar header; allowed: a tar.gz of at most 8388608 bytes unpacked", 400},
	} {
		refused := push(c.status, "r2", c.body)
		require.Len(t, refused, 2, name)
		require.EqualValues(t, c.status, refused["status"], name)
		require.Contains(t, refused["message"], c.message, name)
	}
	require.Equal(t, []string{"r1"}, names(r.get("/api/projects/" + r.projectID() + "/revisions")["revisions"], "revision"), "nothing was stored")

	// A revision is there once.
	taken := map[string]any{"message": "the revision is there already: push another one", "status": 409.0}
	require.Equal(t, taken, push(409, "r1", whole), "whatever is pushed")
	require.Equal(t, []string{"hard", "u", "v", "w", "x", "y"}, names(r.get("/api/projects/" + r.projectID() + "/workflows")["workflows"], "name"))
	pushed := push(200, "r%202%2Bx", whole)
	require.Equal(t, "r 2+x", pushed["revision"])
	require.Equal(t, taken, push(409, "r%202%2Bx", whole))
}
