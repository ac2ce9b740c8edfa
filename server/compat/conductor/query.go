package conductor

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
)

// condition is one condition of a query: a field, how it is compared, and with what.
type condition struct {
	field, operator string
	values          []string
	numbers         []int64 // the values, where the field has numbers
}

// order is a field that things are sorted by.
type order struct {
	field    string
	descends bool
}

// query is what a search asks for.
type query struct {
	start, size int
	free        string // what is to be in it somewhere
	conditions  []condition
	orders      []order
	top         bool // nothing that is in another one
}

// reads reports whether a condition or an order looks at a field.
func (q query) reads(field string) bool {
	return slices.ContainsFunc(q.conditions, func(c condition) bool { return c.field == field }) ||
		slices.ContainsFunc(q.orders, func(o order) bool { return o.field == field })
}

// columns are what things are searched and sorted by: texts, and numbers, which are times in ms or versions.
type columns[T any] struct {
	texts   map[string]func(T) string
	numbers map[string]func(T) int64
}

var (
	conditionText = regexp.MustCompile(`(?i)^\s*(\w+)\s*(!=|=|>|<|\bIN\b)\s*(.*?)\s*$`)
	conjunction   = regexp.MustCompile(`(?i)\s+AND\s+`)
)

// maxFound is how much a search answers at once.
const maxFound = 5000

// asked reads a search of what there are several of.
func (k columns[T]) asked(c *gin.Context, several string) (q query, err error) {
	if q.start, err = count(c, "start", 0); err != nil {
		return q, err
	}
	if q.size, err = count(c, "size", 100); err != nil {
		return q, err
	}
	if q.size > maxFound {
		return q, refuse(http.StatusBadRequest, "Cannot return more than %d %s. Please use pagination.", maxFound, several)
	}
	if q.conditions, err = k.conditions(c.Query("query")); err != nil {
		return q, err
	}
	q.orders, err = k.orders(c.Query("sort"))
	q.free = strings.Trim(c.DefaultQuery("freeText", "*"), "* ")
	return q, err
}

// conditions reads "status IN (FAILED,TIMED_OUT) AND workflowType=order*".
func (k columns[T]) conditions(text string) ([]condition, error) {
	var all []condition
	if strings.TrimSpace(text) == "" || strings.TrimSpace(text) == "*" {
		return nil, nil
	}
	for _, part := range conjunction.Split(text, -1) {
		m := conditionText.FindStringSubmatch(part)
		if m == nil {
			return nil, refuse(http.StatusBadRequest, "query: %q is no condition: write such as status IN (FAILED,TIMED_OUT) AND workflowType=order", part)
		}
		c := condition{field: m[1], operator: strings.ToUpper(m[2])}
		if err := k.has("query", c.field); err != nil {
			return nil, err
		}
		_, number := k.numbers[c.field]
		if !number && (c.operator == ">" || c.operator == "<") {
			return nil, refuse(http.StatusBadRequest, "query: %s cannot be compared with %s: it can with =, != and IN, and * is any text in a value", c.field, c.operator)
		}
		for v := range strings.SplitSeq(strings.Trim(m[3], "() "), ",") {
			v = strings.Trim(strings.TrimSpace(v), `"'`)
			c.values = append(c.values, v)
			if !number {
				continue
			}
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, refuse(http.StatusBadRequest, "query: %s is compared with a whole number, a time with its milliseconds since 1970, and not with %q", c.field, v)
			}
			c.numbers = append(c.numbers, n)
		}
		all = append(all, c)
	}
	return all, nil
}

// orders reads "startTime:DESC|workflowId"; without a direction it ascends.
func (k columns[T]) orders(text string) ([]order, error) {
	var all []order
	for part := range strings.SplitSeq(text, "|") {
		field, direction, _ := strings.Cut(strings.TrimSpace(part), ":")
		if field == "" {
			continue
		}
		if err := k.has("sort", field); err != nil {
			return nil, err
		}
		descends := strings.EqualFold(direction, "DESC")
		if !descends && direction != "" && !strings.EqualFold(direction, "ASC") {
			return nil, refuse(http.StatusBadRequest, "sort: %q is no direction: ASC and DESC are", direction)
		}
		all = append(all, order{field, descends})
	}
	return all, nil
}

// has refuses a field that there is not.
func (k columns[T]) has(parameter, field string) error {
	if k.texts[field] != nil || k.numbers[field] != nil {
		return nil
	}
	names := append(sorted(k.texts), sorted(k.numbers)...)
	return refuse(http.StatusBadRequest, "%s: %q is no field here: %s are", parameter, field, strings.Join(names, ", "))
}

// meet reports whether something meets all conditions.
func (k columns[T]) meet(all []condition, v T) bool {
	return !slices.ContainsFunc(all, func(c condition) bool { return !k.meets(c, v) })
}

func (k columns[T]) meets(c condition, v T) bool {
	if number := k.numbers[c.field]; number != nil {
		return c.compares(number(v))
	}
	return c.holds(k.texts[c.field](v))
}

// holds reports whether a text is one of the values, or is none of them for !=.
func (c condition) holds(has string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool { return like(v, has) }) != (c.operator == "!=")
}

// compares does so with a number; a time that has not come is 0, and before none.
func (c condition) compares(has int64) bool {
	switch c.operator {
	case ">":
		return has > c.numbers[0]
	case "<":
		return has < c.numbers[0] && has > 0
	}
	return slices.Contains(c.numbers, has) != (c.operator == "!=")
}

// page sorts what was found, and answers how much it is and the page that is asked for.
func (k columns[T]) page(q query, found []T) (total int, page []T) {
	slices.SortStableFunc(found, func(a, b T) int {
		for _, o := range q.orders {
			if by := k.compare(o, a, b); by != 0 {
				return by
			}
		}
		return 0
	})
	page = found[min(max(q.start, 0), len(found)):]
	return len(found), page[:min(max(q.size, 0), len(page))]
}

func (k columns[T]) compare(o order, a, b T) int {
	if o.descends {
		a, b = b, a
	}
	if number := k.numbers[o.field]; number != nil {
		return cmp.Compare(number(a), number(b))
	}
	return cmp.Compare(k.texts[o.field](a), k.texts[o.field](b))
}

// like compares with a pattern in which * is any text.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
