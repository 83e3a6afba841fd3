package setting

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestOldNamesOfFlags(t *testing.T) {
	t.Parallel()
	flags := []cli.Flag{&cli.StringFlag{Name: "enroll-token-file", Aliases: []string{"token-file"}}, &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}}}
	agent := &cli.Command{Name: "agent", Flags: flags}
	for _, test := range []struct {
		line, want string
		renamed    int
	}{
		{"agent --token-file F x", "agent --enroll-token-file F -- x", 1},
		{"agent -token-file=F x", "agent --enroll-token-file=F -- x", 1},
		{"agent --enroll-token-file F -v x", "agent --enroll-token-file F -v -- x", 0},
		{"agent -- --token-file F", "agent -- --token-file F", 0},
	} {
		got, renamed := FlagsFirst(strings.Fields(test.line), nil, []*cli.Command{agent})
		if !slices.Equal(got, strings.Fields(test.want)) || len(renamed) != test.renamed {
			t.Errorf("%s: got %q and %q, want %s and %d warnings", test.line, got, renamed, test.want, test.renamed)
		}
		if len(renamed) > 0 && !strings.HasPrefix(renamed[0], "--token-file is called --enroll-token-file now") {
			t.Errorf("%s: the warning is %q", test.line, renamed[0])
		}
	}
}
