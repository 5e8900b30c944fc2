package layer_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"pyro/native/layer/seed"
	"pyro/native/layer/stack"
)

func gzipped(t *testing.T, data []byte) []byte {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, err := writer.Write(data)
	must(t, err)
	must(t, writer.Close())
	return out.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	writer, err := zstd.NewWriter(nil)
	must(t, err)
	return writer.EncodeAll(data, nil)
}

// seedOf seeds from a file with this content, in a directory of its own.
func seedOf(t *testing.T, dir string, data []byte, spec seed.Spec) (*seed.Result, error) {
	t.Helper()
	spec.Source, spec.Dest = filepath.Join(dir, "archive"), filepath.Join(dir, "dest")
	must(t, os.WriteFile(spec.Source, data, 0o644))
	if spec.MaxEntries == 0 {
		spec.MaxEntries, spec.MaxBytes = 10_000, 1<<30
	}
	return seed.Seed(background, spec, silent)
}

// filled is a tree with much of what a tar can hold; what it is packed with is a real tar.
func filled(t *testing.T, dir string) string {
	src := filepath.Join(dir, "src")
	write(t, src+"/a/b/file", "content")
	write(t, src+"/big", strings.Repeat("x", 300_000))
	write(t, src+"/a/.wh.gone", "no mark")
	write(t, src+"/a/.wh..wh..opq", "")
	must(t, os.Link(src+"/big", src+"/a/other-name"))
	must(t, os.Symlink("../big", src+"/a/link"))
	must(t, os.Symlink("b/../../big", src+"/a/around"))
	must(t, unix.Mkfifo(src+"/fifo", 0o600))
	write(t, src+"/"+strings.Repeat("long-", 40)+"/"+strings.Repeat("é", 120), "long")
	write(t, src+"/odd\nname\xff", "odd")
	file, err := os.Create(src + "/sparse")
	must(t, err)
	_, err = file.WriteAt([]byte("end"), 8<<20)
	must(t, err)
	must(t, file.Close())
	must(t, unix.Setxattr(src+"/big", "user.overlay.whiteout", []byte("y"), 0))
	must(t, unix.Setxattr(src+"/a/b", "user.overlay.opaque", []byte("y"), 0))
	must(t, os.Chmod(src+"/a/b/file", 0o755|os.ModeSetuid))
	must(t, os.Chmod(src+"/a/b", 0o500))
	must(t, os.Chmod(src+"/a", 0o711|os.ModeSetgid))
	when := unix.NsecToTimespec(1_500_000_000_123_456_789)
	for _, name := range []string{"/big", "/a/b", "/a"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, src+name, []unix.Timespec{when, when}, 0))
	}
	return src
}

func TestSeedArchives(t *testing.T) {
	for _, form := range []string{"ustar -H pax", "gnu -H gnu --sparse", "pax -H pax --sparse --xattrs"} {
		name, flags, _ := strings.Cut(form, " ")
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, dir string) { takesWhatTarMade(t, dir, strings.Fields(flags)) })
		})
	}
}

func takesWhatTarMade(t *testing.T, dir string, flags []string) {
	src := filled(t, dir)
	data, err := exec.Command("tar", append(flags, "-C", src, "-c", ".")...).Output()
	must(t, err)
	for kind, packed := range map[string][]byte{"tar": data, "gz": gzipped(t, data), "zst": zstandard(t, data)} {
		result, err := seedOf(t, dir, packed, seed.Spec{Owner: stack.Owner{UID: 1000, GID: 1001}})
		must(t, err)
		if result.Kind != "archive" || result.Files != 8 || result.Dirs != 3 || result.Links != 2 || result.SkippedCount != 1 || result.Skipped[0].Path != "fifo" {
			t.Fatalf("%s: %+v", kind, result)
		}
		dest := dir + "/dest"
		// Everything but what is left out on purpose is as it was.
		for _, path := range []string{src, dest} {
			must(t, exec.Command("sh", "-c", `cd "$1"; rm -f fifo; chmod u-s a/b/file; chmod g-s a; touch -d @0 .; chmod 755 .`, "sh", path).Run())
		}
		list := `cd "$1"; find . -printf '%p %y %m %s %l %n ' -exec stat -c %y '{}' ';' | sort; find . -type f -exec cat '{}' '+' | wc -c`
		if flags[1] == "gnu" {
			list = strings.Replace(list, "%y ' -exec stat -c %y '{}' ';'", "'", 1) // Its times are whole seconds.
			list = strings.Replace(list, "-exec stat -c %y '{}' ';'", "-exec stat -c %Y '{}' ';'", 1)
		}
		if one, two := shell(t, list, src), shell(t, list, dest); one != two {
			t.Fatalf("%s:\n%s\n%s", kind, one, two)
		}
		if strays := shell(t, `cd "$1"; find . ! -uid 1000 -o ! -gid 1001 -o -perm /6000`, dest); strays != "" {
			t.Fatal(strays)
		}
		must(t, filepath.WalkDir(dest, func(path string, _ os.DirEntry, err error) error {
			must(t, err)
			if n, _ := unix.Llistxattr(path, nil); n > 0 {
				t.Fatalf("%s has attributes", path)
			}
			return nil
		}))
		if blocks := shell(t, `stat -c %b "$1/sparse"`, dest); len(blocks) > 4 {
			t.Fatalf("not sparse: %s blocks", blocks)
		}
		must(t, os.RemoveAll(dest))
	}
}

