// Package testprogram writes programs that a test runs. It is for tests alone.
package testprogram

import (
	"os"
	"syscall"
	"testing"
)

// Write makes a program that can be run at once. A process that another test starts meanwhile would inherit the open file until it runs its own
// program, and the system would not run ours ("text file busy"); so none is started while the file is open.
func Write(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
