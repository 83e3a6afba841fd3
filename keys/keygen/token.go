package keygen

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
	"ossecd/keys/marked"
	"ossecd/keys/tokens"
)

const (
	defaultTokens  = "/etc/ossecd/enroll.tokens"
	defaultExpires = 24 * time.Hour
	maxCert        = 1 << 20 // bytes of a file with a certificate
)

// tokenCommand is "ossecd keygen token".
func tokenCommand() *cli.Command {
	tokensFlag := &cli.StringFlag{Name: "tokens", Value: defaultTokens, Usage: "`FILE` with the manager's tokens"}
	jsonFlag := &cli.BoolFlag{Name: "json", Usage: "print JSON instead of text"}
	sub := func(name, argsUsage, usage, description string, run func(*call) error, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: argsUsage, Usage: usage, Description: description,
			Flags:  append(flags, tokensFlag, jsonFlag),
			Action: func(c *cli.Context) error { return start(c, "tokens", argsUsage, run) },
		}
	}
	return &cli.Command{
		Name: "token", Usage: "make, list and revoke tokens, with which agents get their keys by themselves", Description: tokenDescription,
		Subcommands: []*cli.Command{
			sub("add", "", "make a token and print it", tokenAddDescription, tokenAdd,
				&cli.IntFlag{Name: "uses", Value: 1, Usage: "`N` agents may use it; 0 is any number"},
				&cli.DurationFlag{Name: "expires", Value: defaultExpires, Usage: "how `LONG` it is good, as in 1h or 72h; 0 is forever"},
				&cli.StringFlag{Name: "names", Aliases: []string{"name"}, Value: "*", Usage: "`PATTERN` that the names of agents must match, as in web*"},
				&cli.StringFlag{Name: "groups", Usage: "`GROUPS` that its agents are put into, separated by commas, instead of those that they ask for"},
				&cli.StringFlag{Name: "fingerprint", Usage: "`SHA256` of the manager's certificate, to be put into the token, so that agents know the manager; the manager logs it at its start"},
				&cli.StringFlag{Name: "cert", Usage: "`FILE` with the manager's certificate, in place of its fingerprint"}),
			sub("list", "", "list all tokens, without what is secret about them", tokenListDescription, tokenList),
			sub("revoke", "ID", "revoke a token; keys that were given out for it stay good", tokenRevokeDescription, tokenRevoke),
		},
	}
}

// token is a token as JSON.
type token struct {
	ID      string     `json:"id"`
	Uses    *int       `json:"uses"`    // null: any number
	Expires *time.Time `json:"expires"` // null: never
	Names   string     `json:"names"`
	Groups  []string   `json:"groups,omitempty"`
	Token   string     `json:"token,omitempty"` // where it was just made
}

func publicToken(t tokens.Token) token {
	out := token{ID: t.ID(), Names: t.Names}
	out.Groups, _ = keys.ParseGroups(t.Groups)
	if t.Uses != tokens.Unlimited {
		out.Uses = &t.Uses
	}
	if !t.Expires.IsZero() {
		out.Expires = &t.Expires
	}
	return out
}

func tokenAdd(c *call) error {
	uses, expires := c.Int("uses"), c.Duration("expires")
	switch {
	case uses < 0 || uses > tokens.MaxUses:
		return c.wrong("takes --uses 1 to %d, or 0 for any number, and not %d", tokens.MaxUses, uses)
	case expires < 0:
		return c.wrong("takes a time above zero with --expires, or 0 for forever, and not %v", expires)
	}
	if err := tokens.CheckNames(c.String("names")); err != nil {
		return cli.Exit("--names "+err.Error(), exitUsage)
	}
	groups, err := keys.ParseGroups(c.String("groups"))
	if err != nil {
		return cli.Exit("--groups "+err.Error(), exitUsage)
	}
	fingerprint, err := fingerprintOf(c)
	if err != nil {
		return err
	}
	now := time.Now()
	t := tokens.Token{Uses: uses, Names: c.String("names"), Groups: strings.Join(groups, ",")}
	if uses == 0 {
		t.Uses = tokens.Unlimited
	}
	if expires > 0 {
		t.Expires = now.Add(expires)
	}
	var text tokens.Text
	err = tokens.Edit(c.Context.Context, c.path, func(f *tokens.File) error {
		text, t = f.Add(t, fingerprint, now)
		return nil
	})
	if err != nil {
		return err
	}
	c.warnOfMode()
	if fingerprint == "" {
		c.warn("the token does not say which manager it is for: the agent needs --enroll-fingerprint or --enroll-ca too")
	}
	out := publicToken(t)
	out.Token = text.String()
	return c.print(out, text.String())
}

