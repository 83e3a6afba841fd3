//go:build unix

package file

import (
	"os"
	"path/filepath"
	"testing"
)

// A link leads only where its maker owns the file, wherever on the path it stands; root's links lead everywhere.
func TestLinksOfOthers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	const user, other = 4711, 4712
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		link, file int
		follows    bool
	}{
		"a user's to root's": {user, 0, false}, "a user's to another's": {user, other, false}, "a user's to his own": {user, user, true}, "root's to a user's": {0, user, true},
	} {
		real := filepath.Join(dir, name+" real")
		must(os.Mkdir(real, 0o755))
		file, link, by := filepath.Join(real, "log"), filepath.Join(dir, name+".log"), filepath.Join(dir, name+" dir")
		must(os.WriteFile(file, []byte("secret\n"), 0o600))
		must(os.Chown(file, tt.file, tt.file))
		for to, at := range map[string]string{file: link, real: by} {
			must(os.Symlink(to, at))
			must(os.Lchown(at, tt.link, tt.link))
		}
		for _, path := range []string{link, filepath.Join(by, "log")} {
			tail, err := openTail(path)
			if tail != nil {
				tail.close()
			}
			if (err == nil) != tt.follows {
				t.Errorf("%s: %s: %v", name, path, err)
			}
		}
	}
	// Root's link that leads over a user's one: who made the last one chose the file.
	over, mine := filepath.Join(dir, "over.log"), filepath.Join(dir, "a user's to root's.log")
	for _, to := range []string{mine, "a user's to root's.log", "a user's to root's dir/log"} {
		must(os.Symlink(to, over))
		tail, err := openTail(over)
		if err == nil {
			tail.close()
			t.Errorf("root's link to %s was followed", to)
		}
		must(os.Remove(over))
	}
}

func TestLinkOfOthersIsNotFollowed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	r := newRig(t, "*.log")
	secret := filepath.Join(t.TempDir(), "secret")
	r.must(os.WriteFile(secret, []byte("root's\n"), 0o600))
	r.must(os.Symlink(secret, r.path("a.log")))
	r.must(os.Lchown(r.path("a.log"), 4711, 4711))
	r.cfg.FromStart = true
	r.append("b.log", "1\n")
	r.start()
	r.log.wait(t, "a symbolic link to a file of another owner")
	r.want("", "1")
	r.must(os.Lchown(r.path("a.log"), 0, 0))
	r.want(r.path("a.log"), "root's")
}
