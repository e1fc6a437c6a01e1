//go:build unix

package main

import "os"

// exposed tells whether others than its owner may read or write a file.
func exposed(info os.FileInfo) bool { return info.Mode().Perm()&0o066 != 0 }
