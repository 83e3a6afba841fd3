//go:build unix

package socket

func supported() error { return nil }
