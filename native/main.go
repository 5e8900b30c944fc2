// Pyro's native half: one static program that is PID 1 and agent in a sandbox, and on the host the hand that touches files.
package main

import (
	"fmt"
	"os"

	"pyro/native/guest/boot"
	"pyro/native/guest/job"
	guest "pyro/native/guest/machine"
	"pyro/native/host/hand"
	"pyro/native/host/hold"
	"pyro/native/host/leash"
	"pyro/native/host/machine"
	"pyro/native/host/tool"
	"pyro/native/wire"
)

var commands = map[string]func(args []string) int{
	"init":    boot.Main,
	"job":     job.Main,
	"hold":    hold.Main,
	"hand":    hand.Main,
	"keep":    machine.Keep,
	"leash":   leash.Main,
	"tool":    tool.Main,
	"version": version,
}

func version([]string) int {
	fmt.Println(wire.BuildID())
	return 0
}

func main() {
	if guest.IsInit() {
		os.Exit(guest.Main(nil))
	}
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			os.Exit(command(os.Args[2:]))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: pyro-native init | job | hold | hand | keep | leash | tool | version")
	os.Exit(2)
}
