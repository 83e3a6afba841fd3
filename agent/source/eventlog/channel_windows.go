package eventlog

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The functions of the Windows Event Log (wevtapi.dll), and what they are called with.
var (
	wevtapi = windows.NewLazySystemDLL("wevtapi.dll")

	procSubscribe      = wevtapi.NewProc("EvtSubscribe")
	procNext           = wevtapi.NewProc("EvtNext")
	procRender         = wevtapi.NewProc("EvtRender")
	procClose          = wevtapi.NewProc("EvtClose")
	procCreateBookmark = wevtapi.NewProc("EvtCreateBookmark")
	procUpdateBookmark = wevtapi.NewProc("EvtUpdateBookmark")
	procOpenPublisher  = wevtapi.NewProc("EvtOpenPublisherMetadata")
	procFormatMessage  = wevtapi.NewProc("EvtFormatMessage")
)

const (
	subscribeToFuture      = 1
	subscribeAtOldest      = 2
	subscribeAfterBookmark = 3
	renderEventXML         = 1
	renderBookmark         = 2
	formatMessageEvent     = 1

	maxRendered = 1 << 20 // bytes of an entry; Windows allows 64 KB of data
)

func checkEventLog() error {
	if err := procSubscribe.Find(); err != nil {
		return fmt.Errorf("eventlog: %w; it takes Windows Vista, Server 2008 or later", err)
	}
	return nil
}

// handle is an object of wevtapi.
type handle uintptr

func (h handle) close() {
	if h != 0 {
		procClose.Call(uintptr(h))
	}
}

// subscribed is a channel that is read by pulling: Windows sets an event when there is something to read.
type subscribed struct {
	entries    handle
	mark       handle
	ready      windows.Handle // something may be there; we reset it
	publishers map[string]handle
	accounts   map[string]account
	buf        []uint16
}

