package workflow

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// placeholder stands for what differs between two failures with the same cause.
const placeholder = "#"

// generalMessage is a message without what varies in it: quoted values, ids, numbers with their units, hex, addresses, URLs, paths,
// dates, times and durations each become a #, and several of them beside each other become one. It is its own general form.
func generalMessage(s string) string {
	s = strings.Join(strings.Fields(strings.ToLower(strings.ToValidUTF8(s, "?"))), " ")
	for range mostRounds {
		next := merged(replaced(s))
		if next == s {
			break
		}
		s = next // shorter, or with fewer digits
	}
	return s
}

const (
	mostRounds = 20   // two or three are enough for what programs write
	mostQuoted = 1000 // bytes of a quoted value
)

// quotes are what values stand in, opening and closing.
var quotes = map[rune]rune{'"': '"', '\'': '\'', '`': '`', '“': '”', '„': '“', '‘': '’', '«': '»'}

const delimiters = " \"`()<>{}[],;|„“”‘’«»"

// replaced writes s with a # for each quoted value and for what varies in each word.
func replaced(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	before := ' '
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if end := quoted(s[i:], r, before); end > 0 {
			b.WriteString(placeholder)
			i, before = i+end, '#'
			continue
		}
		if r == '\'' || strings.ContainsRune(delimiters, r) {
			b.WriteRune(r)
			i, before = i+size, r
			continue
		}
		end := i + size
		for end < len(s) {
			next, n := utf8.DecodeRuneInString(s[end:])
			if strings.ContainsRune(delimiters, next) || next == '\'' && !apostrophe(s, end) {
				break
			}
			end += n
		}
		b.WriteString(generalWord(s[i:end]))
		before, _ = utf8.DecodeLastRuneInString(s[i:end])
		i = end
	}
	return b.String()
}

// quoted is how long the quoted value is that s begins with, 0 when there is none.
func quoted(s string, open, before rune) int {
	shut, ok := quotes[open]
	if !ok || alphanumeric(before) {
		return 0
	}
	for i := utf8.RuneLen(open); i < min(len(s), mostQuoted); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == shut {
			if next, _ := utf8.DecodeRuneInString(s[i+n:]); shut != '\'' || i+n == len(s) || !alphanumeric(next) {
				return i + n
			}
		}
		i += n
	}
	return 0
}

// apostrophe reports whether a quote stands inside a word, as in can't.
func apostrophe(s string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at+1:])
	return unicode.IsLetter(before) && unicode.IsLetter(after)
}

func alphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// generalWord is a word without what varies in it.
func generalWord(word string) string {
	core := strings.TrimRight(word, ".:!?")
	tail := word[len(core):]
	if name, value, ok := strings.Cut(core, "="); ok && !strings.Contains(name, "://") {
		return name + "=" + generalWord(value) + tail
	}
	if address(core) || path(core) || isUUID(core) || colons(core) {
		return placeholder + tail
	}
	return generalSegments(core) + tail
}

// address reports whether a word is a URL, an e-mail address, or a host with a port.
func address(s string) bool {
	if strings.Contains(s, "://") {
		return true
	}
	if user, host, ok := strings.Cut(s, "@"); ok {
		return user != "" && strings.Contains(host, ".")
	}
	host, port, ok := strings.Cut(s, ":")
	return ok && port != "" && strings.Contains(host, ".") && only(port, digits) && only(host, digits+letters+".-_") &&
		!sources[host[strings.LastIndexByte(host, '.')+1:]]
}

// sources are the suffixes of files that errors name with a line: main.go:42 is no host with a port.
var sources = words("go java py js mjs jsx ts tsx rb php rs c cc cpp h hpp cs kt scala swift ex erl pl lua sh sql html yaml yml json toml xml proto tf vue")