func shell(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...).Output()
	must(t, err)
	return string(out)
}

func TestSeedHostileArchives(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	write(t, dir+"/victim", "safe")
	link := func(name string, to string) entry { return entry{kind: tar.TypeSymlink, name: name, link: to} }
	for name, one := range map[string][]entry{
		"up":                {{name: "../victim"}},
		"up inside":         {{name: "a/../../victim"}},
		"absolute":          {{name: "/tmp/x"}},
		"link up":           {link("a", "../victim")},
		"link absolute":     {link("a", "/etc/passwd")},
		"link beside":       {link("a", "/workspaces/x")},
		"link round":        {link("d/e/s", "../.."), link("l", "d/e/s/../victim")},
		"link up in down":   {link("a", "b/../../victim")},
		"through a link":    {{kind: tar.TypeDir, name: "b/"}, link("a", "b"), {name: "a/victim"}},
		"through a file":    {{name: "a"}, {name: "a/b"}},
		"twice":             {{name: "a", content: "1"}, {name: "a", content: "2"}},
		"twice, clean":      {{name: "a"}, {name: "./a"}},
		"twice as a link":   {{name: "a"}, link("a", "b")},
		"link, then file":   {link("a", "b"), {name: "a"}},
		"file, then dir":    {{name: "a"}, {kind: tar.TypeDir, name: "a/"}},
		"dir, then file":    {{kind: tar.TypeDir, name: "a/"}, {name: "a"}},
		"dir, then link":    {{kind: tar.TypeDir, name: "a/"}, link("a", "b")},
		"character device":  {{kind: tar.TypeChar, name: "null"}},
		"block device":      {{kind: tar.TypeBlock, name: "sda"}},
		"whiteout device":   {{kind: tar.TypeChar, name: "gone"}},
		"hard up":           {{kind: tar.TypeLink, name: "x", link: "../victim"}},
		"hard absolute":     {{kind: tar.TypeLink, name: "x", link: dir + "/victim"}},
		"hard to a link":    {link("a", "b"), {kind: tar.TypeLink, name: "x", link: "a"}},
		"hard by a link":    {link("a", "."), {kind: tar.TypeLink, name: "x", link: "a/x"}},
		"hard to nothing":   {{kind: tar.TypeLink, name: "x", link: "y"}},
		"hard to a dir":     {{kind: tar.TypeDir, name: "d/"}, {kind: tar.TypeLink, name: "x", link: "d"}},
		"hard to itself":    {{name: "a"}, {kind: tar.TypeLink, name: "a", link: "a"}},
		"deep":              {{name: strings.Repeat("a/", 1200) + "x"}},
		"long name":         {{name: strings.Repeat("n", 256)}},
		"long path":         {{name: strings.Repeat(strings.Repeat("n", 250)+"/", 17) + "x"}},
		"root as a file":    {{name: "."}},
		"root as a link":    {link("./", "a")},
		"empty link":        {link("a", "")},
		"endless link":      {link("a", strings.Repeat("a", 5000))},
		"kind of no seed":   {{kind: 'D', name: "x"}},
		"after many others": {{name: "1"}, {name: "2"}, {name: "3"}, {name: "../4"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := makeTar(t, one...)
			for _, packed := range [][]byte{data, gzipped(t, data), zstandard(t, data)} {
				_, err := seedOf(t, dir, packed, seed.Spec{})
				wantCode(t, err, "seed_invalid")
				wantNone(t, dir, "archive", "victim")
			}
		})
	}
	if read(t, dir+"/victim") != "safe" {
		t.Fatal("something outside the tree was written")
	}
}

