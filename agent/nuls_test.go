package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ossecd/agent/source"
	"ossecd/proto"
)

// A stock manager gets blanks for NULs, also in a location, and no line of NULs alone, however long it is; one of ours gets the bytes, also in what is sent first.
func TestNULs(t *testing.T) {
	run := func(text string) []string {
		if !strings.Contains(text, "\n") {
			return acknowledge(text) // a startup is answered alike by both
		}
		return []string{string(proto.AppendAck(nil, &proto.Run{Name: "A"}))}
	}
	const hole = "\x00\x00"
	messages := []string{"a\x00b", hole, "", "\x00c\x00", hole + " [ossecd: line continues]", "[ossecd: line continued] " + hole + " [ossecd: line continues]",
		"[ossecd: line continued] " + hole + "d"}
	for _, spool := range []int64{0, 1 << 20} {
		for name, tt := range map[string]struct {
			answer func(string) []string
			want   []string
		}{"stock": {acknowledge, []string{"a b", "", " c ", "[ossecd: line continued]   d"}}, "ours": {run, messages}} {
			t.Run(fmt.Sprint(name, spool), func(t *testing.T) {
				inRig(t, func(r *rig) { r.cfg.SpoolSize = spool }, func(r *rig, m *fakeManager) {
					var batch []source.Event
					for _, text := range messages {
						batch = append(batch, source.Event{Queue: '1', Location: "l\x00m", Message: []byte(text)})
					}
					m.answerWith(tt.answer)
					m.send(proto.ForceReconnect)
					time.Sleep(time.Second)
					r.feed.batches <- batch
					time.Sleep(20 * time.Second)
					m.send(proto.Removed) // anew, so that the form is not known
					r.feed.batches <- batch
					time.Sleep(time.Minute)
					r.feed.batches <- batch
					time.Sleep(10 * time.Second)
					location := "1:l m:"
					if name == "ours" {
						location = "1:l\x00m:"
					}
					var got []string
					for _, h := range m.take() {
						if text, ok := strings.CutPrefix(h.text, location); ok {
							got = append(got, text)
						}
					}
					if want := slices.Repeat(tt.want, 3); !slices.Equal(got, want) {
						t.Errorf("got %q\nwant %q", got, want)
					}
					if name == "stock" && r.log.Count("lines of NULs only are not sent") == 0 {
						t.Error("no word of what was dropped")
					}
				})
			})
		}
	}
}
