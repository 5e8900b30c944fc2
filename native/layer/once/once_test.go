package once

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pyro/native/layer/fault"
)

func TestManyMakersMakeOne(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "deep", "thing")
	var makes, made atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			first, err := Make(context.Background(), dest, func(temp string) error {
				makes.Add(1)
				time.Sleep(20 * time.Millisecond)
				return os.WriteFile(temp, []byte("whole"), 0o600)
			})
			if err != nil {
				t.Error(err)
			}
			if first {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if makes.Load() != 1 || made.Load() != 1 {
		t.Fatalf("made %d times, %d say so", makes.Load(), made.Load())
	}
}

func TestAFailedAndAKilledMakerLeaveNothing(t *testing.T) {
	folder := t.TempDir()
	dest := filepath.Join(folder, "thing")
	// As a maker that was killed leaves it.
	if err := os.MkdirAll(filepath.Join(folder, "thing.tmp-0123", "part"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	_, err := Make(context.Background(), dest, func(temp string) error {
		if err := os.Mkdir(temp, 0o700); err != nil {
			t.Fatal(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	entries, _ := os.ReadDir(folder)
	if len(entries) != 1 || entries[0].Name() != ".thing.lock" {
		t.Fatalf("left behind: %v", entries)
	}
}

func TestWaitingEndsWithItsCaller(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "thing")
	started, finish := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := Make(context.Background(), dest, func(temp string) error {
			close(started)
			<-finish
			return os.WriteFile(temp, nil, 0o600)
		})
		done <- err
	}()
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	_, err := Make(ctx, dest, func(string) error { return errors.New("must not run") })
	if !fault.HasCode(err, "cancelled") {
		t.Errorf("got %v", err)
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
