package manager

import (
	"ossecd/keys/setting"
	"path/filepath"
)

// rids, agentInfo, arQueue and analysisQueue are where a stock server has what we read and write in its stead, below its
// install directory. keys and shared files have flags of their own.
const (
	stockKeys          = "etc/client.keys"
	stockShared        = "etc/shared"
	stockRids          = "queue/rids"
	stockAgentInfo     = "queue/agent-info"
	stockARQueue       = "queue/alerts/ar"
	stockAnalysisQueue = "queue/ossec/queue"
)

// inStock is a path below the stock install directory, or "" without one.
func (c *Config) inStock(path string) string {
	if c.OssecHome == "" {
		return ""
	}
	return filepath.Join(c.OssecHome, filepath.FromSlash(path))
}

// stockSink is the table of the sink that a stock layout has besides those of the configuration.
func (c *Config) stockSink() *setting.Table {
	return setting.NewTable("ossec-home", map[string]any{"type": "ossec-queue", "name": "analysis daemon", "path": c.inStock(stockAnalysisQueue)})
}
