package export

import (
	"context"
	"io"
	"net"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/copytree"
	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
	"pyro/native/layer/layertar"
	"pyro/native/layer/stack"
)

// Send writes what lies at path below the open directory root as a tar: a directory as "./" and what is in it, a file or
// a link as one entry. What cannot be exported is announced as a pipe. begin is called when the path was found, before
// the first byte; the errors until then are those of Export.
func Send(ctx context.Context, root int, path string, begin func(kind string), out io.Writer) (*copytree.Totals, error) {
	if err := checkRelative(path); err != nil {
		return nil, err
	}
	from, err := find(root, path)
	if err != nil {
		return nil, err
	}
	defer from.close()
	begin(from.kind)
	options := layertar.PackOptions{Plain: true, Announce: true}
	if from.kind != "directory" {
		return layertar.PackEntry(ctx, from.dir, from.name, out, options)
	}
	dir := from.dir
	if from.name != "" {
		if dir, err = dirfd.ChildDir(from.dir, from.name); err != nil {
			return nil, problem(err, path)
		}
		defer unix.Close(dir)
	}
	return layertar.Pack(ctx, dir, out, options)
}

// StreamSpec is an export of what Send wrote somewhere else, e.g. in a machine. Whoever listens on the socket pours it in.
type StreamSpec struct {
	Socket string `json:"socket"`
	// Path is what was asked for, below the other side's root.
	Path       string      `json:"path"`
	Output     string      `json:"output"`
	Overwrite  bool        `json:"overwrite"`
	Owner      stack.Owner `json:"owner"`
	MaxEntries int64       `json:"max_entries"`
	MaxBytes   int64       `json:"max_bytes"`
	Apart      []string    `json:"apart"`
}

// Receive puts it in its place in one step. The other side is not trusted.
func Receive(ctx context.Context, spec StreamSpec, progress func(any)) (*Result, error) {
	if err := fault.Clean(spec.Socket); err != nil {
		return nil, err
	}
	if err := checkRelative(spec.Path); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	source, err := dialer.DialContext(ctx, "unix", spec.Socket)
	if err != nil {
		return nil, fault.From(err, "connecting to", spec.Socket)
	}
	defer source.Close()
	defer context.AfterFunc(ctx, func() { source.Close() })()
	return place(target{spec.Output, spec.Overwrite, spec.Apart}, func(parent int, temp string) (string, *copytree.Totals, error) {
		return receive(ctx, source, parent, temp, spec, progress)
	})
}

func receive(ctx context.Context, source io.Reader, parent int, temp string, spec StreamSpec, progress func(any)) (string, *copytree.Totals, error) {
	if err := unix.Mkdirat(parent, temp, 0o700); err != nil {
		return "", nil, fault.From(err, "making a directory beside the output", "")
	}
	fd, err := dirfd.ChildDir(parent, temp)
	if err != nil {
		return "", nil, fault.From(err, "opening a directory beside the output", "")
	}
	defer unix.Close(fd)
	taken, err := layertar.Unpack(ctx, source, fd, layertar.UnpackOptions{
		Owner: &spec.Owner, Plain: true, Private: true, MaxEntries: spec.MaxEntries, MaxBytes: spec.MaxBytes,
		Progress: func(files int64, bytes int64) { progress(map[string]int64{"files": files, "bytes": bytes}) },
	})
	if ctx.Err() != nil {
		err = fault.From(ctx.Err(), "", "")
	}
	if err != nil {
		return "", nil, err
	}
	if taken.Rooted {
		return "directory", &taken.Totals, nil
	}
	kind, err := single(parent, temp, fd, taken, spec.Path)
	return kind, &taken.Totals, err
}

// single puts the only entry of the tree in the tree's place.
func single(parent int, temp string, tree int, taken *layertar.Taken, asked string) (string, error) {
	if taken.SkippedCount > 0 {
		return "", fault.New("not_exportable", asked, "%s is no file, directory or link", asked)
	}
	if _, err := unix.Seek(tree, 0, unix.SEEK_SET); err != nil {
		return "", fault.From(err, "reading", temp)
	}
	entries, err := dirfd.List(tree)
	if err != nil {
		return "", fault.From(err, "reading", temp)
	}
	if len(entries) != 1 || taken.Dirs != 0 {
		return "", fault.New("layer_invalid", asked, "the tar of %s is neither one tree nor one file", asked)
	}
	name, kind := entries[0].Name, "file"
	// What was counted may have been replaced since: an entry takes the place of an earlier one.
	st, err := dirfd.Stat(tree, name)
	if err != nil {
		return "", fault.From(err, "looking at", asked)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		kind = "symlink"
		if err := linkStays(tree, name, asked); err != nil {
			return "", err
		}
	}
	out := dirfd.TempName(".pyro-export")
	if err := unix.Renameat(tree, name, parent, out); err != nil {
		return "", fault.From(err, "moving", asked)
	}
	err = dirfd.RemoveAt(parent, temp)
	if err == nil {
		err = unix.Renameat(parent, out, parent, temp)
	}
	if err != nil {
		_ = dirfd.RemoveAt(parent, out)
		return "", fault.From(err, "moving", asked)
	}
	return kind, nil
}

// linkStays looks at the text alone: what the link leads to is on the other side.
func linkStays(tree int, name string, asked string) error {
	text, err := dirfd.ReadLink(tree, name)
	if err != nil {
		return fault.From(err, "reading the link", asked)
	}
	led := path.Join(path.Dir(asked), text)
	if path.IsAbs(text) || led == ".." || strings.HasPrefix(led, "../") {
		return fault.New("link_leaves", asked, "a link on the way to %s leaves the tree", asked)
	}
	return nil
}
