package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"ossecd/agent/source"
)

// Where a stock agent has what we read and write in its stead, below its install directory.
const (
	stockKeys      = "etc/client.keys"
	stockShared    = "etc/shared"
	stockRids      = "queue/rids"
	stockQueue     = "queue/ossec/queue"
	stockExecd     = "queue/alerts/execq"
	stockResponses = "active-response/bin"
)

// keysPath is where the agent's key is.
func keysPath(c *cli.Context) string {
	if home := c.String("ossec-home"); home != "" && !c.IsSet("keys") {
		return filepath.Join(home, filepath.FromSlash(stockKeys))
	}
	return c.String("keys")
}

// inStock is a path below the stock install directory, or "" without one.
func (c *Config) inStock(path string) string {
	if c.OssecHome == "" {
		return ""
	}
	return filepath.Join(c.OssecHome, filepath.FromSlash(path))
}

// ridsDir holds the stock counter files.
func (c *Config) ridsDir() string {
	if c.OssecHome != "" {
		return c.inStock(stockRids)
	}
	return filepath.Join(c.State, "rids")
}

// sharedDir holds what the first manager pushes.
func (c *Config) sharedDir() string {
	if c.OssecHome != "" {
		return c.inStock(stockShared)
	}
	return filepath.Join(c.State, "shared")
}

// checkStock says what a stock layout lacks.
func (c *Config) checkStock() error {
	if c.OssecHome == "" {
		return nil
	}
	for _, path := range []string{stockRids, filepath.Dir(stockQueue), stockShared} {
		path = c.inStock(path)
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", path)
		}
		if err != nil {
			return fmt.Errorf("ossec-home: %w; is %s the directory of a stock agent, and may this user enter it?", err, c.OssecHome)
		}
	}
	return nil
}

// stockRoots are the directories of the stock installs whose local queue is one of our sources.
func (c *Config) stockRoots() (roots []string) {
	if c.OssecHome != "" {
		roots = append(roots, c.OssecHome)
	}
	for _, stands := range c.Tables {
		t := source.NewTable(stands)
		if t.Type() != source.OssecQueue {
			continue
		}
		path := filepath.ToSlash(t.Text("path"))
		for _, place := range []string{"/queue/ossec/queue", "/queue/sockets/queue"} {
			if root, ok := strings.CutSuffix(path, place); ok {
				roots = append(roots, filepath.FromSlash(root))
			}
		}
	}
	return roots
}
