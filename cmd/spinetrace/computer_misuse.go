package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// misuseNotice is what a person is told before patients' data are shown (MSCA-IG-03), unless
// NOTICE_FILE says it otherwise.
const misuseNotice = `This system holds confidential data about patients. Use it only if you are
authorised to, and only for the care and the purposes you are authorised for.
Unauthorised access to it, or to any program or data held in it, is an offence
under the Computer Misuse Act 1990. What you look at is recorded.`

// maxNotice is the longest text of NOTICE_FILE: it is to be read.
const maxNotice = 4 * KiB

// notice returns the text of the settings. The error holds nothing of the file's name.
func (c *config) notice() (string, error) {
	if c.NoticeFile == "" {
		return misuseNotice, nil
	}
	text, err := os.ReadFile(c.NoticeFile)
	switch {
	case err != nil:
		return "", errors.New("names a file that cannot be read; write the path of a text that everybody who uses the commands may read")
	case strings.TrimSpace(string(text)) == "" || Size(len(text)) > maxNotice:
		return "", fmt.Errorf("names a file that is empty, or longer than %s; write a text that people read", maxNotice)
	}
	return strings.TrimSpace(string(text)), nil
}

func (c *config) checkNotice(f *faults) {
	if _, err := c.notice(); err != nil {
		f.add("NOTICE_FILE", err.Error())
	}
}

// showNotice tells a person at a terminal of the law, before the command. It goes to standard error
// and only if that is the terminal, so that it is in no pipe, no file, no CSV and no JSON.
func showNotice(c console, args []string) {
	if !c.Person || !commands[args[0]].patients || slices.ContainsFunc(args[1:], asksHelp) {
		return
	}
	cfg, _ := readConfig() // what is wrong with the settings is for the command to say
	text, err := cfg.notice()
	if err != nil {
		text = misuseNotice
	}
	for line := range strings.Lines(text) {
		fmt.Fprintln(c.Err, printable(strings.TrimRight(line, "\r\n")))
	}
	fmt.Fprintln(c.Err)
}
