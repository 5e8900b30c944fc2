package agent_test

import (
	"os"
	"testing"

	"pyro/native/guest/guesttest"
)

func TestMain(m *testing.M) {
	guesttest.Dispatch()
	os.Exit(m.Run())
}
