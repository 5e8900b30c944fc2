// Pyro's half in a sandbox: PID 1 and agent, and the supervisor of each job. It is a program apart from the host's half as
// every start of it is waited for: what it does not need costs half a millisecond each time.
package main

import (
	"fmt"
	"os"

	"pyro/native/guest/boot"
	"pyro/native/guest/job"
	"pyro/native/guest/machine"
	"pyro/native/wire"
)

func main() {
	if machine.IsInit() {
		os.Exit(machine.Main(nil))
	}
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "init":
		os.Exit(boot.Main(os.Args[2:]))
	case "job":
		os.Exit(job.Main(os.Args[2:]))
	case "version":
		fmt.Println(wire.BuildID())
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "usage: pyro-guest init | job | version")
	os.Exit(2)
}
