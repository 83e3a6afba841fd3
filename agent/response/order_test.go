package response

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		name string
		args []string
	}{
		{"artest10 - 10.9.8.7 (from_the_server) (no_rule_id)", "artest10", []string{"-", "10.9.8.7", "(from_the_server)", "(no_rule_id)"}},
		{"host-deny600 root 2001:db8::1 1.2 5712 (web)->/var/log/auth.log\x00", "host-deny600", []string{"root", "2001:db8::1", "1.2", "5712", "(web)->/var/log/auth.log"}},
		{"restart0\n", "restart0", []string{}},
		{"restart-ossec0 - null (from_the_server) (no_rule_id)\x00", "restart-ossec0", []string{"-", "null", "(from_the_server)", "(no_rule_id)"}},
	} {
		o, err := parse([]byte(tt.text))
		if err != nil || o.name != tt.name || !reflect.DeepEqual(o.args, tt.args) {
			t.Errorf("%q: %+v, %v", tt.text, o, err)
		}
	}
	for _, text := range []string{
		"", " ", "\x00", "x - 10.0.0.1;reboot", "x - host.example", "x null nul", "x -rf 10.0.0.1", "x - 10.0.0.1 --option", "x $(id) 10.0.0.1", "x a\x01b -",
		"x - \xff", "x" + strings.Repeat(" -", 17), "x - - " + strings.Repeat("a", 1025), "x - fe80::1%$(reboot);*", "x - fe80::1%eth0",
		"x - - 1.2 5712 $(reboot)", "x - - `id`", "x - - a;b", "x - - a|b", "x - - a>b", "x - - ((a))", "x - - (a", "x - - a&", "x - - *", "x - - a\u0081b", "x - - $", "x - - $HOME", "x - - a$b", "x - - a$$", "x $ 10.0.0.1", "x a$HOME 10.0.0.1", "x - - a\u202eb",
		`{"command":null}`, `{"command":"x","parameters":{"extra_args":["$(reboot)"]}}`, `{"command":"x","parameters":{"extra_args":["--flag"]}}`,
		`{"command":"x","parameters":{"extra_args":[null,7]}}`, `{"command":"x","parameters":{"extra_args":{}}}`,
		`{"command":"x","parameters":{"alert":{"data":{"srcip":"fe80::1%;reboot"}}}}`, `{"command":"x","parameters":{"alert":7}}`,
		"{", "{}", `{"command":7}`, `{"command":""}`, `{"command":"x","parameters":[]}`,
	} {
		if o, err := parse([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, o)
		}
	}
}

