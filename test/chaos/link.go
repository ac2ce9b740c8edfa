package chaos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Link is a TCP proxy that can be cut.
type Link struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	cut    bool
	silent bool
	open   chan struct{} // closed while bytes pass
	conns  map[net.Conn]struct{}
}

// NewLink listens on loopback and passes everything on to target.
func NewLink(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("chaos: a link to %s: %w", target, err)
	}
	open := make(chan struct{})
	close(open)
	l := &Link{listener: listener, target: target, conns: map[net.Conn]struct{}{}, open: open}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is where the link listens.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut breaks the link. A silent cut keeps connections open and passes nothing on;
// another one closes them and refuses new ones.
func (l *Link) Cut(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.silent = true, silent
	if silent {
		l.open = make(chan struct{})
		return
	}
	for c := range l.conns {
		_ = c.Close()
	}
}

// Mend makes the link work again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut && l.silent {
		close(l.open)
	}
	l.cut = false
}

// Close ends the link and waits for its goroutines.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.Mend()
	l.mu.Lock()
	for c := range l.conns {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		refused := l.cut && !l.silent
		l.mu.Unlock()
		if refused {
			_ = in.Close()
			continue
		}
		out, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		l.keep(in, out)
		l.wg.Go(func() { l.pass(in, out) })
		l.wg.Go(func() { l.pass(out, in) })
	}
}

func (l *Link) keep(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
}

func (l *Link) pass(from, to net.Conn) {
	defer func() {
		_, _ = from.Close(), to.Close()
		l.mu.Lock()
		delete(l.conns, from)
		l.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		open := l.open
		l.mu.Unlock()
		<-open
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil || err != nil {
			if err == nil || errors.Is(err, io.EOF) {
				return
			}
			return
		}
	}
}
