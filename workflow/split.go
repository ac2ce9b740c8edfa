package workflow

import (
	"fmt"
	"strings"
)

// part is a piece of a string: text as it is, or the source of an expression.
type part struct {
	text       string
	expression bool
}

// splitTemplate cuts a string into text and ${...}. $${ stands for a literal ${.
// Where an expression ends is found as CEL reads it, so braces of maps, strings
// and comments inside it do not end it.
func splitTemplate(s string) ([]part, error) {
	if !strings.Contains(s, "${") {
		return []part{{text: s}}, nil
	}
	var parts []part
	var text strings.Builder
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			text.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := closingBrace(s, i+2)
			if end < 0 {
				return nil, fmt.Errorf("the expression that begins with %q has no closing brace", clip(s[i:]))
			}
			if text.Len() > 0 {
				parts = append(parts, part{text: text.String()})
				text.Reset()
			}
			parts = append(parts, part{text: s[i+2 : end], expression: true})
			i = end + 1
		default:
			text.WriteByte(s[i])
			i++
		}
	}
	if text.Len() > 0 || len(parts) == 0 {
		parts = append(parts, part{text: text.String()})
	}
	return parts, nil
}

// closingBrace answers where the expression that begins at i ends, or -1.
func closingBrace(s string, i int) int {
	for open := 1; i < len(s); {
		switch c := s[i]; {
		case c == '{':
			open++
			i++
		case c == '}':
			if open--; open == 0 {
				return i
			}
			i++
		case c == '"' || c == '\'':
			i = skipString(s, i, false)
		case c == '/' && strings.HasPrefix(s[i:], "//"):
			for i < len(s) && s[i] != '\n' {
				i++
			}
		case letter(c):
			start := i
			for i < len(s) && (letter(s[i]) || s[i] >= '0' && s[i] <= '9') {
				i++
			}
			if i < len(s) && (s[i] == '"' || s[i] == '\'') && strings.ContainsAny(s[start:i], "rR") && len(s[start:i]) <= 2 {
				i = skipString(s, i, true) // r"..." and br"...": a backslash is itself
			}
		default:
			i++
		}
	}
	return -1
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// skipString answers where the string whose quote is at i ends. An unclosed
// one ends with its line, as in CEL; the parser then says what is wrong.
func skipString(s string, i int, raw bool) int {
	quote := s[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s[i:], triple) {
		quote = triple
	}
	for i += len(quote); i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		case s[i] == '\\' && !raw:
			i++
		case s[i] == '\n' && len(quote) == 1:
			return i
		}
	}
	return len(s)
}
