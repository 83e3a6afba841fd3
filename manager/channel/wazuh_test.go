package channel

import "testing"

func TestReadsJSON(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"v4.14.5": true, "v4.2.0": true, "v5.0": true, "v4.1.5": false, "v3.13.6": false, "v4": false, "": false, "vx.y": false, "4.2": true,
	} {
		if got := readsJSON(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
	for rest, want := range map[string]bool{`{"version":"v4.14.5"}`: true, `{"version":null}`: false, `null`: false, `[]`: false, `{`: false, ``: false, `{"version":7}`: false} {
		if got := startupReadsJSON([]byte(rest)); got != want {
			t.Errorf("%q: %v", rest, got)
		}
	}
}
