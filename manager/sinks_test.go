package manager

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"ossecd/keys/setting"
	"ossecd/keys/setting/settingtest"
	"ossecd/proto"
)

func TestSinkFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, table string
		want        []string // none: in order
	}{
		{"file", `{"type":"file","path":"x","format":"archives","max_size":"10 MB","daily":true,"keep":3,"max_age":"2160h","compress":true,"agents":["web*"],"queues":["1"],"locations":["*"],"queue":3,"hold":false,"start":"oldest","name":"n"}`, nil},
		{"an old name", `{"type":"file","path":"x","daily":true,"keep_days":90}`, nil},
		{"an old name of nats", `{"type":"nats","servers":["tls://x"],"stream":"S","max_bytes":1000}`, nil},
		{"old and new", `{"type":"file","path":"x","daily":true,"keep_days":90,"max_age":"24h"}`, []string{"sink[1]: keep_days: is the old name of max_age"}},
		{"sizes", `{"type":"file","path":"x","max_size":"1 GB","queue_size":"16MB","queue_disk":"0"}`, nil},
		{"no sizes", `{"type":"file","path":"x","max_size":"1 KB","queue":"much","hold":1,"start":"new"}`, []string{
			`sink[1]: queue: wants a size such as "64 MB"`, "sink[1]: hold: ", "sink[1]: start: ", "sink[1]: max_size: "}},
		{"small queue", `{"type":"stdout","queue":"1 KB"}`, []string{"sink[1]: queue: 1 KB is too little"}},
		{"hold and queue", `{"type":"stdout","hold":true,"queue":"1 MB"}`, []string{"sink[1]: queue: says when events"}},
		{"stdout", `{"type":"stdout"}`, nil},
		{"queue", `{"type":"ossec-queue","disconnects":true}`, nil},
		{"syslog", `{"type":"syslog","address":"[::1]:514","protocol":"tls","ca":"x","facility":"auth","severity":"err","max_size":4096}`, nil},
		{"nats", `{"type":"nats","servers":["nats://192.0.2.20:4222","tls://x"],"subject":"a.{agent.name}","stream":"S","replicas":3,"max_age":"24h","max_size":"1000 MB","duplicate_window":"5m","storage":"memory","user":"u","password_file":"p","ca":"c","cert":"c","key":"k"}`, nil},
		{"no type", `{}`, []string{`sink[1]: type: none given; say what it is: command, file, http, nats, ossec-queue`}},
		{"type", `{"type":5}`, []string{"sink[1]: type: "}},
		{"file without all", `{"type":"file","keep":1}`, []string{"sink[1]: path: missing", "sink[1]: keep, max_age and compress are for rotated files"}},
		{"unknown keys", `{"type":"stdout","formt":"json","x":1}`, []string{`sink[1]: unknown key "formt"; did you mean "format"?`, `sink[1]: unknown key "x"; use "actions", "agents", "format", `}},
		{"values", `{"type":"file","path":["x"],"format":"xml","max_size":0,"daily":"yes","queues":["12"],"agents":[],"locations":"x","queue":1.5,"name":"\u001b"}`, []string{
			"sink[1]: name: ", "sink[1]: queue: ", "sink[1]: agents: ", "sink[1]: locations: ", "sink[1]: queues: ", "sink[1]: path: ", "sink[1]: format: ",
			"sink[1]: max_size: ", "sink[1]: daily: ", "sink[1]: path: missing",
		}},
		{"syslog values", `{"type":"syslog","address":"host","ca":"x","facility":"lokal","severity":"bad","protocol":"sctp","max_size":70000}`, []string{
			"sink[1]: protocol: ", "sink[1]: facility: ", "sink[1]: severity: ", "sink[1]: max_size: ", "sink[1]: address: ", "sink[1]: ca: ",
		}},
		{"nats values", `{"type":"nats","servers":["192.0.2.20:4222"],"subject":"a.{id}","replicas":6,"max_age":"7d","user":"u","cert":"c"}`, []string{
			"sink[1]: replicas: ", "sink[1]: max_age: ", "sink[1]: subject: ", "sink[1]: servers: ", "sink[1]: stream: missing", "sink[1]: user: ", "sink[1]: cert: ",
		}},
		{"nats stream", `{"type":"nats","stream":"a.b","max_age":"1m","duplicate_window":"2m"}`, []string{"sink[1]: servers: missing", "sink[1]: stream: ", "sink[1]: duplicate_window: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Config{Keys: "k", State: "s", Listen: []string{":0"}, Sinks: settingtest.Tables(t, "sink", tt.table)}
			err := c.Validate()
			if len(tt.want) == 0 {
				if err != nil || len(c.plans) != 1 {
					t.Errorf("%d sinks, %v", len(c.plans), err)
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range tt.want {
				if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
					t.Fatalf("fault %d is not %q:\n%v", i+1, want, err)
				}
			}
			if len(lines) != len(tt.want) {
				t.Errorf("%d faults, want %d:\n%v", len(lines), len(tt.want), err)
			}
		})
	}
}

