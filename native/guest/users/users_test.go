package users

import (
	"slices"
	"testing"
)

const (
	passwd = "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\nnohome:x:7:7::rel:/x\nann:x:1000:100:Ann:/home/ann:/bin/sh\nbad:x:-1:0::/:/\n"
	group  = "root:x:0:\nusers:x:100:\ndocker:x:99:bob,ann\nwheel:x:10:ann\nwheel2:x:10:ann\nhuge:x:4294967295:ann\n"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		who      string
		ok       bool
		uid, gid uint32
		groups   []uint32
		home     string
	}{
		{"", true, 0, 0, []uint32{0}, "/root"},
		{"ann", true, 1000, 100, []uint32{100, 99, 10}, "/home/ann"},
		{"1000", true, 1000, 100, []uint32{100, 99, 10}, "/home/ann"},
		{"1000:5", true, 1000, 5, []uint32{5}, "/home/ann"},
		{"4242", true, 4242, 0, []uint32{0}, "/"},
		{"nohome", true, 7, 7, []uint32{7}, "/"},
		{"bad", false, 0, 0, nil, ""},
		{"ann:5", false, 0, 0, nil, ""},
		{"1000:", false, 0, 0, nil, ""},
		{"1000:x", false, 0, 0, nil, ""},
		{"4294967295", false, 0, 0, nil, ""},
		{"-1", false, 0, 0, nil, ""},
		{"# comment", false, 0, 0, nil, ""},
	} {
		u, ok := find(c.who, passwd, group)
		if ok != c.ok {
			t.Errorf("%q: %v %+v", c.who, ok, u)
		} else if ok && (u.UID != c.uid || u.GID != c.gid || !slices.Equal(u.Groups, c.groups) || u.Home != c.home) {
			t.Errorf("%q: %+v", c.who, u)
		}
	}
	if u, ok := find("", "", ""); !ok || u.Home != "/root" || u.Name != "root" {
		t.Errorf("without a passwd: %+v", u)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("ann", passwd, group)
	f.Add("0:0", "root:x:0:0", ":::")
	f.Fuzz(func(t *testing.T, who, passwd, group string) {
		u, ok := find(who, passwd, group)
		if ok && (u.Home == "" || u.Home[0] != '/' || u.UID == 1<<32-1 || u.GID == 1<<32-1 || len(u.Groups) > 1024) {
			t.Errorf("%+v", u)
		}
	})
}
