package setting

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestFlagsFirst(t *testing.T) {
	t.Parallel()
	order := &cli.Command{Name: "order", Flags: []cli.Flag{&cli.StringFlag{Name: "state"}, &cli.BoolFlag{Name: "json"}}}
	manager := &cli.Command{Name: "manager", Flags: []cli.Flag{&cli.StringFlag{Name: "keys"}}, Subcommands: []*cli.Command{order}}
	for _, test := range []struct{ line, want string }{
		{"", ""},
		{"manager order --state S 001 x", "manager order --state S -- 001 x"},
		{"manager order 001 x --state S", "manager order --state S -- 001 x"},
		{"manager order 001 --json x --state=S -", "manager order --json --state=S -- 001 x -"},
		{"manager order 001 x -- --state S", "manager order -- 001 x --state S"},
		{"manager order 001 order --state", "manager order --state"},    // cli says that it lacks its value
		{"manager order 001 --state --json x", "manager order --state"}, // likewise
		{"manager order 001 --state -- x", "manager order --state"},
		{"manager order 001 --state --jsonx x", "manager order --state --jsonx -- 001 x"},
		{"manager order 001 --state=--json", "manager order --state=--json -- 001"},
		{"manager order 001 --state=", "manager order --state= -- 001"},
		{"manager order 001 --json", "manager order --json -- 001"},
		{"manager order 001 --what x", "manager order --what -- 001 x"},
		{"manager --keys order order 001", "manager --keys order order -- 001"},
		{"manager now --keys F", "manager --keys F -- now"},
		{"mangaer order --json", "--json -- mangaer order"},
		{"--help", "--help"},
		{"manager order 001 -h", "manager order -h"},
	} {
		got, _ := FlagsFirst(strings.Fields(test.line), nil, []*cli.Command{manager})
		if !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s: got %q, want %s", test.line, got, test.want)
		}
	}
}
