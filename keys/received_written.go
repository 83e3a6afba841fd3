//go:build !linux && !darwin && !freebsd

package keys

// mapFile is nil where files are not mapped: slots are then written as they change.
var mapFile mapper
