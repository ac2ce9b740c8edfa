package tasks

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

//go:embed js/zone.js
var zoneScript string

//go:embed js/moment.min.js
var momentScript string

// libraries are what a script may ask for beside the language. Each is compiled when it is first asked for.
var libraries = map[string]func() (*goja.Program, error){
	"moment": sync.OnceValues(func() (*goja.Program, error) { return compileLibrary("moment", momentScript) }),
}

var zoneLibrary = sync.OnceValues(func() (*goja.Program, error) { return compileLibrary("zone", zoneScript) })

func compileLibrary(name, text string) (*goja.Program, error) {
	tree, err := goja.Parse(name, text, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, fmt.Errorf("tasks: parsing %s: %w", name, err)
	}
	return goja.CompileAST(tree, false)
}

// equip gives a machine the time zone and the libraries that a script asks for.
func equip(vm *goja.Runtime, zone *time.Location, names []string) error {
	if zone != nil {
		if err := setZone(vm, zone); err != nil {
			return err
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		library, err := libraries[name]()
		if err != nil {
			return err
		}
		if _, err := vm.RunProgram(library); err != nil {
			return err
		}
	}
	return nil
}

// scriptZone is the time zone that a script asks for; nil = that of the process.
func scriptZone(name string) (*time.Location, error) {
	if name == "" {
		return nil, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, Fatal(CodeInputInvalid, "with.time_zone: %q is no time zone; allowed: a name of the IANA database, as UTC or Europe/Berlin", name)
	}
	return zone, nil
}

// setZone makes Date speak of a time zone: the machine knows that of the process only.
func setZone(vm *goja.Runtime, zone *time.Location) error {
	program, err := zoneLibrary()
	if err != nil {
		return err
	}
	made, err := vm.RunProgram(program)
	if err != nil {
		return err
	}
	install, _ := goja.AssertFunction(made)
	_, err = install(goja.Undefined(), vm.ToValue(func(call goja.FunctionCall) goja.Value {
		return vm.ToValue(east(zone, call.Argument(0).ToInteger()).Minutes())
	}), vm.ToValue(func(call goja.FunctionCall) goja.Value {
		if math.IsNaN(call.Argument(0).ToFloat()) {
			return goja.NaN()
		}
		return vm.ToValue(momentShown(zone, call.Argument(0).ToInteger()))
	}), vm.ToValue(func(call goja.FunctionCall) goja.Value {
		return vm.ToValue(time.UnixMilli(call.Argument(0).ToInteger()).In(zone).Format(dateLayouts[call.Argument(1).String()]))
	}))
	return err
}

// dateLayouts are how Date writes a moment, as the machine does.
var dateLayouts = map[string]string{
	"toString": "Mon Jan 02 2006 15:04:05 GMT-0700 (MST)", "toDateString": "Mon Jan 02 2006", "toTimeString": "15:04:05 GMT-0700 (MST)",
	"toLocaleString": "01/02/2006, 15:04:05", "toLocaleDateString": "01/02/2006", "toLocaleTimeString": "15:04:05",
}

// east is how far the clocks of a zone are ahead of UTC's.
func east(zone *time.Location, ms int64) time.Duration {
	_, seconds := time.UnixMilli(ms).In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

// momentShown is the moment at which the clocks of a zone show what UTC's show at ms. Of two the first counts, and
// a time that is left out is as far behind the gap as it stands in it: what JavaScript does.
func momentShown(zone *time.Location, ms int64) int64 {
	const day = int64(24 * time.Hour / time.Millisecond)
	before, after := east(zone, ms-day), east(zone, ms+day)
	first, second := ms-before.Milliseconds(), ms-after.Milliseconds()
	if east(zone, first) != before && east(zone, second) == after {
		return second
	}
	return first
}
