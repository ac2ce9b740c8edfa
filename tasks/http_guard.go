package tasks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// notPublic are the networks that a server must not be talked into calling.
var notPublic = []struct {
	name string
	nets []netip.Prefix
}{
	{"loopback", prefixes("127.0.0.0/8", "::1/128")},
	{"private", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")},
	{"link-local, where clouds keep their metadata", prefixes("169.254.0.0/16", "fe80::/10")},
	{"a cloud's own service", prefixes("168.63.129.16/32")},
	{"shared (carrier-grade NAT)", prefixes("100.64.0.0/10")},
	{"unspecified", prefixes("0.0.0.0/8", "::/128")},
	{"multicast", prefixes("224.0.0.0/4", "ff00::/8")},
	{"reserved", prefixes("192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16")},
	{"an IPv4 address in disguise (mapped, NAT64, 6to4, Teredo)", prefixes("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96",
		"64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "192.88.99.0/24", "2001::/23")},
}

func prefixes(list ...string) []netip.Prefix {
	nets := make([]netip.Prefix, len(list))
	for i, text := range list {
		nets[i] = netip.MustParsePrefix(text)
	}
	return nets
}

// guard decides which addresses may be connected to. It looks at the address
// that the name resolved to, when the socket is about to connect, so that a
// name that changes its answer gains nothing.
type guard struct {
	allow, deny addresses
	resolver    *net.Resolver
}

// deniedError says that an address was refused before a packet was sent.
type deniedError struct{ host, ip, why, hint string }

func (e *deniedError) Error() string {
	where := e.host
	if e.ip != "" && e.ip != e.host {
		where = fmt.Sprintf("%s (%s)", e.host, e.ip)
	}
	return fmt.Sprintf("%s is not allowed: it is %s; %s", where, e.why, e.hint)
}

const (
	listed  = "on the worker's list of denied addresses"
	takeOff = "if tasks may call it, take it off that list (Options.HTTPDeny)"
)

// dial connects to addr (host:port) if the guard allows it.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("reading the address: %w", err)
	}
	if g.deny.hasHost(host) {
		return nil, &deniedError{host: host, why: listed, hint: takeOff}
	}
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Resolver: g.resolver}
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &deniedError{host: host, ip: address, why: "no IP address", hint: "use http or https over TCP"}
		}
		ip := ap.Addr().Unmap().WithZone("")
		if g.deny.hasIP(ip) {
			return &deniedError{host: host, ip: ip.String(), why: listed, hint: takeOff}
		}
		if g.allow.any || g.allow.hasHost(host) || g.allow.hasIP(ip) {
			return nil
		}
		if why := special(ip); why != "" {
			return &deniedError{host: host, ip: ip.String(), why: why,
				hint: fmt.Sprintf("if tasks may call it, start the worker with --allow-address %s", host)}
		}
		return nil
	}
	return dialer.DialContext(ctx, network, addr)
}

// special says what kind of address ip is when it is no public one.
func special(ip netip.Addr) string {
	for _, kind := range notPublic {
		for _, n := range kind.nets {
			if n.Contains(ip) {
				return kind.name
			}
		}
	}
	if ip.Is6() && !prefixes("2000::/3")[0].Contains(ip) {
		return "reserved"
	}
	return ""
}

func isDenied(err error) (*deniedError, bool) {
	var denied *deniedError
	ok := errors.As(err, &denied)
	return denied, ok
}
