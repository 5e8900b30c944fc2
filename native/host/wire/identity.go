package wire

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// StartTime is when a process began, in clock ticks since boot: with the pid and the boot id it names a
// process for good. gone is true for a process that is not there or is a zombie.
func StartTime(pid int) (ticks uint64, gone bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, true
	}
	// The name is in parentheses and may hold anything, so count from its end: state is field 3.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return 0, true
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 20 {
		return 0, true
	}
	ticks, _ = strconv.ParseUint(fields[19], 10, 64)
	return ticks, fields[0] == "Z" || fields[0] == "X"
}

// BootID tells boots of the machine apart.
func BootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// IDMap reads uid_map or gid_map of this process.
func IDMap(name string) []IDRange {
	data, _ := os.ReadFile("/proc/self/" + name)
	ranges := []IDRange{}
	for _, line := range strings.Split(string(data), "\n") {
		var one IDRange
		if n, _ := fmt.Sscan(line, &one.Inside, &one.Outside, &one.Size); n == 3 {
			ranges = append(ranges, one)
		}
	}
	return ranges
}

// Mode is "root" when this process has the machine's own ids, "user" inside a mapped range.
func Mode(uidMap []IDRange) string {
	if len(uidMap) == 1 && uidMap[0].Inside == 0 && uidMap[0].Outside == 0 {
		return "root"
	}
	return "user"
}