// fingerprintOf is that of the manager's certificate, as the flags give it; empty where they do not.
func fingerprintOf(c *call) (string, error) {
	text, path := c.String("fingerprint"), c.String("cert")
	switch {
	case text != "" && path != "":
		return "", c.wrong("takes either --fingerprint or --cert")
	case text != "":
		f, err := tokens.ParseFingerprint(text)
		if err != nil {
			return "", cli.Exit(fmt.Sprintf("--fingerprint %.100q %v", text, err), exitUsage)
		}
		return f, nil
	case path == "":
		return "", nil
	}
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxCert) {
		err = errors.New("it is not a file of at most 1 MB")
	}
	var der []byte
	if err == nil {
		der, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("--cert: %w; the manager makes its certificate at its first start, as STATE/enroll/cert.pem", err)
	}
	block, _ := pem.Decode(marked.Text(der))
	if block == nil || block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("--cert: %s does not begin with a certificate in PEM; the manager's own is STATE/enroll/cert.pem", path)
	}
	return tokens.Fingerprint(block.Bytes), nil
}

func tokenList(c *call) error {
	f, err := tokens.Load(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; name the file with --tokens, or make one with: ossecd keygen token add", err)
	}
	if err != nil {
		return err
	}
	c.warnOfMode()
	all := []token{}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ID\tUSES\tEXPIRES\tNAMES\tGROUPS")
	now := time.Now()
	for _, t := range f.All() {
		all = append(all, publicToken(t))
		uses, expires := "any", "never"
		if t.Uses != tokens.Unlimited {
			uses = strconv.Itoa(t.Uses)
		}
		if !t.Expires.IsZero() {
			expires = t.Expires.Format(time.RFC3339)
			if !now.Before(t.Expires) {
				expires += " (expired)"
			}
		}
		fmt.Fprintf(w, "\n%s\t%s\t%s\t%s\t%s", t.ID(), uses, expires, t.Names, orNone(t.Groups))
	}
	w.Flush()
	return c.print(all, text.String())
}

func tokenRevoke(c *call) error {
	err := tokens.Edit(c.Context.Context, c.path, func(f *tokens.File) error { return f.Revoke(c.arg) })
	if err != nil {
		return err
	}
	return c.print(map[string]string{"id": c.arg}, "revoked "+c.arg)
}

const tokenDescription = `An agent that shows a token gets a key from the manager by itself. The file of tokens holds only their SHA-256: whoever
reads it cannot enrol. A running manager takes up changes at once.

Examples:
   ossecd manager --enroll-listen :1515 --enroll-tokens /etc/ossecd/enroll.tokens
   ossecd keygen token add --cert /var/lib/ossecd/manager/enroll/cert.pem
   ossecd agent --enroll manager.example.net --enroll-token-file token.txt --manager manager.example.net --file /var/log/syslog`

const tokenAddDescription = `Without flags the token is good for one agent within a day. Stock agents can use it, too, in place of the password
(agent-auth, etc/authd.pass). Adding a token removes expired ones from the file.

Examples:
   ossecd keygen token add --cert /var/lib/ossecd/manager/enroll/cert.pem
   ossecd keygen token add --uses 20 --expires 1h --names 'web*' --groups web,eu --fingerprint 0acf75450131dccc7848dbcd903b9fa8198d67cf8aeeff5bfcf97e915492fcb5`

const tokenListDescription = `Example:
   ossecd keygen token list`

const tokenRevokeDescription = `Example:
   ossecd keygen token revoke 3f2a90c1`
