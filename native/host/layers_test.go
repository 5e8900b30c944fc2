package host_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// layers are packed, unpacked and made into images with the ids of whoever runs the hand.
func layers(t *testing.T, h *holder, home string) {
	must(t, os.MkdirAll(home, 0o700))
	c := h.hand(t)
	base, size := 1, 65535
	if h.Mode == "root" {
		base, size = 3_000_000, 65536
	}
	ids, owner := object{"base": base, "size": size}, object{"uid": base, "gid": base}
	c.ask("assemble", object{"dest": home + "/layer", "owner": owner, "dirs": []object{{"path": "closed", "mode": 0o700}},
		"files": []object{{"path": "closed/file", "mode": 0o640, "content": "content"}}, "links": []object{{"path": "link", "target": "/etc/passwd"}}}, nil)
	var packed, unpacked, again struct {
		Files  int
		Digest string
	}
	c.ask("pack", object{"source": home + "/layer", "dest": home + "/one.tar", "ids": ids}, &packed)
	bounds := object{"ids": ids, "max_entries": 100, "max_bytes": 1 << 20}
	c.ask("unpack", with(bounds, object{"source": home + "/one.tar", "dest": home + "/moved"}), &unpacked)
	c.ask("pack", object{"source": home + "/moved", "dest": home + "/two.tar", "ids": ids}, &again)
	if packed.Files != 1 || packed.Digest == "" || packed.Digest != unpacked.Digest || packed.Digest != again.Digest {
		t.Fatal(packed, unpacked, again)
	}
	c.refused("pack", object{"source": home + "/layer", "dest": home + "/one.tar", "ids": ids}, "exists")
	c.refused("pack", object{"source": home + "/none", "dest": home + "/x.tar", "ids": ids}, "layer_missing")
	c.refused("unpack", object{"source": home + "/one.tar", "dest": home + "/x", "ids": ids}, "bad_args")
	c.refused("unpack", with(bounds, object{"source": home + "/one.tar", "dest": home + "/moved"}), "exists")
	must(t, os.Truncate(home+"/two.tar", 2048))
	c.refused("unpack", with(bounds, object{"source": home + "/two.tar", "dest": home + "/x"}), "layer_invalid")

	if _, err := exec.LookPath("/usr/bin/mkfs.erofs"); err != nil {
		c.refused("image_seal", object{"source": home + "/layer", "output": home + "/image"}, "tool_missing")
		return
	}
	c.ask("image_create", object{"output": home + "/changes", "size_mib": 1024, "owner": owner}, nil)
	c.ask("image_placeholder", object{"output": home + "/base", "size": 1 << 40, "owner": owner}, nil)
	c.ask("image_seal", object{"source": home + "/moved", "output": home + "/base", "ids": ids, "keep_size": true, "owner": owner}, nil)
	c.ask("image_seal", object{"source": home + "/moved", "output": home + "/image", "ids": ids, "owner": owner}, nil)
	var used struct{ Allocated, Length int64 }
	c.ask("image_usage", object{"path": home + "/base"}, &used)
	if used.Allocated == 0 || used.Allocated > 1<<20 || used.Length != 1<<40 {
		t.Fatal(used)
	}
	for _, name := range []string{"changes", "base", "image"} {
		var st unix.Stat_t
		must(t, unix.Lstat(home+"/"+name, &st))
		if outside := uint32(base); h.Mode == "root" && st.Uid != outside || st.Uid == uint32(os.Geteuid()) {
			t.Fatalf("%s belongs to %d", name, st.Uid)
		}
	}
	// Read by the tool's own reader, as the id that the file belongs to may be out of this test's reach.
	c.ask("image_seal", object{"source": home + "/moved", "output": home + "/mine", "ids": ids, "owner": object{"uid": 0, "gid": 0}}, nil)
	said, err := exec.Command("dump.erofs", "--path=/closed/file", home+"/mine").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "Uid: 0") || !strings.Contains(string(said), "Gid: 0") || !strings.Contains(string(said), "rw-r-----") {
		t.Fatalf("%v %s", err, said)
	}
	for _, name := range []string{"layer", "moved", "one.tar", "two.tar", "changes", "base", "image", "mine"} {
		c.ask("remove", object{"path": home + "/" + name}, nil)
	}
	if left, _ := os.ReadDir(home); len(left) != 0 {
		t.Fatal(left)
	}
}

func TestLayersAsRoot(t *testing.T) {
	h := rootHolder(t)
	layers(t, h, h.home+"/layers")
}