func openChannel(cfg *Config, name, bookmark string) (channel, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	query, err := windows.UTF16PtrFromString(cfg.Query)
	if err != nil {
		return nil, err
	}
	c := &subscribed{publishers: make(map[string]handle), accounts: make(map[string]account), buf: make([]uint16, 8<<10)}
	if c.ready, err = windows.CreateEvent(nil, 1, 1, nil); err != nil {
		return nil, fmt.Errorf("CreateEvent: %w", err)
	}
	flags := uintptr(subscribeToFuture)
	if cfg.FromStart || cfg.Finish {
		flags = subscribeAtOldest
	}
	var text *uint16
	if bookmark != "" {
		if text, err = windows.UTF16PtrFromString(bookmark); err == nil {
			if c.mark, err = call("EvtCreateBookmark", procCreateBookmark, uintptr(unsafe.Pointer(text))); err == nil {
				flags = subscribeAfterBookmark
			}
		}
		if err != nil {
			cfg.Log.Error("the position in a channel was lost; reading starts over", "channel", name, "err", err, "remedy", "check the disk")
		}
	}
	after := uintptr(c.mark)
	if c.mark == 0 {
		if c.mark, err = call("EvtCreateBookmark", procCreateBookmark, 0); err != nil {
			c.close()
			return nil, err
		}
	}
	var all uintptr
	if cfg.Query != "" {
		all = uintptr(unsafe.Pointer(query))
	}
	c.entries, err = call("EvtSubscribe", procSubscribe, 0, uintptr(c.ready), uintptr(unsafe.Pointer(path)), all, after, 0, 0, flags)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// call calls what returns a handle.
//
//go:uintptrescapes
func call(name string, p *windows.LazyProc, args ...uintptr) (handle, error) {
	h, _, err := p.Call(args...)
	if h == 0 {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return handle(h), nil
}

func (c *subscribed) close() {
	c.entries.close()
	c.mark.close()
	for _, p := range c.publishers {
		p.close()
	}
	windows.CloseHandle(c.ready)
}

func (c *subscribed) read(ctx context.Context, wait bool) ([]entry, error) {
	for {
		entries, err := c.next()
		if len(entries) > 0 || err != nil || !wait {
			return entries, err
		}
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wait waits until something may be there.
func (c *subscribed) wait(ctx context.Context) error {
	stop, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return fmt.Errorf("CreateEvent: %w", err)
	}
	set := make(chan struct{})
	unset := context.AfterFunc(ctx, func() {
		windows.SetEvent(stop)
		close(set)
	})
	_, err = windows.WaitForMultipleObjects([]windows.Handle{c.ready, stop}, false, windows.INFINITE)
	if !unset() {
		<-set
	}
	windows.CloseHandle(stop)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("WaitForMultipleObjects: %w", err)
	}
	return nil
}

// next reads what is there.
func (c *subscribed) next() ([]entry, error) {
	windows.ResetEvent(c.ready) // before the look: what comes during it sets it again
	var handles [maxBatch]handle
	var n uint32
	ok, _, err := procNext.Call(uintptr(c.entries), maxBatch, uintptr(unsafe.Pointer(&handles)), 0, 0, uintptr(unsafe.Pointer(&n)))
	if ok == 0 {
		if errors.Is(err, windows.ERROR_NO_MORE_ITEMS) || errors.Is(err, windows.ERROR_TIMEOUT) {
			return nil, nil
		}
		return nil, fmt.Errorf("EvtNext: %w", err)
	}
	defer func() {
		for _, h := range handles[:n] {
			h.close()
		}
	}()
	entries := make([]entry, 0, n)
	for _, h := range handles[:n] {
		var e entry
		if e.xml, err = c.render(h, renderEventXML); err != nil {
			return nil, err
		}
		if r, err := parseEntry(e.xml); err == nil { // who emits it says what is wrong
			e.user = c.account(r.System.Security.UserID)
			e.message = c.format(h, r.System.Provider.Name)
		}
		entries = append(entries, e)
		if ok, _, err := procUpdateBookmark.Call(uintptr(c.mark), uintptr(h)); ok == 0 {
			return nil, fmt.Errorf("EvtUpdateBookmark: %w", err)
		}
	}
	return entries, nil
}

func (c *subscribed) bookmark() (string, error) { return c.render(c.mark, renderBookmark) }

// render is an object as XML.
func (c *subscribed) render(h handle, as uintptr) (string, error) {
	for {
		var used, properties uint32
		ok, _, err := procRender.Call(0, uintptr(h), as, uintptr(len(c.buf)*2), uintptr(unsafe.Pointer(&c.buf[0])), uintptr(unsafe.Pointer(&used)), uintptr(unsafe.Pointer(&properties)))
		if ok != 0 {
			return windows.UTF16ToString(c.buf[:used/2]), nil
		}
		if !errors.Is(err, windows.ERROR_INSUFFICIENT_BUFFER) || used > maxRendered || int(used) <= len(c.buf)*2 {
			return "", fmt.Errorf("EvtRender: %w", err)
		}
		c.buf = make([]uint16, used/2+1)
	}
}

// format is the message of an entry, empty where its publisher has none here.
func (c *subscribed) format(h handle, publisher string) string {
	of, known := c.publishers[publisher]
	if !known {
		if name, err := windows.UTF16PtrFromString(publisher); err == nil {
			of, _ = call("EvtOpenPublisherMetadata", procOpenPublisher, 0, uintptr(unsafe.Pointer(name)), 0, 0, 0)
		}
		c.publishers[publisher] = of
	}
	if of == 0 {
		return ""
	}
	for {
		var used uint32 // in characters
		ok, _, err := procFormatMessage.Call(uintptr(of), uintptr(h), 0, 0, 0, formatMessageEvent, uintptr(len(c.buf)), uintptr(unsafe.Pointer(&c.buf[0])), uintptr(unsafe.Pointer(&used)))
		switch {
		case ok != 0:
			return windows.UTF16ToString(c.buf[:min(int(used), len(c.buf))])
		case !errors.Is(err, windows.ERROR_INSUFFICIENT_BUFFER) || used > maxRendered || int(used) <= len(c.buf):
			return ""
		}
		c.buf = make([]uint16, used)
	}
}

// maxAccounts bounds those that are remembered.
const maxAccounts = 1024

// account is whose SID it is.
func (c *subscribed) account(sid string) account {
	if sid == "" {
		return account{}
	}
	a, known := c.accounts[sid]
	if known {
		return a
	}
	a.name = sid
	if s, err := windows.StringToSid(sid); err == nil {
		if name, domain, _, err := s.LookupAccount(""); err == nil {
			a = account{name, domain}
		}
	}
	if len(c.accounts) < maxAccounts {
		c.accounts[sid] = a
	}
	return a
}
