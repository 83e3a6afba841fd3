package obey

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ossecd/agent/conversation"
	"ossecd/agent/shared"
	"ossecd/keys/testlog"
	"ossecd/proto"
)

// Whatever a manager orders, nothing is written outside of shared/. The messages of one input are separated by a line "--".
func FuzzObey(f *testing.F) {
	for _, v := range []string{
		proto.ForceReconnect, proto.SyscheckNow, "#!-execd artest10 - 10.9.8.7 (from_the_server) (no_rule_id)",
		"#!-some unknown control", "#!-req 1f agent getconfig client", "#!-err {}", "", "\n--\n", "#!-",
		"#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n\n--\nThe quick brown fox jumps over the lazy dog\n--\n#!-close file ",
		"#!-up file 7fc56270e7a70fa81a5935b72eacbe29 ../x\n\n--\nA\n--\n#!-close file ",
		"#!-up file 9d5ed678fe57bcca610140957afab571 one.txt\n\n--\nB\n--\n#!-close file ",
	} {
		f.Add([]byte(v), false)
		f.Add([]byte(v), true)
	}
	root := f.TempDir()
	store, err := shared.Open(filepath.Join(root, "shared"))
	if err != nil {
		f.Fatal(err)
	}
	log := new(testlog.Buffer).Logger()
	both := [2]*Orders{
		New(Config{Dialect: proto.OSSEC, Shared: store, Log: log}),
		New(Config{Dialect: proto.Wazuh, Shared: store, Log: log}),
	}
	count := uint64(0)
	f.Fuzz(func(t *testing.T, in []byte, wazuh bool) {
		o := both[0]
		if wazuh {
			o = both[1]
		}
		for text := range bytes.SplitSeq(in, []byte("\n--\n")) {
			count++
			kind, rest := proto.ParseFromManager(text)
			o.Obey(conversation.Message{Kind: kind, Text: text, Rest: rest, Count: count}, func([]byte) error { return nil })
			if o.files.storing {
				(<-o.Results())()
			}
		}
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.Contains(" shared ", " "+e.Name()+" ") {
				t.Errorf("%q was written", e.Name())
			}
		}
	})
}
