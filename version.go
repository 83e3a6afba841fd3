package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is the version of the source, as the Go tool wrote it into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// build is from what and with what the binary was made, in parentheses.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(" + runtime.Version() + ")"
	}
	return describe(info)
}

func describe(info *debug.BuildInfo) string {
	var commit, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = ", commit " + s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return fmt.Sprintf("(%s %s/%s%s%s)", info.GoVersion, runtime.GOOS, runtime.GOARCH, commit, changed)
}
