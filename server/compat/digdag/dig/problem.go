package dig

import (
	"fmt"
	"strings"
)

// Problem is something in a file that cannot be run here.
type Problem struct {
	File     string
	Line     int
	Task     string // full name, as +daily+load; "" = the workflow
	Operator string // as py>; "" = none
	Message  string
	Allowed  string
}

func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	if p.Task != "" {
		b.WriteString("task " + p.Task + ": ")
	}
	if p.Operator != "" {
		b.WriteString("operator " + p.Operator + ": ")
	}
	b.WriteString(p.Message)
	if p.Allowed != "" {
		b.WriteString(" (allowed: " + p.Allowed + ")")
	}
	return b.String()
}

// Problems are all that is wrong with the files.
type Problems []Problem

func (p Problems) Error() string {
	const most = 20
	lines := make([]string, 0, len(p))
	for i, one := range p {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(p)-most))
			break
		}
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "; ")
}
