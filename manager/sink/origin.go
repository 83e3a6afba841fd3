package sink

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ossecd/keys/durable"
)

// Origin names one sink of this manager among all managers, as long as it has its state directory.
func (e Env) Origin(name string) (string, error) {
	id, err := managerID(e.State)
	sum := sha256.Sum256([]byte(id + "\x00" + name))
	return base32.StdEncoding.EncodeToString(sum[:10]), err
}

// managerID is a random name that the manager has as long as its state directory.
func managerID(state string) (string, error) {
	path := filepath.Join(state, "manager-id")
	id := rand.Text()
	if err := durable.CreateFile(path, []byte(id+"\n"), 0o644); !errors.Is(err, fs.ErrExist) {
		return id, err
	}
	b, err := os.ReadFile(path)
	if id = strings.TrimSpace(string(b)); err == nil && len(id) != len(rand.Text()) {
		err = errors.New(path + " is not as ossecd made it; remove it to have a new one made")
	}
	return id, err
}
