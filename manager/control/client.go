package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
)

// Socket is where the control socket of a state directory is.
func Socket(state string) string { return filepath.Join(state, "control.sock") }

// Commands are those that ask a running manager. state is its state directory if no other is named.
func Commands(state string) []*cli.Command {
	return []*cli.Command{agentCommand(state), agentsCommand(state), orderCommand(state), statusCommand(state)}
}

func clientFlags(state string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "state", Value: state, Usage: "state `DIR` of the running manager"},
		&cli.StringFlag{Name: "control-socket", Usage: "`PATH` of its control socket", DefaultText: "STATE/control.sock"},
		&cli.BoolFlag{Name: "json", Usage: "print the answer as JSON"},
	}
}

// sameManager repeats the flags that say which manager is meant.
func sameManager(c *cli.Context) (flags string) {
	for _, name := range []string{"config", "state", "control-socket"} {
		if c.IsSet(name) {
			flags += " --" + name + " " + c.String(name)
		}
	}
	return flags
}

const (
	askWithin = time.Minute
	maxAnswer = 64 << 20 // bytes; what an order says of an agent takes some 100
)

// client asks a running manager by its control socket.
type client struct {
	socket string
	http   http.Client
}

// clientOf is the manager that the flags name.
func clientOf(c *cli.Context) *client {
	return newClient(c.String("control-socket"), c.String("state"))
}

func newClient(socket, state string) *client {
	if socket == "" {
		socket = Socket(state)
	}
	return &client{socket, http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// open sends a request. The answer, whose body is to be closed, is no error.
func (m *client) open(ctx context.Context, method, path string, request any) (*http.Response, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://manager"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := m.http.Do(r)
	if err != nil {
		var of *url.Error // its URL is none that anybody could use
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("control socket: %w; check that the manager runs, name its --state, and be in the group of %s", err, m.socket)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		raw, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		var fault struct{ Error string }
		json.Unmarshal(raw, &fault)
		return nil, fmt.Errorf("the manager refused (%s): %s", answer.Status, fault.Error)
	}
	return answer, nil
}

// ask sends a request and reads its answer into v; raw is that answer.
func (m *client) ask(ctx context.Context, method, path string, request, v any) (raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	defer m.http.CloseIdleConnections()
	answer, err := m.open(ctx, method, path, request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if raw, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return nil, err
	}
	return raw, json.Unmarshal(raw, v)
}

// show prints an answer, raw with --json.
func show(c *cli.Context, raw []byte, print func(io.Writer)) {
	if c.Bool("json") {
		c.App.Writer.Write(raw)
		return
	}
	print(c.App.Writer)
}
