package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFolder makes a folder in memory for the databases of tests, where flushing to a disk costs
// nothing; "" where there is none with room enough.
func memoryFolder() string {
	const shm, room = "/dev/shm", 1 << 30
	var fs unix.Statfs_t
	if unix.Statfs(shm, &fs) != nil || uint64(fs.Bsize)*fs.Bavail < room {
		return ""
	}
	dir, err := os.MkdirTemp(shm, "tallystick-testrun-")
	if err != nil {
		return ""
	}
	return dir
}
