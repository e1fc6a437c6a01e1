package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// errExposed says that a file with a secret is not its owner's alone.
var errExposed = errors.New("can be read or changed by others than its owner; make it the service's own and run chmod 600 on it")

// checkPrivate returns errExposed for a file that exists and is not its owner's alone.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // whoever reads it says so
	}
	return private(info)
}

func private(info os.FileInfo) error {
	if exposed(info) {
		return errExposed
	}
	return nil
}

// readPrivate reads a file with a secret. The file that was looked at is the one that is read.
func readPrivate(path string) (text []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err == nil {
		err = private(info)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

// keyFiles are the settings that name a file with a private key, and the files. Those of secrets,
// NAME_FILE, are looked at when they are read.
func (c *config) keyFiles() []namedFile {
	return []namedFile{
		{"MLLP_KEY", c.MLLPKey}, {"SMSP_KEY", c.SMSPKey}, {"PDS_KEY_FILE", c.PDSKeyFile},
		{"PAS_KEY", c.PAS.Key}, {"FORWARD_KEY", c.Forward.Key},
	}
}

// namedFile is a setting and the path that it holds, "" for none.
type namedFile struct{ name, path string }

// private is checkPrivate in the words of the setting.
func (n namedFile) private() error {
	if n.path == "" {
		return nil
	}
	if err := checkPrivate(n.path); err != nil {
		return fmt.Errorf("%s%s: %w", prefix, n.name, err)
	}
	return nil
}

// checkKeyFiles reports private keys that others may read.
func (c *config) checkKeyFiles(f *faults) {
	for _, k := range c.keyFiles() {
		if k.path != "" && checkPrivate(k.path) != nil {
			f.add(k.name, "names a file that "+errExposed.Error())
		}
	}
}
