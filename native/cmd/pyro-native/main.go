// Pyro's half on the host: the hand that touches files, the holder that keeps namespaces, and what they start.
package main

import (
	"fmt"
	"os"

	"pyro/native/host/hand"
	"pyro/native/host/hold"
	"pyro/native/host/leash"
	"pyro/native/host/machine"
	"pyro/native/host/tool"
	"pyro/native/wire"
)

var commands = map[string]func(args []string) int{
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
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			os.Exit(command(os.Args[2:]))
		}
	}
	fmt.Fprintln(os.Stderr, "usage: pyro-native hold | hand | keep | leash | tool | version")
	os.Exit(2)
}
