package dig

import (
	"regexp"
	"strconv"
	"strings"
)

// part is a part of a template: text, or what stands in a ${...}.
type part struct {
	text   string
	script string // JavaScript; "" = text
	secret string // the key of a ${secret:KEY}
}

// secretName is what Digdag leaves to its operators.
var secretName = regexp.MustCompile(`^secret:([A-Za-z0-9_.-]+)$`)

// split takes a template apart as Digdag does: a ${ ends where its braces are balanced,
// outside of JavaScript's strings, and $$ is a dollar.
func split(template string) []part {
	var parts []part
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			parts = append(parts, part{text: strings.ReplaceAll(plain.String(), "$$", "$")})
			plain.Reset()
		}
	}
	for i := 0; i < len(template); {
		end := -1
		switch {
		case strings.HasPrefix(template[i:], "$$"):
			plain.WriteString("$$")
			i += 2
			continue
		case strings.HasPrefix(template[i:], "${"):
			end = closing(template, i+2)
		}
		if end < 0 {
			plain.WriteByte(template[i])
			i++
			continue
		}
		flush()
		inside := template[i+2 : end]
		if m := secretName.FindStringSubmatch(inside); m != nil {
			parts = append(parts, part{secret: m[1]})
		} else if strings.TrimSpace(inside) != "" {
			parts = append(parts, part{script: inside})
		}
		i = end + 1
	}
	flush()
	return parts
}

// closing finds the brace that ends what begins at i, -1 when there is none.
func closing(s string, i int) int {
	depth := 0
	var quoted byte
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case quoted != 0 && c == '\\':
			i++
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quoted = c
		case c == '{':
			depth++
		case c == '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// plainPath is JavaScript that only names a value: a.b, a[0], a["b"].
var (
	plainPath  = regexp.MustCompile(`^\s*([A-Za-z_$][\w$]*)((?:\.[A-Za-z_$][\w$]*|\[\d{1,9}\]|\["[^"\\]*"\]|\['[^'\\]*'\])*)\s*$`)
	pathStep   = regexp.MustCompile(`\.([A-Za-z_$][\w$]*)|\[(\d+)\]|\["([^"]*)"\]|\['([^']*)'\]`)
	words      = regexp.MustCompile(`[A-Za-z_$][\w$]*`)
	shellNames = regexp.MustCompile(`\$(?:\$\{)?([A-Za-z_]\w*)`) // what a shell puts in
	shells     = regexp.MustCompile(`[A-Za-z_]\w*`)              // in a command
)

// literals are words of JavaScript that name no variable.
var literals = map[string]bool{"true": true, "false": true, "null": true, "undefined": true, "NaN": true, "Infinity": true, "this": true}

// step is a step of a path: a key, or an index.
type step struct {
	key   string
	index int // where key is ""
}

func (s step) isIndex() bool { return s.key == "" }

// pathOf reads JavaScript that only names a value.
func pathOf(script string) (path []step, ok bool) {
	m := plainPath.FindStringSubmatch(script)
	if m == nil || literals[m[1]] {
		return nil, false
	}
	path = append(path, step{key: m[1]})
	for _, s := range pathStep.FindAllStringSubmatch(m[2], -1) {
		key := s[1] + s[3] + s[4]
		n := 0
		if key == "length" {
			return nil, false // of a list or text, which only JavaScript has
		}
		if key == "" {
			if s[2] == "" {
				return nil, false // an empty key
			}
			n, _ = strconv.Atoi(s[2]) // at most nine digits
		}
		path = append(path, step{key: key, index: n})
	}
	return path, true
}

// identifier is a key that may stand behind a dot in CEL.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var reserved = map[string]bool{
	"as": true, "break": true, "const": true, "continue": true, "else": true, "false": true, "for": true, "function": true, "if": true, "import": true,
	"in": true, "let": true, "loop": true, "namespace": true, "null": true, "package": true, "return": true, "true": true, "var": true, "void": true, "while": true,
}

// reach writes the steps of a path behind an expression of CEL.
func reach(expression string, path []step) string {
	for _, s := range path {
		switch {
		case s.isIndex():
			expression += "[" + strconv.Itoa(s.index) + "]"
		case identifier.MatchString(s.key) && !reserved[s.key]:
			expression += "." + s.key
		default:
			expression += "[" + literal(s.key) + "]"
		}
	}
	return expression
}

// literal writes text as CEL: as JSON does, which CEL reads.
func literal(s string) string {
	var b strings.Builder
	quote(&b, s)
	return b.String()
}

// escaped is text of which the native language reads nothing as an expression.
func escaped(s string) string { return strings.ReplaceAll(s, "${", "$${") }
