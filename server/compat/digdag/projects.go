package digdag

import (
	"cmp"
	"crypto/md5" //nolint:gosec // what clients compare downloads with
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// wire is a project as Digdag has it: with its newest revision. One to which nothing was pushed has none.
func (v *view) wire(p *engine.Project) (project, error) {
	made := project{Name: p.Name, Revision: "none", CreatedAt: instant(p.CreatedAt), UpdatedAt: instant(p.CreatedAt), ArchiveType: "none"}
	var err error
	if made.ID, err = v.projectID(p.Name); err != nil {
		return made, err
	}
	heads, _, err := v.engine.Bundles(v.ctx, p.Name, engine.Page{Limit: 1}) // without their archives
	if err != nil && !compat.IsMissing(err) {
		return made, err
	}
	if len(heads) == 0 {
		if p.CreatedAt.IsZero() { // the project that is always there
			made.CreatedAt, made.UpdatedAt = instant(time.Unix(0, 0)), instant(time.Unix(0, 0))
		}
		return made, nil
	}
	newest := &heads[0]
	made.Revision, made.UpdatedAt, made.ArchiveType, made.ArchiveMD5 = newest.Name, instant(newest.CreatedAt), "db", &newest.Digest
	if p.CreatedAt.IsZero() {
		made.CreatedAt = made.UpdatedAt
	}
	return made, nil
}

func digest(archive []byte) string {
	sum := md5.Sum(archive) //nolint:gosec // what clients compare downloads with
	return base64.StdEncoding.EncodeToString(sum[:])
}

// listProjects lists projects by id.
func (h *handlers) listProjects(c *gin.Context) error {
	v := h.view(c)
	last, err := lastID(c)
	if err != nil {
		return err
	}
	count, err := sizeOf(c, "count", whole, whole)
	if err != nil {
		return err
	}
	all, err := v.projects()
	if err != nil {
		return err
	}
	name, given := c.GetQuery("name")
	all = slices.DeleteFunc(all, func(p engine.Project) bool {
		return given && p.Name != name || !strings.Contains(p.Name, c.Query("name_pattern"))
	})
	ids := make(map[string]int64, len(all))
	for i := range all {
		id, err := v.projectID(all[i].Name)
		if err != nil {
			return err
		}
		ids[all[i].Name] = numberOf(id)
	}
	all = slices.DeleteFunc(all, func(p engine.Project) bool { return ids[p.Name] <= last })
	slices.SortFunc(all, func(a, b engine.Project) int { return cmp.Compare(ids[a.Name], ids[b.Name]) })
	made := projects{[]project{}}
	for i := range all[:min(len(all), count)] {
		p, err := v.wire(&all[i])
		if err != nil {
			return err
		}
		made.Projects = append(made.Projects, p)
	}
	return answer(c, made)
}

func (h *handlers) getProject(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	made, err := v.wire(p)
	if err != nil {
		return err
	}
	return answer(c, made)
}

func (h *handlers) revisions(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	all, _, err := h.engine.Bundles(v.ctx, p.Name, engine.Page{Limit: whole})
	if err != nil {
		return err
	}
	made := revisions{[]revision{}}
	for i := range all {
		if name := c.Query("name"); name != "" && all[i].Name != name {
			continue
		}
		made.Revisions = append(made.Revisions, revision{
			Revision: all[i].Name, CreatedAt: instant(all[i].CreatedAt), ArchiveType: "db", ArchiveMD5: &all[i].Digest, UserInfo: map[string]any{},
		})
	}
	return answer(c, made)
}

// bundle is a revision of a project, "" = the newest.
func (v *view) bundle(project, revision string) (*engine.Bundle, error) {
	b, err := v.engine.Bundle(v.ctx, project, revision)
	if compat.IsMissing(err) {
		err = missing("revision %s of project name=%s", strconv.Quote(revision), project)
	}
	return b, err
}

// archive gives back what was pushed.
func (h *handlers) archive(c *gin.Context) error {
	v := h.view(c)
	p, err := v.project(c.Param("id"))
	if err != nil {
		return err
	}
	b, err := v.bundle(p.Name, c.Query("revision"))
	if err != nil {
		return err
	}
	if len(b.Content) == 0 {
		return missing("archive of revision %q: only those of the newest %d revisions are kept", b.Name, engine.BundleContents)
	}
	c.Data(http.StatusOK, "application/gzip", b.Content)
	return nil
}