func TestSinksBesideEvents(t *testing.T) {
	t.Parallel()
	c := Config{Keys: "k", State: "s", Listen: []string{":0"}, Events: "-", Sinks: settingtest.Tables(t, "sink", `{"type":"stdout"}`, `{"type":"stdout","name":"stdout-1"}`)}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `sink[2]: name: "stdout-1" is taken`) {
		t.Error(err)
	}
	c.Sinks = c.Sinks[:1]
	if err := c.Validate(); err != nil || len(c.plans) != 2 {
		t.Errorf("%d sinks, %v", len(c.plans), err)
	}
	for i, tables := range [][]string{
		{`{"type":"file","path":"a/events.json","max_size":1}`},
		{`{"type":"file","path":"b"}`, `{"type":"file","path":"./b","format":"archives","daily":true}`},
		{`{"type":"stdout","name":"Case"}`, `{"type":"stdout","name":"case"}`},
	} {
		c.Events, c.Sinks = "a//events.json", settingtest.Tables(t, "sink", tables...)
		want := []string{"path: ", "path: ", "name: "}[i]
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", tables, err)
		}
	}
	c.Sinks = settingtest.Tables(t, "sink", `{"type":"file","path":"a/events.json","format":"archives"}`, `{"type":"file","path":"c","daily":true}`)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Events, c.Sinks = "", nil
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "events: empty") {
		t.Error(err)
	}
	c.Sinks = make([]*setting.Table, maxSinks+1)
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Error(err)
	}
}

// A manager has several sinks at once: each takes what it is for.
func TestManagerWithSinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all, some := filepath.Join(dir, "all.json"), filepath.Join(dir, "some.log")
	inSinks := func(r *rig) {
		p, q := r.dial(anyLine, "192.0.2.9", proto.Blowfish, proto.OSSEC, 7), r.dial(fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC, 7)
		p.hello()
		q.hello()
		p.send("1:/var/log/x:of web")
		q.send("1:/var/log/x:of db")
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		r.cfg.Sinks = settingtest.Tables(t, "sink", `{"type":"file","path":`+strconv.Quote(all)+`}`, `{"type":"file","format":"archives","path":`+strconv.Quote(some)+`,"agents":["web*"],"locations":["/var/*"]}`)
		r.start()
		inSinks(r)
		if got := r.texts(); got == "" {
			t.Error("nothing in the sink of Config.Out")
		}
		r.end()
	})
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read(all); strings.Count(got, "\n") != 4 || !strings.Contains(got, `"full_log":"of db"}`) {
		t.Errorf("in the one for all:\n%s", got)
	}
	if got := read(some); !strings.HasSuffix(got, " (web01) any->/var/log/x of web\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("in the one for some:\n%s", got)
	}
}

// A sink that cannot be opened ends the start.
func TestASinkThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine)
		r.cfg.Sinks = settingtest.Tables(t, "sink", `{"type":"file","path":`+strconv.Quote(filepath.Join(t.TempDir(), "none", "x"))+`}`)
		r.cfg.Listen = []string{"127.0.0.1:0"}
		if err := Run(context.Background(), r.cfg, quiet); err == nil || !strings.Contains(err.Error(), "name a file in a directory that exists") {
			t.Error(err)
		}
	})
}
