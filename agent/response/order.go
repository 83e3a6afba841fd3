package response

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// order is what a manager ordered (docs/protocol.md, "Control messages").
type order struct {
	name string                     // with its time in seconds behind it, or with ! before it and no time
	args []string                   // user, address, alert, rule …; nil with json
	json map[string]json.RawMessage // the whole order, where it is Wazuh's form
}

const (
	maxArgs = 16
	maxArg  = 1024
)

// parse takes an order apart. What an alert has said stands in the arguments, so that they are as foreign as a log line: they
// have no control characters, are no options, and the address is one.
func parse(text []byte) (order, error) {
	text = bytes.TrimRight(text, "\x00 \r\n")
	if bytes.HasPrefix(text, []byte("{")) {
		return parseJSON(text)
	}
	if !utf8.Valid(text) {
		return order{}, errors.New("an order is not UTF-8")
	}
	words := strings.Fields(string(text))
	if len(words) == 0 || len(words) > maxArgs+1 {
		return order{}, fmt.Errorf("an order has %d words; a name and up to %d arguments are understood", len(words), maxArgs)
	}
	o := order{name: words[0], args: words[1:]}
	for i, a := range o.args {
		if err := checkArg(i, a); err != nil {
			return order{}, err
		}
	}
	return o, nil
}

func checkArg(i int, a string) error {
	const user, address = 0, 1
	switch {
	case len(a) > maxArg || strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("argument %d, %.40q, is too long or has control characters", i+1, a)
	case a == "-", i == address && a == "null": // the stock words for none
	case a[0] == '-':
		return fmt.Errorf("argument %d, %.40q, looks like an option", i+1, a)
	case i == user && !isUser(a):
		return fmt.Errorf("the user %.40q has characters that no user's name has", a)
	case i == address && !isAddress(a):
		return fmt.Errorf("%.40q is not an address", a)
	case !plainArg(a):
		return fmt.Errorf("argument %d, %.40q, has characters that a shell could take for its own", i+1, a)
	}
	return nil
}

// isUser says that a can be the name of a user, and is no option.
func isUser(a string) bool {
	return len(a) <= maxArg && !strings.HasPrefix(a, "-") && strings.Trim(a, nameLetters) == "" && !expands(a)
}

// isAddress says that a is an IP address. A zone is refused: any text can stand in it.
func isAddress(a string) bool {
	ip, err := netip.ParseAddr(a)
	return err == nil && ip.Zone() == ""
}

// plainArg says that a script which forgets to quote an argument is safe from it: it is made of letters, digits and what
// addresses, names and paths have. Of a location, "(NAME) ADDRESS->PATH", the parentheses around the name and the
// arrow are taken as well.
func plainArg(a string) bool {
	if strings.HasPrefix(a, "-") {
		return a == "-"
	}
	if rest, ok := strings.CutPrefix(a, "("); ok {
		name, behind, closed := strings.Cut(rest, ")")
		if !closed {
			return false
		}
		a = name + behind
	}
	a = strings.Replace(a, "->", "", 1)
	return !expands(a) && !strings.ContainsFunc(a, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@+:/,=%$\\", r)
	})
}

