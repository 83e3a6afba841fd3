package keys

import "os"

// ownAs does nothing: what is made in a directory inherits its access list there.
func ownAs(string, *os.File) error { return nil }
