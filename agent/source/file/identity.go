package file

import "io/fs"

// identity tells files apart on one machine for as long as they exist; afterwards it may be given to another
// file. On Windows the device is the volume's serial number and the inode the file index.
type identity struct {
	Device uint64
	Inode  uint64
}

// info is what the system says of a file.
type info struct {
	id    identity
	size  int64
	mtime int64 // Unix nanoseconds
	mode  fs.FileMode
}
