package keys

import "os"

// openRidsFile opens a counter file for reading; it follows no link out of the directory.
func openRidsFile(dir, name string) (*os.File, error) { return os.OpenInRoot(dir, name) }
