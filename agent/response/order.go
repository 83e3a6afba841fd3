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
		return fmt.Errorf("argument %d, %.40q, would be an option", i+1, a)
	case i == user && !isUser(a):
		return fmt.Errorf("the user %.40q has characters that no user's name has", a)
	case i == address && !isAddress(a):
		return fmt.Errorf("the address %.40q is none", a)
	case !plainArg(a):
		return fmt.Errorf("argument %d, %.40q, has characters that a shell could take for its own", i+1, a)
	}
	return nil
}

// isUser says that a can be the name of a user, and is no option.
func isUser(a string) bool {
	return len(a) <= maxArg && !strings.HasPrefix(a, "-") && strings.Trim(a, nameLetters) == ""
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
	return !strings.ContainsFunc(a, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@+:/,=%$\\", r)
	})
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@$\\+"

func parseJSON(text []byte) (order, error) {
	var o order
	var name string
	if err := json.Unmarshal(text, &o.json); err != nil {
		return o, fmt.Errorf("an order is no JSON object: %w", err)
	}
	if err := json.Unmarshal(o.json["command"], &name); err != nil || name == "" {
		return o, errors.New("an order in JSON has no command")
	}
	parameters, err := objectOf(o.json["parameters"])
	if err != nil {
		return o, errors.New("an order in JSON has parameters that are no object")
	}
	if err := checkParameters(parameters); err != nil {
		return o, err
	}
	if o.json["parameters"], err = json.Marshal(parameters); err != nil {
		return o, err
	}
	o.name = name
	return o, nil
}

// checkParameters looks at what a program is likely to pass on to a command: the extra arguments, the user and the address.
// It leaves in them what it has looked at, and no second value of the same name.
func checkParameters(parameters map[string]json.RawMessage) error {
	var extra []string
	if p := parameters["extra_args"]; p != nil && json.Unmarshal(p, &extra) != nil || len(extra) > maxArgs {
		return fmt.Errorf("an order in JSON has extra_args that are no list of up to %d texts", maxArgs)
	}
	for i, a := range extra {
		if len(a) > maxArg || !plainArg(a) {
			return fmt.Errorf("extra argument %d, %.40q, is too long or has characters that a shell could take for its own", i+1, a)
		}
	}
	return checkAlert(parameters)
}

// checkAlert looks at the user and the address of an alert. What stands in data has names and values of a log line's making. So names are
// taken as the most lenient program takes them, in capitals or not; and of a name that stands there twice the one that was looked at is left.
func checkAlert(parameters map[string]json.RawMessage) error {
	if parameters["alert"] == nil {
		return nil
	}
	alert, err := objectOf(parameters["alert"])
	if err != nil {
		return errors.New("an order in JSON has an alert that is no object")
	}
	data, err := objectOf(alert["data"])
	if err != nil {
		return errors.New("an order in JSON has an alert with data that are no object")
	}
	for name, value := range data {
		user, address := strings.EqualFold(name, "dstuser"), strings.EqualFold(name, "srcip")
		if !user && !address {
			continue
		}
		var text string // of null it is empty
		switch err := json.Unmarshal(value, &text); {
		case err != nil:
			return fmt.Errorf("%.40q of an order in JSON is no text", name)
		case text == "", text == "-":
		case user && !isUser(text):
			return fmt.Errorf("the user %.40q has characters that no user's name has", text)
		case address && !isAddress(text):
			return fmt.Errorf("the address %.40q is none", text)
		}
	}
	if alert["data"], err = json.Marshal(data); err != nil {
		return err
	}
	parameters["alert"], err = json.Marshal(alert)
	return err
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
