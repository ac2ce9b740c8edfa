package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// The output formats.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatJSONL = "jsonl"
	formatYAML  = "yaml"
	formatName  = "name"
)

var formats = []string{formatTable, formatWide, formatJSON, formatJSONL, formatYAML, formatName}

// printer writes results in the format that was asked for.
type printer struct {
	out    io.Writer
	format string
	style  style
	now    time.Time
}

// column is one column of a table. Wide ones are shown by -o wide only.
type column[T any] struct {
	title string
	wide  bool
	value func(T) string
}

func checkFormat(format string, allowed ...string) error {
	if slices.Contains(allowed, format) {
		return nil
	}
	return usagef("-o %s: this command writes %s", format, strings.Join(allowed, ", "))
}

// printList writes a list: as a table, as the API's list, or an item a line.
func printList[T any](p *printer, items []T, columns []column[T], name func(T) string) error {
	switch p.format {
	case formatJSON:
		return p.json(struct {
			Items []T `json:"items"`
		}{emptyNotNull(items)})
	case formatYAML:
		return p.yaml(emptyNotNull(items))
	case formatJSONL:
		for _, item := range items {
			if err := p.jsonLine(item); err != nil {
				return err
			}
		}
		return nil
	case formatName:
		for _, item := range items {
			fmt.Fprintln(p.out, name(item))
		}
		return nil
	}
	p.table(rows(p, items, columns))
	return nil
}

// printOne writes one thing. In a table it is a list of names and values.
func printOne[T any](p *printer, item T, columns []column[T], name func(T) string) error {
	switch p.format {
	case formatJSON:
		return p.json(item)
	case formatJSONL:
		return p.jsonLine(item)
	case formatYAML:
		return p.yaml(item)
	case formatName:
		fmt.Fprintln(p.out, name(item))
		return nil
	}
	widest := 0
	for _, c := range columns {
		widest = max(widest, len(c.title))
	}
	for _, c := range columns {
		value := c.value(item)
		if value == "" || (c.wide && p.format != formatWide) {
			continue
		}
		value = strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", widest+2))
		fmt.Fprintf(p.out, "%s  %s\n", p.style.dim(fmt.Sprintf("%-*s", widest, c.title)), value)
	}
	return nil
}

func emptyNotNull[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func rows[T any](p *printer, items []T, columns []column[T]) (header table.Row, body []table.Row) {
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool {
		return c.wide && p.format != formatWide
	})
	for _, c := range shown {
		header = append(header, strings.ToUpper(c.title))
	}
	for _, item := range items {
		row := table.Row{}
		for _, c := range shown {
			row = append(row, oneLine(c.value(item)))
		}
		body = append(body, row)
	}
	return header, body
}

func (p *printer) table(header table.Row, body []table.Row) {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "   "
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	w.AppendHeader(header)
	w.AppendRows(body)
	w.SuppressTrailingSpaces()
	fmt.Fprintln(p.out, w.Render())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// json writes indented JSON. Text of users stays as it is: no \u003c.
func (p *printer) json(v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err = b.WriteTo(p.out)
	return err
}

func (p *printer) jsonLine(v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	_, err = p.out.Write(append(raw, '\n'))
	return err
}

func (p *printer) yaml(v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	out, err := yaml.JSONToYAML(raw)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	_, err = p.out.Write(out)
	return err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return legible(bytes.TrimSpace(b.Bytes())), nil
}

// legible writes <, > and & in JSON as themselves, where the server wrote them for browsers.
func legible(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			continue
		}
		switch code := string(raw[i:min(i+6, len(raw))]); code {
		case `\u003c`, `\u003e`, `\u0026`:
			out = append(out, map[string]byte{`\u003c`: '<', `\u003e`: '>', `\u0026`: '&'}[code])
			i += 5
		default:
			out = append(out, raw[i], raw[i+1])
			i++
		}
	}
	return out
}

// compact shows a JSON value in a table: on one line, null as nothing.
func compact(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return string(raw)
	}
	return string(legible(b.Bytes()))
}

func indented(raw json.RawMessage) string {
	if compact(raw) == "" {
		return ""
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(raw)
	}
	return string(legible(b.Bytes()))
}

func clip(s string, most int) string {
	letters := []rune(oneLine(s))
	if len(letters) <= most {
		return string(letters)
	}
	return string(letters[:most-1]) + "…"
}

// partial joins what went wrong for several of a list.
func partial(total int, errs []error) error {
	failed := errors.Join(errs...)
	if failed == nil {
		return nil
	}
	if len(errs) == total {
		if total == 1 {
			return errs[0]
		}
		first, _ := explain(errs[0])
		return &failure{code: first, err: fmt.Errorf("none of %d succeeded", total)}
	}
	return &failure{code: exitPartial, err: fmt.Errorf("%d of %d failed", len(errs), total)}
}
