package nats

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"ossecd/manager/journal"
)

// A stream that is gone, such as one in memory whose server was restarted, is made anew.
func TestStreamThatIsGone(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	o := Options{Servers: []string{n.url()}, Stream: made}
	o.Stream.Memory = true
	r := run(t, o, quiet)
	r.put("one")
	r.wait(func(c journal.Counts) bool { return c.Delivered == 1 })
	n.stop()
	n.start()
	r.put("two")
	r.wait(func(c journal.Counts) bool { return c.Delivered == 2 })
	r.end()
	once(t, messages(t, n.stream("OSSEC")), 1)
}

// A password or token that is changed, on the servers and in its file, is the one of the next connection.
func TestPasswordThatIsChanged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set     func(o *server.Options, secret string)
		secrets func(path string) Secrets
		option  func(secret string) nats.Option
	}{
		"password": {
			func(o *server.Options, secret string) { o.Username, o.Password = "ossecd", secret },
			func(path string) Secrets { return Secrets{User: "ossecd", PasswordFile: path} },
			func(secret string) nats.Option { return nats.UserInfo("ossecd", secret) },
		},
		"token": {
			func(o *server.Options, secret string) { o.Authorization = secret },
			func(path string) Secrets { return Secrets{TokenFile: path} },
			func(secret string) nats.Option { return nats.Token(secret) },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "secret")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("old")
			n := newServer(t, func(o *server.Options) { tt.set(o, "old") })
			r := run(t, Options{Servers: []string{n.url()}, Stream: made, Secrets: tt.secrets(path)}, quiet)
			r.put("one")
			r.wait(func(c journal.Counts) bool { return c.Delivered == 1 })
			n.stop()
			tt.set(&n.opts, "new")
			n.start()
			r.put("two")
			write("new")
			r.wait(func(c journal.Counts) bool { return c.Delivered == 2 })
			r.end()
			once(t, messages(t, n.stream("OSSEC", tt.option("new"))), 2)
		})
	}
}
