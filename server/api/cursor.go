package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// place is one list: its operation, owner and filter. A cursor is bound to
// its list, so that one taken elsewhere is refused and not misread.
type place uint32

func placeOf(parts ...any) place {
	return place(crc32.ChecksumIEEE([]byte(fmt.Sprintf("%q", parts))))
}

// page reads the paging parameters of a request.
func (l place) page(cursor *Cursor, limit *Limit) (engine.Page, error) {
	var p engine.Page
	if limit != nil {
		p.Limit = *limit
	}
	if cursor == nil {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || len(raw) < 5 || binary.BigEndian.Uint32(raw) != l.sum(raw[4:]) {
		return p, problem.Invalid(invalidRequest, "the cursor cannot be used", workflow.Problem{
			Field: "cursor", Code: "cursor", Message: "is no cursor of this list with these filters",
			Allowed: "the next_cursor of the page before, or nothing to begin",
		})
	}
	p.Cursor = string(raw[4:])
	return p, nil
}

// next is the cursor for the caller, nil at the end of the list.
func (l place) next(cursor string) *string {
	if cursor == "" {
		return nil
	}
	raw := binary.BigEndian.AppendUint32(nil, l.sum([]byte(cursor)))
	text := base64.RawURLEncoding.EncodeToString(append(raw, cursor...))
	return &text
}

func (l place) sum(cursor []byte) uint32 {
	return crc32.Update(uint32(l), crc32.IEEETable, cursor)
}
