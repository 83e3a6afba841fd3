package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	where := runtime.GOOS + "/" + runtime.GOARCH
	for want, settings := range map[string][]debug.BuildSetting{
		"(go1.26.0 " + where + ")":                                   nil,
		"(go1.26.0 " + where + ", commit 0123456789ab)":              {{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "false"}},
		"(go1.26.0 " + where + ", commit 0123456789ab with changes)": {{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "0123456789abcdef0123"}},
		"(go1.26.0 " + where + ", commit 01)":                        {{Key: "vcs.revision", Value: "01"}},
	} {
		if got := describe(&debug.BuildInfo{GoVersion: "go1.26.0", Settings: settings}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