func TestSeedDamagedArchives(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	whole := makeTar(t, entry{name: "a", content: strings.Repeat("x", 4096)}, entry{name: "b", content: "b"})
	long := append(append([]byte{}, whole...), make([]byte, 1<<20+1)...)
	refused := func(name string, data []byte, code string, spec seed.Spec) {
		t.Helper()
		if _, err := seedOf(t, dir, data, spec); err == nil {
			t.Fatalf("%s was taken", name)
		} else {
			wantCode(t, err, code)
		}
		wantNone(t, dir, "archive")
	}
	for _, end := range []int{512, 1000, 512 + 4096, len(whole) - 1024, len(whole) - 512} {
		refused("cut", whole[:end], "seed_invalid", seed.Spec{})
		refused("cut", gzipped(t, whole[:end]), "seed_invalid", seed.Spec{})
	}
	squeezed := gzipped(t, whole)
	refused("cut gzip", squeezed[:len(squeezed)-9], "seed_invalid", seed.Spec{})
	refused("gzip with more behind", append(squeezed, "more"...), "seed_invalid", seed.Spec{})
	pressed := zstandard(t, whole)
	refused("cut zstd", pressed[:len(pressed)-3], "seed_invalid", seed.Spec{})
	refused("zstd with more behind", append(pressed, "more"...), "seed_invalid", seed.Spec{})
	flipped := append([]byte{}, pressed...)
	flipped[len(flipped)-2] ^= 0xff
	refused("wrong checksum", flipped, "seed_invalid", seed.Spec{})
	refused("two tars", append(append([]byte{}, whole...), whole...), "seed_invalid", seed.Spec{})
	refused("text behind", append(append([]byte{}, whole...), "more"...), "seed_invalid", seed.Spec{})
	refused("too much behind", long, "seed_invalid", seed.Spec{})
	for _, size := range []string{"77777777777", "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		lying := append([]byte{}, whole...)
		copy(lying[124:136], size)
		checksum(lying[:512])
		if _, err := seedOf(t, dir, lying, seed.Spec{}); err == nil {
			t.Fatal("a lying size was taken")
		}
		wantNone(t, dir, "archive")
	}
	few := seed.Spec{MaxEntries: 1, MaxBytes: 1 << 20}
	refused("many", whole, "seed_too_large", few)
	refused("large", whole, "seed_too_large", seed.Spec{MaxEntries: 9, MaxBytes: 4096})
	bomb := makeTar(t, entry{name: "a", content: strings.Repeat("\x00", 64<<20)})
	for _, packed := range [][]byte{gzipped(t, bomb), zstandard(t, bomb)} {
		refused("bomb", packed, "seed_too_large", seed.Spec{MaxEntries: 9, MaxBytes: 1 << 20})
	}
	refused("bomb behind the trailer", zstandard(t, append(append([]byte{}, whole...), make([]byte, 64<<20)...)), "seed_invalid", seed.Spec{})
	for _, data := range []string{"", "text\n", "PK\x03\x04zip", "BZh91AY", "\xfd7zXZ\x00"} {
		refused("no archive", []byte(data), "seed_unsupported", seed.Spec{})
	}
	refused("no tar inside", gzipped(t, []byte("text")), "seed_unsupported", seed.Spec{})
	refused("no tar inside", zstandard(t, bytes.Repeat([]byte("text"), 1000)), "seed_unsupported", seed.Spec{})
	refused("gzip of nothing", gzipped(t, nil), "seed_unsupported", seed.Spec{})
	empty, err := seedOf(t, dir, make([]byte, 10240), seed.Spec{})
	must(t, err)
	if empty.Files != 0 || empty.Kind != "archive" {
		t.Fatalf("%+v", empty)
	}
}

// checksum writes that of a header block.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, one := range block {
		sum += int(one)
	}
	for at := 153; at >= 148; at-- {
		block[at] = byte('0' + sum&7)
		sum >>= 3
	}
	block[154], block[155] = 0, ' '
}

func TestSeedArchiveThatChanges(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	var entries []entry
	for range 400 {
		entries = append(entries, entry{name: strings.Repeat("n", len(entries)%200+1) + time.Now().Format("150405.000000000"), content: strings.Repeat("x", 200_000)})
	}
	must(t, os.WriteFile(dir+"/archive", makeTar(t, entries...), 0o644))
	touched := false
	_, err := seed.Seed(background, seed.Spec{Source: dir + "/archive", Dest: dir + "/dest", MaxEntries: 1000, MaxBytes: 1 << 30}, func(any) {
		if !touched {
			must(t, os.WriteFile(dir+"/archive", []byte("other"), 0o644))
			touched = true
		}
	})
	wantCode(t, err, "seed_changed")
	wantNone(t, dir, "archive")
	cancelled, cancel := context.WithCancel(background)
	must(t, os.WriteFile(dir+"/archive", makeTar(t, entries...), 0o644))
	_, err = seed.Seed(cancelled, seed.Spec{Source: dir + "/archive", Dest: dir + "/dest", MaxEntries: 1000, MaxBytes: 1 << 30}, func(any) { cancel() })
	wantCode(t, err, "cancelled")
	wantNone(t, dir, "archive")
}
