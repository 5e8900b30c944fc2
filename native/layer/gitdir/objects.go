package gitdir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"pyro/native/layer/fault"
)

// Pack brings in the objects that something in the copy leads to: branches, tags and other references, the stash, the
// index, a merge or a rebase under way. What nothing leads to stays behind, as a commit that was made again without the
// password it had. Objects that the source lacks, as a partial clone does, are left out.
func (c *Copy) Pack(ctx context.Context) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	starts, err := c.starts(within)
	if err != nil {
		return err
	}
	read, write := io.Pipe()
	walked := make(chan error, 1)
	count := 0
	go func() {
		out := bufio.NewWriterSize(write, 64<<10)
		_, err := c.git(within, call{
			args: []string{"rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--ignore-missing", "--all",
				"--reflog", "--indexed-objects", "--stdin"},
			in: strings.NewReader(starts),
			out: func(from io.Reader) error {
				return lines(from, func(line string) error {
					count++
					_, err := out.WriteString(line + "\n")
					return err
				})
			},
		})
		if err == nil {
			err = out.Flush()
		}
		write.CloseWithError(err)
		walked <- err
	}()
	// Nothing to pack is no pack.
	first := make([]byte, 1)
	n, _ := io.ReadFull(read, first)
	var packErr error
	if n > 0 {
		packErr = c.pack(within, io.MultiReader(bytes.NewReader(first), read))
	}
	// A writer must not wait for a reader that has gone.
	read.CloseWithError(io.ErrClosedPipe)
	walkErr := <-walked
	if walkErr != nil && !errors.Is(walkErr, io.ErrClosedPipe) {
		return failed("read the history of", c.src.Top, walkErr)
	}
	return packErr
}

func (c *Copy) pack(ctx context.Context, objects io.Reader) error {
	_, err := c.git(ctx, call{
		// No deltas are looked for; those that are there are taken as they are.
		args: []string{"pack-objects", "-q", "--window=0", "--delta-base-offset", "--missing=allow-any", filepath.Join(c.path, "objects/pack/pack")},
		in:   objects, settings: []string{"pack.compression=1"},
	})
	if err != nil {
		return failed("pack the objects of", c.src.Top, err)
	}
	if !c.Partial {
		return nil
	}
	// What a pack with this mark leads to, and is missing, is promised by the remote.
	packs, err := filepath.Glob(filepath.Join(escape(c.path), "objects/pack/*.pack"))
	for _, pack := range packs {
		if err == nil {
			err = os.WriteFile(strings.TrimSuffix(pack, ".pack")+".promisor", nil, 0o644)
		}
	}
	if err != nil {
		return fault.From(err, "marking the packs of", c.path)
	}
	return nil
}

func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

var objectName = regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{40})\b`)

// starts are the commits and objects that only the files of something under way name. What is not there is left out.
func (c *Copy) starts(ctx context.Context) (string, error) {
	seen := map[string]bool{}
	for _, name := range own {
		if name == "refs" || strings.HasPrefix(name, "info/") {
			continue
		}
		err := filepath.WalkDir(filepath.Join(c.path, name), func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return fault.From(err, "reading", path)
			}
			for _, match := range objectName.FindAll(text, maxPointer) {
				seen[string(match)] = true
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	if len(seen) == 0 {
		return "", nil
	}
	var asked, known strings.Builder
	for name := range seen {
		asked.WriteString(name + "\n")
	}
	_, err := c.git(ctx, call{
		args: []string{"cat-file", "--batch-check=%(objectname) %(objecttype)"}, in: strings.NewReader(asked.String()),
		out: func(from io.Reader) error {
			return lines(from, func(line string) error {
				if name, kind, _ := strings.Cut(line, " "); kind != "missing" && direct.MatchString(name) {
					known.WriteString(name + "\n")
				}
				return nil
			})
		},
	})
	return known.String(), failed("look for objects of", c.src.Top, err)
}
