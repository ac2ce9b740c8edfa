package tasks

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Any allows every command (ExecAllow) or every address (HTTPAllow).
const Any = "*"

// Options are what the built-in types may do on this worker.
type Options struct {
	// ExecAllow names what exec may run: commands as they stand in the
	// definition (awk) or absolute paths; "*" = anything, nil = nothing.
	ExecAllow []string
	// ExecOutput is how many bytes of stdout, and of stderr, are kept.
	ExecOutput int
	// ExecGrace is how long a command may take to end after SIGTERM, and its
	// output to be closed after it ended, before all of its group is killed.
	ExecGrace time.Duration

	// HTTPAllow names addresses that http may call although they are not
	// public: hosts, IP addresses or CIDR blocks; "*" = any address.
	HTTPAllow []string
	// HTTPDeny names addresses that http must not call; it beats HTTPAllow.
	HTTPDeny []string
	// HTTPBody is how many bytes a response may have, decompressed.
	HTTPBody int64

	// TransformSteps is how many steps of the jq machine one transform may take.
	TransformSteps int

	// ScriptTime is how long one script may take; at most a minute.
	ScriptTime time.Duration
	// ScriptMemory is how many bytes the process may grow by while a script runs.
	ScriptMemory uint64
}

// DefaultOptions are safe on a server that others publish to: no commands,
// only public addresses.
func DefaultOptions() Options {
	return Options{
		ExecOutput: 64 << 10, ExecGrace: 5 * time.Second,
		HTTPBody:       256 << 10,
		TransformSteps: 20_000_000,
		ScriptTime:     10 * time.Second, ScriptMemory: 256 << 20,
	}
}

// DevOptions allow any command and any address: for one's own machine.
func DevOptions() Options {
	o := DefaultOptions()
	o.ExecAllow = []string{Any}
	o.HTTPAllow = []string{Any}
	return o
}

// Validate names every field that is wrong.
func (o Options) Validate() error {
	var errs []error
	for _, name := range o.ExecAllow {
		if name == "" || strings.ContainsAny(name, "/\\") && !filepath.IsAbs(name) {
			errs = append(errs, fmt.Errorf("ExecAllow: %q; allowed: a command name (awk), an absolute path (/usr/bin/awk) or *", name))
		}
	}
	for field, list := range map[string][]string{"HTTPAllow": o.HTTPAllow, "HTTPDeny": o.HTTPDeny} {
		if _, err := parseAddresses(list); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	if slices.Contains(o.HTTPDeny, Any) {
		errs = append(errs, errors.New("HTTPDeny: * would leave http nothing to call; leave the http type out instead"))
	}
	for field, n := range map[string]int64{
		"ExecOutput": int64(o.ExecOutput), "ExecGrace": int64(o.ExecGrace),
		"HTTPBody": o.HTTPBody, "TransformSteps": int64(o.TransformSteps), "ScriptTime": int64(o.ScriptTime),
	} {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s: %d; allowed: more than 0 (start from DefaultOptions)", field, n))
		}
	}
	if o.ScriptTime > maxScriptTime {
		errs = append(errs, fmt.Errorf("ScriptTime: %s; allowed: at most %s", o.ScriptTime, maxScriptTime))
	}
	if o.ScriptMemory == 0 {
		errs = append(errs, errors.New("ScriptMemory: 0; allowed: more than 0 (start from DefaultOptions)"))
	}
	return errors.Join(errs...)
}

// Builtin is the built-in types under the options. Options that Validate
// refuses make the types refuse more, never less.
func Builtin(o Options) []Type {
	return []Type{execType(o), failType(), httpType(o), logType(), noopType(), scriptType(o), transformType(o)}
}

// addresses is a parsed list of hosts and networks.
type addresses struct {
	any   bool
	hosts []string
	nets  []netip.Prefix
}

// parseAddresses reads hosts, IP addresses, CIDR blocks and "*". What it cannot
// read is left out and told.
func parseAddresses(list []string) (addresses, error) {
	var a addresses
	var errs []error
	for _, text := range list {
		if text == Any {
			a.any = true
		} else if prefix, err := netip.ParsePrefix(text); err == nil {
			a.nets = append(a.nets, prefix.Masked())
		} else if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			ip = ip.Unmap().WithZone("")
			a.nets = append(a.nets, netip.PrefixFrom(ip, ip.BitLen()))
		} else if text == "" || strings.ContainsAny(text, "/:@*? \t\r\n") {
			errs = append(errs, fmt.Errorf("%q; allowed: a host name, an IP address, a CIDR block or *", text))
		} else {
			a.hosts = append(a.hosts, hostKey(text))
		}
	}
	return a, errors.Join(errs...)
}

func hostKey(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func (a addresses) hasHost(host string) bool { return slices.Contains(a.hosts, hostKey(host)) }

func (a addresses) hasIP(ip netip.Addr) bool {
	return slices.ContainsFunc(a.nets, func(p netip.Prefix) bool { return p.Contains(ip) })
}
