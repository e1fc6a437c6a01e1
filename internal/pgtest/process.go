//go:build unix

package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guard runs the server ($2 and on) under a shell that outlives the test
// process just long enough to clean up after it.
//
// Descriptor 3 is a pipe whose other end only the test process holds: it ends
// when that process does. A line on it says that the directory ($1) is still
// wanted. Descriptor 4 carries the server's process id to us; the server and
// its children then hold it open, so its end means that all of them are gone.
const guard = `
dir=$1; shift
"$@" 3<&- & p=$!
echo $p >&4; exec 4>&-
order=; read -r order <&3
kill -QUIT $p 2>/dev/null; wait $p
[ "$order" = keep ] || rm -rf "$dir"
`

// process is one run of the server over a data directory.
type process struct {
	cmd   *exec.Cmd
	pid   int      // the postmaster; cmd.Process is the shell
	keep  *os.File // write end of descriptor 3
	alive *os.File // read end of descriptor 4
	log   string   // the file with the server's messages
}

// initDir makes a directory for a data directory, socket and log, owned by the
// user the programs will run as. It is not tb.TempDir, whose names can exceed
// the 107 bytes that a socket's path may have.
func initDir(bin, superuser string, opts Options) (_ string, err error) {
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return "", fmt.Errorf("pgtest: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // the first error is the one to tell
		}
	}()
	auth := []string{"--auth=trust"}
	if opts.Password != "" {
		file := filepath.Join(dir, "password")
		if err := os.WriteFile(file, []byte(opts.Password+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("pgtest: %w", err)
		}
		auth = []string{"--auth=scram-sha-256", "--pwfile=" + file}
	}
	if err := giveAway(dir); err != nil {
		return "", err
	}
	return dir, initdb(bin, dir, slices.Concat(auth, []string{"-U", superuser}, opts.Initdb))
}

func initdb(bin, dir string, args []string) error {
	args = append(args, "-D", filepath.Join(dir, "data"), "--no-locale", "--encoding=UTF8", "--no-sync")
	cmd, err := command(dir, filepath.Join(bin, "initdb"), args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	return nil
}

// command prepares a program to run in dir, as a user that PostgreSQL accepts.
func command(dir, name string, args ...string) (*exec.Cmd, error) {
	cred, err := credential()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	// Settings of the developer's own (PGDATA, PGPORT) must not reach the server.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	// A group of its own, so that ^C reaches it through the guard only.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	return cmd, nil
}

// credential returns who runs the server: nil means the user of the test.
func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("pgtest: user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("pgtest: running as root, and there is no user postgres or nobody to run the server as")
}

func giveAway(dir string) error {
	cred, err := credential()
	if err != nil || cred == nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(cred.Uid), int(cred.Gid))
		}
		if err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
		return nil
	})
}

// launch starts the server and returns once it has a process id; it may not
// accept connections yet.
func launch(bin, dir string, settings []string) (_ *process, err error) {
	args := []string{"-c", guard, "pgtest", dir, filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data")}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd, err := command(dir, "/bin/sh", args...)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: filepath.Join(dir, "log")}
	if err := p.start(); err != nil {
		return nil, fmt.Errorf("pgtest: start: %w", err)
	}
	return p, nil
}

func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	keepR, keepW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer keepR.Close()
	aliveR, aliveW, err := os.Pipe()
	if err != nil {
		keepW.Close()
		return err
	}
	defer aliveW.Close()

	p.keep, p.alive = keepW, aliveR
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = []*os.File{keepR, aliveW}
	if err := p.cmd.Start(); err != nil {
		keepW.Close()
		aliveR.Close()
		return err
	}
	if p.pid, err = readPID(aliveR); err != nil {
		return errors.Join(err, p.end(false))
	}
	return nil
}

func readPID(r io.Reader) (int, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// gone waits at most d for the server and all its children to have ended.
func (p *process) gone(d time.Duration) bool {
	if err := p.alive.SetReadDeadline(time.Now().Add(d)); err != nil {
		return true // closed: end was called
	}
	_, err := p.alive.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// signal sends sig to the postmaster and waits until everything has ended.
func (p *process) signal(sig syscall.Signal, patience time.Duration) error {
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("pgtest: signal the server: %w", err)
	}
	if !p.gone(patience) {
		return fmt.Errorf("pgtest: the server did not end within %v of the %v signal\n%s", patience, sig, p.tail())
	}
	return nil
}

func (p *process) interrupt(patience time.Duration) error { return p.signal(syscall.SIGINT, patience) }
func (p *process) kill(patience time.Duration) error      { return p.signal(syscall.SIGKILL, patience) }

// end releases the guard, which ends the server if it still runs and removes
// the directory unless keep is set.
func (p *process) end(keep bool) error {
	var errs []error
	if keep {
		_, err := io.WriteString(p.keep, "keep\n")
		errs = append(errs, err)
	}
	errs = append(errs, p.keep.Close(), p.alive.Close())
	// The shell's own status says only how the server ended.
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tail returns the last of the server's log, for the message of a failed test.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}

// Suspend stops a process until [Resume] wakes it: it neither answers nor hangs up.
func Suspend(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

// Resume wakes a process that [Suspend] has stopped.
func Resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
