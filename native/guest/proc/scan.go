// Package proc looks at and ends process trees through /proc.
package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Process is one line of /proc; Born tells two processes with the same number apart.
type Process struct {
	Pid, Parent int
	State       byte
	Born        string
}

func read(pid int) (Process, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, false
	}
	// The name stands in parentheses and may hold anything, parentheses too: count from the last one.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return Process{}, false
	}
	fields := bytes.Fields(data[end+1:])
	if len(fields) < 20 {
		return Process{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return Process{}, false
	}
	return Process{Pid: pid, Parent: parent, State: fields[0][0], Born: string(fields[19])}, true
}

// Below lists the living processes below root, except those below (and including) a pid in but.
func Below(root int, but map[int]bool) []Process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	children := map[int][]Process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := read(pid); ok {
			children[p.Parent] = append(children[p.Parent], p)
		}
	}
	var found []Process
	seen := map[int]bool{root: true}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, p := range children[queue[0]] {
			if but[p.Pid] || seen[p.Pid] {
				continue
			}
			seen[p.Pid] = true
			queue = append(queue, p.Pid)
			if p.State != 'Z' && p.State != 'X' {
				found = append(found, p)
			}
		}
	}
	return found
}
