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
)

// unarchive reads the workflow files of a tar.gz. Nothing in it is written anywhere.
func unarchive(archive []byte) (map[string]string, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, refuse("the archive is no gzip: %v; allowed: a tar.gz, as digdag push makes it", err)
	}
	files := map[string]string{}
	reader := tar.NewReader(io.LimitReader(zipped, maxArchiveBytes+1))
	size := int64(0)
	for n := 0; ; n++ {
		head, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, refuse("the archive cannot be read: %v; allowed: a tar.gz of at most %d bytes unpacked", err, maxArchiveBytes)
		}
		if size += head.Size; n >= maxArchiveFiles || size > maxArchiveBytes {
			return nil, refuse("the archive is too large; allowed: at most %d files, %d bytes unpacked", maxArchiveFiles, maxArchiveBytes)
		}
		name := path.Clean(strings.ReplaceAll(head.Name, "\\", "/"))
		if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
			return nil, refuse("the archive has a file %q outside of it; allowed: paths below its top", head.Name)
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
