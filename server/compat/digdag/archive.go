package digdag

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/server/compat/digdag/dig"
)

// The limits of an archive, beside those of a request's body.
const (
	maxArchiveFiles = 2000
	maxArchiveBytes = 8 << 20 // unpacked
	maxLinks        = 16      // on the way to a file
)

// unarchive reads the workflow files of a tar.gz. Nothing in it is written anywhere.
func unarchive(archive []byte) (map[string]string, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, refuse("the archive is no gzip: %v; allowed: a tar.gz, as digdag push makes it", err)
	}
	files, links := map[string]string{}, map[string]string{}
	reader := tar.NewReader(io.LimitReader(zipped, maxArchiveBytes+1))
	size := int64(0)
	for n := 0; ; n++ {
		head, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, follow(files, links)
		}
		if err != nil {
			return nil, refuse("the archive cannot be read: %v; allowed: a tar.gz of at most %d bytes unpacked", err, maxArchiveBytes)
		}
		if size += head.Size; n >= maxArchiveFiles || size > maxArchiveBytes {
			return nil, refuse("the archive is too large; allowed: at most %d files, %d bytes unpacked", maxArchiveFiles, maxArchiveBytes)
		}
		name, inside := below("", head.Name)
		if !inside {
			return nil, refuse("the archive has a file %q outside of it; allowed: paths below its top", head.Name)
		}
		if head.Typeflag == tar.TypeSymlink && strings.HasSuffix(name, dig.Extension) {
			if links[name], inside = below(path.Dir(name), head.Linkname); !inside {
				return nil, refuse("the archive has a link %q to %q, outside of it; allowed: links to what is below its top", head.Name, head.Linkname)
			}
			continue
		}
		if head.Typeflag != tar.TypeReg || !strings.HasSuffix(name, dig.Extension) {
			continue
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			return nil, refuse("the archive cannot be read: %v", err)
		}
		if !utf8.Valid(text) {
			return nil, refuse("%s is no text in UTF-8", name)
		}
		files[name] = string(text)
	}
}

// below is a path in an archive, as it is written in one of its folders; inside is false where it leads out of it.
func below(folder, written string) (name string, inside bool) {
	name = strings.ReplaceAll(written, "\\", "/")
	if path.IsAbs(name) {
		return name, false
	}
	name = path.Join(folder, name)
	return name, name != ".." && !strings.HasPrefix(name, "../")
}

// follow gives the workflow files that are links the text of what they link to, which may be a link, too.
func follow(files, links map[string]string) error {
	for name := range links {
		to := links[name]
		for range maxLinks {
			next, again := links[to]
			if !again {
				break
			}
			to = next
		}
		text, there := files[to]
		if !there {
			return refuse("the archive has a link %q to %q, which is no workflow file in it; allowed: links to files ending with %s", name, to, dig.Extension)
		}
		files[name] = text
	}
	return nil
}
