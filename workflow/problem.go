package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The codes of problems and of the errors this package makes. They are stable.
const (
	CodeSyntax          = "syntax"             // neither JSON nor YAML
	CodeEncoding        = "encoding"           // not UTF-8, or a NUL in it
	CodeTooLarge        = "too_large"          // more bytes, values or expressions than the limit
	CodeTooDeep         = "too_deep"           // nested deeper than the limit
	CodeDocuments       = "multiple_documents" // more than one YAML document
	CodeBadYAML         = "yaml_feature"       // a YAML feature that definitions may not use
	CodeBadNumber       = "bad_number"         // a number that JSON cannot carry
	CodeDuplicateKey    = "duplicate_key"
	CodeUnknownField    = "unknown_field"
	CodeRequired        = "required"
	CodeWrongType       = "wrong_type"
	CodeBadName         = "bad_name"
	CodeBadDuration     = "bad_duration"
	CodeOutOfRange      = "out_of_range"
	CodeNotAllowed      = "not_allowed" // not one of the values that are allowed
	CodeDuplicateTask   = "duplicate_task"
	CodeUnknownNeed     = "unknown_need"
	CodeDuplicateNeed   = "duplicate_need"
	CodeCycle           = "cycle"
	CodeBadSchema       = "bad_schema"
	CodeBadExpression   = "bad_expression"    // does not parse, or calls what does not exist
	CodeUnreadable      = "unreadable"        // an expression names what it cannot read
	CodeReserved        = "reserved_name"     // item, key, index, iteration
	CodeBadWith         = "bad_with"          // does not fit what the task type accepts
	CodeTooManyProblems = "too_many_problems" // the rest is not listed
	CodeUnknownType     = "unknown_type"      // a warning: nobody announced this type yet

	CodeExpressionFailed = "expression_failed"
	CodeInputInvalid     = "input_invalid"
	CodeInputTooLarge    = "input_too_large"
	CodeOutputInvalid    = "output_invalid"
	CodeOutputTooLarge   = "output_too_large"
	CodeOutputFailed     = "output_failed"
	CodeNotAList         = "not_a_list"      // the items of a for_each
	CodeTooManyItems     = "too_many_items"  // of a for_each
	CodeTooManyTasks     = "too_many_tasks"  // of an execution
	CodeRefTooLong       = "ref_too_long"    // of a task in a body
	CodeBadKey           = "bad_key"         // of an item
	CodeItemsFailed      = "items_failed"    // of a for_each
	CodeLoopExhausted    = "loop_exhausted"  // until was never true
	CodeInnerCanceled    = "canceled_inside" // a task inside was canceled
	CodeTaskFailed       = "task_failed"
	CodeUnreached        = "unreached"
)

const maxProblems = 1000

// report collects problems.
type report struct{ problems Problems }

func (r *report) add(at place, code, allowed, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		Line: at.pos.line, Column: at.pos.column, Field: at.path,
		Code: code, Message: fmt.Sprintf(format, args...), Allowed: allowed,
	})
}

// sorted answers the problems in the order of the source, at most maxProblems of them.
func (r *report) sorted() Problems {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(r.problems) > maxProblems {
		rest := len(r.problems) - maxProblems
		return append(r.problems[:maxProblems:maxProblems], Problem{
			Code: CodeTooManyProblems, Message: fmt.Sprintf("%d more problems are not listed", rest),
		})
	}
	return r.problems
}

// list writes the choices of an Allowed, cut where there are very many.
func list(choices []string) string {
	const most = 40
	if len(choices) == 0 {
		return "none"
	}
	if len(choices) > most {
		return strings.Join(choices[:most], ", ") + fmt.Sprintf(" and %d more", len(choices)-most)
	}
	return strings.Join(choices, ", ")
}

// Suggest answers `; did you mean "x"?` for the nearest of the choices, or nothing.
func Suggest(name string, choices []string) string {
	best, at := "", 1+min(3, max(1, len(name)/2))
	for _, c := range choices {
		if d := distance(strings.ToLower(name), strings.ToLower(c), at); d < at && d < len(name) {
			best, at = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of single edits between a and b; what exceeds most is only known to be at least that.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
