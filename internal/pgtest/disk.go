//go:build linux

package pgtest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a small file system in memory, for a server that is to run out of room.
type Disk struct{ mount, dir string }

// NewDisk mounts a file system of so many bytes, which goes with tb. It must be made before the
// server that uses it. Where mounting is not permitted tb is skipped, and says so.
func NewDisk(tb testing.TB, size int64) *Disk {
	tb.Helper()
	mount, err := os.MkdirTemp("", "pgdisk")
	if err != nil {
		tb.Fatal(err)
	}
	d := &Disk{mount: mount, dir: filepath.Join(mount, "files")}
	err = unix.Mount("pgtest", mount, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, fmt.Sprintf("size=%d,mode=0711", size))
	mounted := err == nil
	tb.Cleanup(func() {
		if mounted {
			if err := unix.Unmount(mount, 0); err != nil {
				tb.Errorf("pgtest: unmount: %v", err)
				return // what is in it is not ours to remove one by one
			}
		}
		if err := os.Remove(mount); err != nil {
			tb.Error(err)
		}
	})
	if errors.Is(err, unix.EPERM) {
		tb.Skip("pgtest: SKIPPED: a small file system cannot be mounted here: run as root, in a container with CAP_SYS_ADMIN")
	}
	if err == nil {
		err = os.Mkdir(d.dir, 0o700)
	}
	if err == nil {
		err = giveAway(d.dir)
	}
	if err != nil {
		tb.Fatalf("pgtest: mount: %v", err)
	}
	return d
}

// Dir returns a folder on the disk that belongs to the server's user.
func (d *Disk) Dir() string { return d.dir }

func (d *Disk) ballast() string { return filepath.Join(d.mount, "ballast") }

// Fill takes all room but so many bytes, also what was given back since it was called before.
func (d *Disk) Fill(tb testing.TB, leave int64) {
	tb.Helper()
	var at unix.Statfs_t
	if err := unix.Statfs(d.mount, &at); err != nil {
		tb.Fatal(err)
	}
	room := int64(at.Bavail)*at.Bsize - leave
	if room <= 0 {
		return
	}
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, size, room)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // the server was quicker, and the disk is full
		tb.Fatalf("pgtest: fill: %v", err)
	}
}

// Free gives back what Fill took.
func (d *Disk) Free(tb testing.TB) {
	tb.Helper()
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
}
