package agent_test

import (
	"testing"

	"pyro/native/guest/guesttest"
)

// What only a machine has is nothing in a container.
func TestContainersHaveNoDisks(t *testing.T) {
	g := guesttest.Start(t, "")
	for _, c := range [][2]string{
		{"POST", "/v1/identity"}, {"POST", "/v1/workspace"}, {"GET", "/v1/changes?limit=1"}, {"GET", "/v1/tree?path=."},
	} {
		g.Refused(c[0], c[1], "", 404, "not_found")
	}
}
