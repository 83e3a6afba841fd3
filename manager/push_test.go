package manager

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/setting/settingtest"
	"ossecd/proto"
)

// sharedRig is a manager in a bubble with shared files for all, and others for db*.
func sharedRig(t *testing.T, f func(r *rig, all, dbs string)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, anyLine, fixedLine)
		all, dbs := t.TempDir(), t.TempDir()
		r.cfg.Shared, r.cfg.Groups = all, settingtest.Tables(t, "group", fmt.Sprintf(`{"name":"dbs","agents":["db*"],"shared":%q}`, dbs))
		writeShared(t, all, "b.conf", strings.Repeat("x", 897)+"#!-up file\n"+strings.Repeat("0123456789", 200))
		writeShared(t, all, "a.txt", "")
		writeShared(t, all, ".hidden", "no")
		writeShared(t, all, proto.MergedName, "no")
		writeShared(t, dbs, "db.conf", "for databases\n")
		r.start()
		f(r, all, dbs)
		r.end()
	})
}

func writeShared(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reports sends a keepalive that tells the sum of the merged file, and takes the answer.
func (p *peer) reports(sum string) {
	p.r.t.Helper()
	p.send(string(proto.AppendKeepalive(nil, &proto.Keepalive{Uname: "Linux", Program: "OSSEC HIDS v4", Files: []proto.FileSum{{Name: proto.MergedName, Sum: sum}}})))
	if got := p.answer(); got != proto.Ack {
		p.r.t.Fatalf("got %.80q, want an ack", got)
	}
}

// pushed takes a whole push, and returns the file and its sum; nil where none comes within a second.
func (p *peer) pushed() (data []byte, sum string) {
	p.r.t.Helper()
	first := p.answer()
	if first == "" {
		return nil, ""
	}
	kind, rest := proto.ParseFromManager([]byte(first))
	sum, name, err := proto.ParseUpFile(rest)
	if kind != proto.ManagerUpFile || err != nil || name != proto.MergedName {
		p.r.t.Fatalf("got %.80q, want the beginning of a push", first)
	}
	data = []byte{}
	for {
		text := p.answer()
		switch kind, rest := proto.ParseFromManager([]byte(text)); {
		case text == proto.CloseFile:
			if s := md5.Sum(data); hex.EncodeToString(s[:]) != sum {
				p.r.t.Errorf("the pushed file has not the sum %s", sum)
			}
			return data, sum
		case kind == proto.ManagerChunk && len(rest) > 0 && len(rest) <= 900:
			data = append(data, rest...)
		default:
			p.r.t.Fatalf("got %.80q in a push", text)
		}
	}
}

func TestPush(t *testing.T) {
	sharedRig(t, func(r *rig, all, dbs string) {
		p := r.dial(anyLine, "198.51.100.9", proto.AES, proto.OSSEC, 100)
		p.hello()
		p.reports("")
		got, sum := p.pushed()
		want := "!0 a.txt\n!2908 b.conf\n" + strings.Repeat("x", 897) + "#!-up file\n" + strings.Repeat("0123456789", 200)
		if string(got) != want {
			t.Errorf("got %q", got)
		}
		p.reports(sum)
		if got, _ := p.pushed(); got != nil {
			t.Errorf("who has it was pushed %q", got)
		}
		db := r.dial(fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC, 100)
		db.hello()
		db.reports(sum)
		if got, _ := db.pushed(); string(got) != "!14 db.conf\nfor databases\n" {
			t.Errorf("the group got %q", got)
		}

		// A change reaches those of the group without their asking, and no others.
		writeShared(t, all, "c.txt", "new")
		time.Sleep(3 * sharedEvery)
		if got, _ := p.pushed(); !bytes.HasSuffix(got, []byte("!3 c.txt\nnew")) {
			t.Errorf("after the change: %q", got)
		}
		if got, _ := db.pushed(); got != nil {
			t.Errorf("the other group got %q", got)
		}

		// What was lost on the way is pushed again, but not before the agent could have stored it.
		p.reports("")
		if got, _ := p.pushed(); got != nil {
			t.Error("pushed again at once")
		}
		time.Sleep(pushAgain)
		p.reports("")
		if got, _ := p.pushed(); got == nil {
			t.Error("not pushed again")
		}

		// A directory that is gone leaves things as they are.
		if err := os.RemoveAll(all); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pushAgain)
		p.reports("")
		if got, _ := p.pushed(); got == nil {
			t.Error("nothing pushed once the directory was gone")
		}
	})
}

// TestPushDisturbed restarts the agent in the middle of a push.
func TestPushDisturbed(t *testing.T) {
	sharedRig(t, func(r *rig, all, _ string) {
		writeShared(t, all, "big", strings.Repeat("0123456789", 10_000))
		time.Sleep(3 * sharedEvery)
		p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
		p.hello()
		p.reports("")
		for range 10 {
			if p.answer() == "" {
				t.Fatal("no push")
			}
		}
		p.send(proto.Startup)
		acks := 0
		for text := p.answer(); text != ""; text = p.answer() {
			if text == proto.CloseFile {
				t.Error("the push went on")
			}
			if text == proto.Ack {
				acks++
			}
		}
		if acks != 1 {
			t.Errorf("%d answers to the startup", acks)
		}
		p.reports("")
		if got, _ := p.pushed(); len(got) < 100_000 {
			t.Errorf("got %d bytes anew", len(got))
		}
	})
}

// A push ends with the key under which it began: who has an old one must not read on.
func TestPushEndsWithItsKey(t *testing.T) {
	for name, line := range map[string]string{
		"removed":     "002 #*#*#",
		"another key": "002 db01 192.0.2.7 2f3d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb",
	} {
		t.Run(name, func(t *testing.T) {
			sharedRig(t, func(r *rig, _, dbs string) {
				writeShared(t, dbs, "big.conf", strings.Repeat("0123456789", 200_000)) // for eleven seconds
				time.Sleep(3 * sharedEvery)
				db := r.dial(fixedLine, "192.0.2.7", proto.Blowfish, proto.OSSEC, 100)
				db.hello()
				db.reports("")
				began := time.Now()
				for changed, text := false, db.answer(); text != "" && text != proto.Removed; text = db.answer() {
					if time.Since(began) > time.Second && !changed {
						r.writeKeys(anyLine, line)
						changed = true
					}
					if text == proto.CloseFile {
						t.Error("the push went on to its end")
					}
				}
				if took := time.Since(began); took < time.Second || took > 5*time.Second {
					t.Errorf("the push ended after %v", took)
				}
			})
		})
	}
}