// expands says that a shell would put something in place of a $: it stands for itself at the end of a name alone, as in that of a
// computer's account.
func expands(a string) bool {
	i := strings.IndexByte(a, '$')
	return i >= 0 && (i == 0 || i < len(a)-1)
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@$\\+"

func parseJSON(text []byte) (order, error) {
	var o order
	var name string
	if err := json.Unmarshal(text, &o.json); err != nil {
		return o, fmt.Errorf("an order is not a JSON object: %w", err)
	}
	if err := json.Unmarshal(o.json["command"], &name); err != nil || name == "" {
		return o, errors.New("an order in JSON has no command")
	}
	parameters, err := objectOf(o.json["parameters"])
	if err != nil {
		return o, errors.New("an order in JSON has parameters that are not an object")
	}
	if parameters, err = checkParameters(parameters); err != nil {
		return o, err
	}
	if o.json["parameters"], err = json.Marshal(parameters); err != nil {
		return o, err
	}
	o.name = name
	return o, nil
}

// checkParameters looks at what a program is likely to pass on to a command: the extra arguments and the alert. It leaves in them what it has
// looked at, by the names that managers use, and no second value of the same name.
func checkParameters(parameters map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	checked := make(map[string]json.RawMessage)
	if p := parameters["extra_args"]; p != nil {
		var extra []string
		if json.Unmarshal(p, &extra) != nil || len(extra) > maxArgs {
			return nil, fmt.Errorf("an order in JSON has extra_args that are not a list of up to %d texts", maxArgs)
		}
		for i, a := range extra {
			if len(a) > maxArg || !plainArg(a) {
				return nil, fmt.Errorf("extra argument %d, %.40q, is too long or has characters that a shell could take for its own", i+1, a)
			}
		}
		checked["extra_args"], _ = json.Marshal(extra)
	}
	if parameters["alert"] == nil {
		return checked, nil
	}
	alert, err := checkAlert(parameters["alert"])
	if err != nil {
		return nil, err
	}
	checked["alert"], err = json.Marshal(alert)
	return checked, err
}

// checkAlert looks at an alert. What stands in its data has names and values of a log line's making, and so have most of its other fields. A user
// or address that is none refuses the order. Any other text that would be no argument is left out, so that nobody keeps a
// response from being run by what he writes there; and so is a name that would be none. The rule alone is the manager's own, and stays as it is.
func checkAlert(text json.RawMessage) (map[string]any, error) {
	alert, err := objectOf(text)
	if err != nil {
		return nil, errors.New("an order in JSON has an alert that is not an object")
	}
	data, err := objectOf(alert["data"])
	if err != nil {
		return nil, errors.New("an order in JSON has an alert with data that is not an object")
	}
	for name, value := range data { // names are taken as the most lenient program takes them, in capitals or not
		user, address := strings.EqualFold(name, "dstuser"), strings.EqualFold(name, "srcip")
		if !user && !address {
			continue
		}
		var text string // of null it is empty
		switch err := json.Unmarshal(value, &text); {
		case err != nil:
			return nil, fmt.Errorf("%.40q of an order in JSON is not a text", name)
		case text == "", text == "-":
		case user && !isUser(text):
			return nil, fmt.Errorf("the user %.40q has characters that no user's name has", text)
		case address && !isAddress(text):
			return nil, fmt.Errorf("%.40q is not an address", text)
		}
	}
	checked := make(map[string]any)
	for name, value := range alert {
		switch {
		case name == "rule":
			checked[name] = value
		case name == "data": // always an object
			checked[name], _ = plainValue(data)
		case len(name) <= maxArg && plainArg(name):
			if v, ok := plainValue(value); ok {
				checked[name] = v
			}
		}
	}
	return checked, nil
}

// plainValue is a value with what would be no argument left out; ok is false where nothing is left of it.
func plainValue(value any) (plain any, ok bool) {
	switch v := value.(type) {
	case json.RawMessage:
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		var decoded any
		if d.Decode(&decoded) != nil {
			return nil, false
		}
		return plainValue(decoded)
	case map[string]json.RawMessage:
		object := make(map[string]any)
		for name, value := range v {
			if p, ok := plainValue(value); ok && len(name) <= maxArg && plainArg(name) {
				object[name] = p
			}
		}
		return object, true
	case map[string]any:
		object := make(map[string]any)
		for name, value := range v {
			if p, ok := plainValue(value); ok && len(name) <= maxArg && plainArg(name) {
				object[name] = p
			}
		}
		return object, true
	case []any:
		list := []any{}
		for _, value := range v {
			if p, ok := plainValue(value); ok {
				list = append(list, p)
			}
		}
		return list, true
	case string:
		return v, v == "" || len(v) <= maxArg && plainArg(v)
	}
	return value, true // a number, true, false, null
}

// Check says what of an order may be handed to another program that obeys it: all of one in OSSEC's form, and of one in Wazuh's what a program
// of ours would get.
func Check(text []byte) ([]byte, error) {
	o, err := parse(text)
	if err != nil || o.json == nil {
		return text, err
	}
	return json.Marshal(map[string]json.RawMessage{"version": o.json["version"], "origin": o.json["origin"], "command": o.json["command"], "parameters": o.json["parameters"]})
}

// objectOf reads a JSON object. One that is absent or null is an empty one, and never a nil map.
func objectOf(text json.RawMessage) (map[string]json.RawMessage, error) {
	o := map[string]json.RawMessage{}
	if text == nil {
		return o, nil
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	if o == nil { // null
		o = map[string]json.RawMessage{}
	}
	return o, nil
}

// line is the line of JSON that a program gets: the order, with the action in place of the name.
func line(o map[string]json.RawMessage, action, path string) ([]byte, error) {
	parameters, err := objectOf(o["parameters"])
	if err != nil {
		return nil, err
	}
	parameters["program"], _ = json.Marshal(path)
	out := map[string]any{"version": 1, "origin": origin{"ossecd", "ossecd"}, "command": action, "parameters": parameters}
	b, err := json.Marshal(out)
	return append(b, '\n'), err
}

type origin struct {
	Name   string `json:"name"`
	Module string `json:"module"`
}

// resolve finds the allowed program that a name means, which may lack the program's extension and has the time after which it is
// undone, in seconds, behind it. Where several would do it is the one with the shortest name, so that all digits are the time.
func resolve(name string, allow []string) (program string, timeout time.Duration, err error) {
	if direct, ok := strings.CutPrefix(name, "!"); ok {
		for _, a := range allow {
			if a == direct {
				return a, 0, nil
			}
		}
		return "", 0, fmt.Errorf("%.80q is not allowed", direct)
	}
	digits := len(name) - len(strings.TrimRight(name, "0123456789"))
	for n := min(digits, 9); n >= 0; n-- {
		base, text := name[:len(name)-n], name[len(name)-n:]
		for _, a := range allow {
			if a != base && strings.TrimSuffix(a, filepath.Ext(a)) != base {
				continue
			}
			seconds, _ := strconv.Atoi("0" + text)
			return a, time.Duration(seconds) * time.Second, nil
		}
	}
	return "", 0, fmt.Errorf("%.80q is not allowed", name)
}
