package gitdir

import (
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.org/a.git":                    "https://example.org/a.git",
		"https://user:pass@example.org/a?token=x#y":    "https://example.org/a",
		"https://ghp_token@example.org:8443/a":         "https://example.org:8443/a",
		"ssh://git@example.org/a":                      "ssh://git@example.org/a",
		"ssh://git:pass@example.org/a":                 "ssh://git@example.org/a",
		"git@example.org:team/a.git":                   "git@example.org:team/a.git",
		"git://example.org/a":                          "git://example.org/a",
		"../other.git":                                 "../other.git",
		"/home/somebody/a":                             "",
		"file:///home/somebody/a":                      "",
		"home/a":                                       "",
		"ext::sh -c evil":                              "",
		"example.org::evil":                            "",
		"-oProxyCommand=evil:x":                        "",
		"ssh://-oProxyCommand=evil/x":                  "",
		"https://exam\nple.org/":                       "",
		"javascript://example.org/":                    "",
		"https:///nowhere":                             "",
		"https://user:p%40ss@example.org/%2e%2e/a%20b": "https://example.org/%2e%2e/a%20b",
	} {
		if got := Address(text); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
}

func TestSift(t *testing.T) {
	listed := strings.Join([]string{
		"core.bare\ntrue", "core.filemode\nfalse", "core.sshcommand\nevil", "core.fsmonitor", "core.autocrlf\ninput",
		"core.worktree\n/etc", "core.hookspath\n/evil", "alias.st\n!evil", "include.path\n/evil", "filter.x.clean\nevil",
		"remote.origin.url\nhttps://a:b@example.org/x", "remote.origin.uploadpack\nevil", "remote.origin.fetch\n+refs/*:refs/*",
		"remote.https://a:b@example.org/x.fetch\n+refs/*:refs/*", "branch.a.b\"c\\.merge\nrefs/heads/a\\b\"\n\tc",
		"branch.main.remote\nhttps://a:b@example.org/x", "branch.main.rebase", "submodule.s.update\n!evil", "submodule.s.active\ntrue",
		"extensions.worktreeconfig\ntrue", "extensions.objectformat\nsha256", "url.https://a:b@x/.insteadof\nhttps://x/",
		"http.extraheader\nevil", "credential.helper\nevil", "user.signingkey\nevil", "user.name\nA", "",
	}, "\x00")
	want := `[core]
	filemode = "false"
	autocrlf = "input"
[remote "origin"]
	url = "https://example.org/x"
	fetch = "+refs/*:refs/*"
[branch "a.b\"c\\"]
	merge = "refs/heads/a\\b\"\n\tc"
[branch "main"]
	rebase
[submodule "s"]
	active = "true"
[extensions]
	objectformat = "sha256"
[user]
	name = "A"
`
	if got := string(render(sift(parse([]byte(listed))))); got != strings.Replace(want, "\tc\"", "\\tc\"", 1) {
		t.Errorf("got:\n%s", got)
	}
}

// What is written is read again by git as it was meant, whatever the names and values are.
func FuzzRender(f *testing.F) {
	f.Add("origin", "url", "a\"b\\c\n\td;#")
	f.Add(`x"]`, "merge", " leading and trailing ")
	f.Fuzz(func(t *testing.T, sub string, _ string, value string) {
		if strings.ContainsAny(sub, "\n\x00") || strings.ContainsAny(value, "\x00\r") || sub == "" {
			return
		}
		one := setting{section: "branch", sub: sub, name: "description", value: value}
		listed, err := git(t.Context(), call{
			args: []string{"config", "--file", "-", "--no-includes", "-z", "--list"}, gitDir: "/dev/null",
			in: strings.NewReader(string(render([]setting{one}))),
		})
		if err != nil {
			t.Fatalf("%q %q: %v", sub, value, err)
		}
		if got := parse(listed); len(value) <= maxValue && len(sub) < maxValue-100 && (len(got) != 1 || got[0] != one) {
			t.Fatalf("%+v became %+v", one, got)
		}
	})
}