// path reports whether a word is the name of a file: an absolute one, or a relative one with a digit or a suffix.
func path(s string) bool {
	switch {
	case len(s) > 1 && s[0] == '/', strings.HasPrefix(s, "./"), strings.HasPrefix(s, "../"), strings.HasPrefix(s, "~/"):
		return strings.Trim(s, "./~") != ""
	case strings.Contains(s, `\`):
		return len(s) > 2
	}
	return strings.Contains(s, "/") && len(s) > 4 && strings.ContainsAny(s, digits+".#")
}

const (
	digits    = "0123456789"
	hexDigits = "0123456789abcdef"
	letters   = "abcdefghijklmnopqrstuvwxyz"
)

// only reports whether s has nothing but these characters.
func only(s, these string) bool { return strings.Trim(s, these) == "" }

// isUUID reports whether s is one, with hyphens.
func isUUID(s string) bool {
	parts := strings.Split(s, "-")
	if len(s) != 36 || len(parts) != 5 || !only(s, hexDigits+"-") {
		return false
	}
	return len(parts[0]) == 8 && len(parts[1]) == 4 && len(parts[2]) == 4 && len(parts[3]) == 4
}

// colons reports whether s is an IPv6 address or one of hardware.
func colons(s string) bool {
	s, _, _ = strings.Cut(s, "%") // a zone may follow
	return strings.Count(s, ":") >= 2 && len(s) > 2 && only(s, hexDigits+":.") && strings.ContainsAny(s, hexDigits)
}

// generalSegments handles the parts of a word between its punctuation on their own.
func generalSegments(s string) string {
	if !strings.ContainsAny(s, digits) && len(s) < 8 {
		return s
	}
	var b strings.Builder
	start := 0
	flush := func(end int) {
		if start < end {
			b.WriteString(generalSegment(s[start:end]))
		}
	}
	for i, r := range s {
		if alphanumeric(r) {
			continue
		}
		flush(i)
		// A sign belongs to its number.
		if (r != '-' && r != '+') || i > 0 || len(s) < 2 || !strings.ContainsRune(digits, rune(s[1])) {
			b.WriteRune(r)
		}
		start = i + utf8.RuneLen(r)
	}
	flush(len(s))
	return b.String()
}

// generalSegment is a run of letters and digits without what varies: node12 is node#, 12ms and 8f3a2b are #.
func generalSegment(s string) string {
	at := strings.IndexAny(s, digits)
	switch {
	case only(s, hexDigits) && len(s) >= 8:
		return placeholder
	case at < 0:
		return s
	case at > 0 && numbered.MatchString(s):
		return s
	case at > 0 && only(s[at:], digits):
		return s[:at] + placeholder
	}
	return placeholder
}

// numbered are words that a digit belongs to.
var numbered = regexp.MustCompile(`^(?:x509|s3|ec2|k8s|md5|sha(?:1|224|256|384|512)|utf(?:8|16|32)|u?int(?:8|16|32|64)|float(?:32|64)|base(?:32|64)|http[23]|oauth2|ipv[46]|python[23]|mp[34])[a-z]*$`)

// units stand behind a number, calendar words beside one.
var units, calendar = words("ns us µs ms s nanoseconds microseconds millisecond milliseconds millis sec secs second seconds m min mins minute minutes h hr hrs hour hours d day days week weeks " +
	"b byte bytes kb mb gb tb kib mib gib tib % am pm utc gmt z"),
	words("jan feb mar apr may jun jul aug sep oct nov dec january february march april june july august september october november december " +
		"mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday cet cest est edt mst mdt cst cdt pst pdt bst jst")

func words(list string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		set[w] = true
	}
	return set
}

// merged makes one # of those beside each other, with the units and the words of dates that belong to them.
func merged(s string) string {
	if !strings.Contains(s, placeholder) {
		return s
	}
	list := strings.Split(s, " ")
	for i := len(list) - 2; i >= 0; i-- { // the words of a date before a number
		if word := strings.Trim(list[i], ".,:;()"); calendar[word] && strings.HasPrefix(strings.TrimLeft(list[i+1], "("), placeholder) {
			list[i] = strings.Replace(list[i], word, placeholder, 1)
		}
	}
	var kept []string
	for i, w := range list {
		bare := strings.TrimRight(w, ".,:;)")
		number := i > 0 && strings.HasSuffix(list[i-1], placeholder)
		switch {
		case number && units[bare]:
			kept[len(kept)-1] += w[len(bare):]
			list[i] = placeholder // what follows stands behind the number
		case number && calendar[strings.Trim(w, ".,:;()")]:
			kept = append(kept, strings.Replace(w, strings.Trim(w, ".,:;()"), placeholder, 1))
			list[i] = placeholder
		default:
			kept = append(kept, w)
		}
	}
	s = strings.Join(kept, " ")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "[#]", placeholder), "#%", placeholder)
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		b.WriteByte(s[i])
		if s[i] != '#' {
			continue
		}
		for next := i + 1; next < len(s); { // up to the last # that only punctuation parts from this one
			end := next + len(s[next:]) - len(strings.TrimLeft(s[next:], " .,:/+-"))
			if gap := s[next:end]; end == len(s) || s[end] != '#' || strings.Contains(gap, ":") && strings.Contains(gap, " ") {
				break
			}
			i, next = end, end+1
		}
	}
	return b.String()
}
