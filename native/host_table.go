package main

import (
	"pyro/native/host/hand"
	"pyro/native/host/hold"
)

func init() {
	commands["hold"] = hold.Main
	commands["hand"] = hand.Main
}
