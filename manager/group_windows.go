package manager

// openToGroup has nothing to do where the directory's access list is that of what is in it.
func openToGroup(string) error { return nil }
