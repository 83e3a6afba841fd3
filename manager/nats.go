package manager

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/keys/setting"
	"ossecd/manager/sink"
	"ossecd/manager/sink/nats"
)

// streamName is what NATS takes as the name of a stream, and a little less.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func natsSink(c *Config, t *setting.Table, p *plan) opener {
	t.Renamed("max_bytes", "max_size", nil)
	o := nats.Options{
		Servers: t.Strings("servers"),
		Secrets: nats.Secrets{
			Credentials: t.String("credentials", ""), NKey: t.String("nkey", ""), User: t.String("user", ""),
			PasswordFile: t.String("password_file", ""), TokenFile: t.String("token_file", ""),
			CA: t.String("ca", ""), Cert: t.String("cert", ""), Key: t.String("key", ""),
		},
		Stream: nats.Stream{
			Name: t.String("stream", ""), Replicas: t.Int("replicas", 1, 1, 5), MaxAge: t.Duration("max_age", 7*24*time.Hour, time.Minute, 10*366*24*time.Hour),
			MaxBytes:   t.Size("max_size", 0, 1<<20, 1<<20, 1<<50),
			Duplicates: t.Duration("duplicate_window", 2*time.Minute, time.Second, 24*time.Hour),
			Memory:     t.Word("storage", "file", "memory") == "memory",
		},
	}
	var err error
	if o.Subject, err = nats.ParseSubject(t.String("subject", nats.DefaultSubject)); err != nil {
		t.Fault("subject", "%w", err)
	}
	if len(o.Servers) == 0 {
		t.Fault("servers", `missing; name at least one, as in servers = ["nats://192.0.2.20:4222"]`)
	}
	for _, s := range o.Servers {
		if err := nats.CheckServer(s); err != nil {
			t.Fault("servers", "%w", err)
		}
	}
	if s := o.Stream; s.Name != "" && !streamName.MatchString(s.Name) {
		t.Fault("stream", `%.80q is not a stream name; use letters, digits, "-" and "_"`, s.Name)
	}
	if o.Stream.Name == "" && t.Has("replicas", "max_age", "max_size", "duplicate_window", "storage") {
		t.Fault("stream", "missing; replicas, max_age, max_size, duplicate_window and storage are about a stream that is to be made")
	}
	if o.Stream.Duplicates > o.Stream.MaxAge {
		t.Fault("duplicate_window", "%v is longer than max_age, %v", o.Stream.Duplicates, o.Stream.MaxAge)
	}
	if s := o.Secrets; (s.User == "") != (s.PasswordFile == "") {
		t.Fault("user", "goes with password_file, and that with it")
	}
	if s := o.Secrets; (s.Cert == "") != (s.Key == "") {
		t.Fault("cert", "goes with key, and that with it")
	}
	p.spec.Write = nats.WriteSize
	return func(_ context.Context, log *slog.Logger) (sink.Sink, error) {
		id, err := managerID(c.State)
		if err != nil {
			return nil, err
		}
		o.Origin = origin(id, p.spec.Name)
		return nats.New(o, log)
	}
}

// managerID is a random name that the manager has as long as its state directory.
func managerID(state string) (string, error) {
	path := filepath.Join(state, "manager-id")
	id := rand.Text()
	if err := durable.CreateFile(path, []byte(id+"\n"), 0o644); !errors.Is(err, fs.ErrExist) {
		return id, err
	}
	b, err := os.ReadFile(path)
	if id = strings.TrimSpace(string(b)); err == nil && len(id) != len(rand.Text()) {
		err = errors.New(path + " is not as ossecd made it; remove it to have a new one made")
	}
	return id, err
}

// origin names one sink of one manager.
func origin(id, name string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + name))
	return base32.StdEncoding.EncodeToString(sum[:10])
}