// What an alert says in JSON is refused whichever of two values a program would take.
func TestAlertOfAnOrder(t *testing.T) {
	t.Parallel()
	const form = `{"command":"x","parameters":{"alert":{"data":%s}}}`
	for _, data := range []string{
		`{"srcip":"$(reboot)","SRCIP":"10.0.0.1"}`, `{"SRCIP":"$(reboot)","srcip":"10.0.0.1"}`, `{"srcip":"10.0.0.1","srcip":"$(reboot)"}`,
		`{"\u0073rcip":"$(reboot)"}`, `{"srcip":["10.0.0.1"]}`, `{"srcip":7}`, `{"srcip":"-rf"}`,
		`{"dstuser":"$(reboot)"}`, `{"DstUser":"a;b"}`, `{"dstuser":"-rf"}`, `{"dstuser":{}}`, `7`,
	} {
		if o, err := parse(fmt.Appendf(nil, form, data)); err == nil {
			t.Errorf("%s: %s", data, o.json["parameters"])
		}
	}
	for data, want := range map[string]string{
		`{"srcip":"$(reboot)","srcip":"10.0.0.1"}`:                  `{"srcip":"10.0.0.1"}`,
		`{"srcip":"2001:db8::1","dstuser":"DOMAIN\\web-1$"}`:        `{"dstuser":"DOMAIN\\web-1$","srcip":"2001:db8::1"}`,
		`{"srcip":null,"dstuser":"-","port":22,"n":12345678901234}`: `{"dstuser":"-","n":12345678901234,"port":22,"srcip":null}`,
		`null`: `{}`,
	} {
		o, err := parse(fmt.Appendf(nil, form, data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		b, err := line(o.json, "add", "/bin/x")
		var out struct {
			Parameters struct {
				Alert struct{ Data json.RawMessage }
			}
		}
		if err != nil || json.Unmarshal(b, &out) != nil || string(out.Parameters.Alert.Data) != want {
			t.Errorf("%s: the program gets %s, %v", data, b, err)
		}
	}
	alert := `{"command":"x","parameters":{"ALERT":{"data":{"srcip":"a;b"}},"Extra_Args":["c;d"],"other":"e;f","extra_args":["ok"],"alert":{"Data":{"srcuser":"g;h"},
		"full_log":"i;j","location":"k;l","n;m":1,"agent":{"name":"web-1","ip":"n;o"},"rule":{"description":"a blank; and a semicolon","id":"5712"},
		"data":{"srcuser":"$(p)","SrcUser":"q|r","win":{"list":["s;t","fine",{"u;v":"fine"}]},"port":22,"s $(u)":"fine","url":"w?x","srcip":"10.0.0.1"}}}}`
	hostile, err := parse([]byte(alert))
	if err != nil {
		t.Fatal(err)
	}
	b, err := line(hostile.json, "add", "/bin/x")
	want := `{"command":"add","origin":{"name":"ossecd","module":"ossecd"},"parameters":{"alert":{"Data":{},"agent":{"name":"web-1"},"data":{"port":22,"srcip":"10.0.0.1","win":{"list":["fine",{}]}},` +
		`"rule":{"description":"a blank; and a semicolon","id":"5712"}},"extra_args":["ok"],"program":"/bin/x"},"version":1}` + "\n"
	if err != nil || string(b) != want {
		t.Errorf("the program gets %s, %v\nwant %s", b, err, want)
	}
	twice := `{"command":"x","parameters":{"alert":{"data":{"srcip":"a;b"},"data":{}},"alert":{"data":{"srcip":"c;d"},"data":{}},"extra_args":["e;f"],"extra_args":[]}}`
	o, err := parse([]byte(twice))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := line(o.json, "add", "/bin/x"); err != nil || strings.Contains(string(b), ";") {
		t.Errorf("the program gets %s, %v", b, err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	allow := []string{"firewall-drop", "host-deny.sh", "block2", "drop", "drop6"}
	for _, tt := range []struct {
		name, program string
		timeout       int
	}{
		{"firewall-drop600", "firewall-drop", 600},
		{"firewall-drop", "firewall-drop", 0},
		{"host-deny60", "host-deny.sh", 60},
		{"host-deny.sh60", "host-deny.sh", 60},
		{"block20", "block2", 0},
		{"block260", "block2", 60},
		{"drop60", "drop", 60},
		{"!drop6", "drop6", 0},
		{"!drop60", "", 0},
		{"../drop", "", 0},
		{"other", "", 0},
		{"host", "", 0},
		{"", "", 0},
		{"600", "", 0},
	} {
		program, timeout, err := resolve(tt.name, allow)
		if program != tt.program || timeout != time.Duration(tt.timeout)*time.Second || (err != nil) != (program == "") {
			t.Errorf("%q: %q, %v, %v", tt.name, program, timeout, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("artest10 - 10.9.8.7 (from_the_server) (no_rule_id)"))
	f.Add([]byte(`{"version":1,"origin":{"name":"node01","module":"wazuh-execd"},"command":"firewall-drop600","parameters":{"extra_args":[],"alert":{"data":{"srcip":"10.0.0.1"}}}}`))
	for _, o := range oddOrders() {
		f.Add([]byte(o))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := parse(text)
		if err != nil {
			return
		}
		for _, a := range o.args {
			if a == "" || len(a) > maxArg || a != "-" && a[0] == '-' || strings.ContainsAny(a, "\x00\n\r\x1b") {
				t.Errorf("argument %q", a)
			}
		}
		if program, _, err := resolve(o.name, []string{"one", "two.sh"}); err == nil && program != "one" && program != "two.sh" {
			t.Errorf("program %q", program)
		}
		if o.json == nil {
			return
		}
		b, err := line(o.json, "add", "/bin/x")
		if err != nil || strings.Count(string(b), "\n") != 1 || !json.Valid(b) {
			t.Errorf("a line %q, %v", b, err)
		}
	})
}

// oddOrders are an order with each of its values in turn replaced by what JSON allows in its place, or left out.
func oddOrders() (orders []string) {
	const form = `{"version":%s,"origin":%s,"command":%s,"parameters":%s}`
	values := []any{`1`, `{"name":"node01","module":"wazuh-execd"}`, `"drop"`, `{"extra_args":[],"alert":{"data":{"srcip":"10.0.0.1"}}}`}
	odd := []string{"null", "7", `""`, "[]", "[null]", "{}", "true", `{"extra_args":null}`, `{"alert":null}`, `{"alert":{"data":null}}`, `{"alert":{"data":{"srcip":null}}}`}
	for i := range values {
		for _, o := range odd {
			with := slices.Clone(values)
			with[i] = o
			orders = append(orders, fmt.Sprintf(form, with...))
		}
	}
	return append(orders, `{"command":"drop"}`, `{"command":"drop","parameters":null}`)
}

// What a manager sends cannot end the process, whatever stands in place of a value.
func TestOddOrders(t *testing.T) {
	t.Parallel()
	understood := 0
	for _, text := range oddOrders() {
		o, err := parse([]byte(text))
		if err != nil {
			continue
		}
		understood++
		b, err := line(o.json, "add", "/bin/x")
		var out struct{ Parameters struct{ Program string } }
		if err != nil || json.Unmarshal(b, &out) != nil || out.Parameters.Program != "/bin/x" {
			t.Errorf("%s: the program gets %q, %v", text, b, err)
		}
	}
	if understood < 20 {
		t.Errorf("only %d orders were understood", understood)
	}
}
