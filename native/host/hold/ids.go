package hold

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type span struct{ start, count uint64 }

// ranges are the subordinate ids of the user who starts the holder.
type ranges struct{ uids, gids []span }

func findRanges() (ranges, error) {
	uid := strconv.Itoa(os.Getuid())
	name := uid
	if account, err := user.LookupId(uid); err == nil {
		name = account.Username
	} else if os.Getenv("USER") != "" {
		name = os.Getenv("USER")
	}
	var found ranges
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return found, &Problem{"subids_missing", tool + " is not installed", "sudo apt install uidmap"}
		}
	}
	found.uids = readSpans("/etc/subuid", name, uid)
	found.gids = readSpans("/etc/subgid", name, uid)
	if len(found.uids) == 0 || len(found.gids) == 0 {
		return found, &Problem{"subids_missing", "the user " + name + " has no subordinate ids in /etc/subuid and /etc/subgid",
			"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + name}
	}
	return found, nil
}

func readSpans(path string, name string, uid string) []span {
	data, _ := os.ReadFile(path)
	var spans []span
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || (fields[0] != name && fields[0] != uid) {
			continue
		}
		start, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 && len(spans) < 100 {
			spans = append(spans, span{start, count})
		}
	}
	return spans
}

// mapInto gives the new user namespace its ids: 0 is the user, 1 and up are the subordinate ones.
func (r ranges) mapInto(pid int) error {
	for _, one := range []struct {
		tool  string
		own   int
		spans []span
	}{{"newuidmap", os.Getuid(), r.uids}, {"newgidmap", os.Getgid(), r.gids}} {
		args := []string{strconv.Itoa(pid), "0", strconv.Itoa(one.own), "1"}
		inside := uint64(1)
		for _, part := range one.spans {
			args = append(args, fmt.Sprint(inside), fmt.Sprint(part.start), fmt.Sprint(part.count))
			inside += part.count
		}
		output, err := exec.Command(one.tool, args...).CombinedOutput()
		if err != nil {
			return &Problem{"subids_missing", fmt.Sprintf("%s failed: %v: %s", one.tool, err, bytes.TrimSpace(output)),
				"sudo apt install --reinstall uidmap, and see that /etc/subuid and /etc/subgid name ranges that are yours"}
		}
	}
	return nil
}

// waitForIDs runs inside the new user namespace, as nobody, until its ids are mapped; executing itself again
// makes it root there. End of file means that the starter gave up.
func waitForIDs(args []string) int {
	mapped := os.NewFile(4, "mapped")
	var one [1]byte
	if n, _ := mapped.Read(one[:]); n != 1 {
		return 1
	}
	_ = mapped.Close()
	args = append([]string{os.Args[0], "hold"}, args...)
	args[len(args)-1] = "serve"
	err := syscall.Exec("/proc/self/exe", args, os.Environ())
	fmt.Fprintln(os.Stderr, "hold: executing again:", err)
	return 1
}

// namespaceProblem says what to change when the kernel refuses the namespaces.
func namespaceProblem(err error, ordinary bool) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	hint := "run as an ordinary user, or give root the capability CAP_SYS_ADMIN"
	if ordinary {
		hint = userNamespaceHint()
	}
	return &Problem{"userns_denied", "the kernel refuses a new namespace: " + err.Error(), hint}
}

func userNamespaceHint() string {
	for _, knob := range []struct{ file, bad, hint string }{
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"},
		{"user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=15000"},
	} {
		value, err := os.ReadFile("/proc/sys/" + knob.file)
		if err == nil && strings.TrimSpace(string(value)) == knob.bad {
			return knob.hint
		}
	}
	return "allow unprivileged user namespaces on this machine (a container or a security module forbids them)"
}
