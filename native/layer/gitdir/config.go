package gitdir

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"pyro/native/layer/dirfd"
	"pyro/native/layer/fault"
)

// setting is one line of a configuration: section and name in lower case, subsection as it is.
type setting struct {
	section, sub, name string
	value              string
	// bare: the name stands alone, which means true.
	bare bool
}

const (
	maxConfig = 4 << 20
	maxValue  = 8 << 10
)

// kept are the settings that describe a repository, what its files mean, or how its user likes git to work, and that
// name no program, no path and no secret. Everything else stays outside.
var kept = map[string]*regexp.Regexp{
	"core": names("repositoryformatversion|filemode|symlinks|ignorecase|precomposeunicode|autocrlf|eol|safecrlf|" +
		"whitespace|sparsecheckout|sparsecheckoutcone|quotepath|abbrev|logallrefupdates|protecthfs|protectntfs|" +
		"commentchar|bigfilethreshold|checkroundtripencoding"),
	"extensions": names(".*"),
	"user":       names("name|email"),
	"author":     names("name|email"),
	"committer":  names("name|email"),
	"branch":     names("remote|merge|rebase|pushremote|description|autosetupmerge|autosetuprebase|sort"),
	"remote": names("url|pushurl|fetch|push|tagopt|promisor|partialclonefilter|prune|prunetags|mirror|skipdefaultupdate|" +
		"skipfetchall|pushdefault"),
	"submodule": names("url|active|branch|ignore|update|fetchrecursesubmodules|recurse"),
	"status":    names("showuntrackedfiles|relativepaths|renames|renamelimit|submodulesummary|branch|short|showstash|aheadbehind"),
	"diff":      names("renames|renamelimit|algorithm|mnemonicprefix|noprefix|ignoresubmodules|context|submodule|indentheuristic"),
	"merge":     names("ff|conflictstyle|renames|renamelimit|log"),
	"pull":      names("ff|rebase"),
	"push":      names("default|autosetupremote|followtags"),
	"fetch":     names("prune|prunetags|recursesubmodules"),
	"rebase":    names("autosquash|autostash|updaterefs"),
	"index":     names("version|sparse"),
	"i18n":      names("commitencoding|logoutputencoding"),
	"log":       names("date|showroot"),
	"advice":    names(".*"),
	"color":     names(".*"),
	"column":    names(".*"),
}

func names(any string) *regexp.Regexp { return regexp.MustCompile("^(" + any + ")$") }

// readConfig is what a file of a git directory says, without the files that it includes. None where it is not there.
func readConfig(ctx context.Context, root int, name string) ([]setting, error) {
	text, err := readFile(root, name, maxConfig)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, unusable(name, err)
	}
	listed, err := git(ctx, call{
		args: []string{"config", "--file", "-", "--no-includes", "-z", "--list"}, gitDir: "/dev/null", in: bytes.NewReader(text),
	})
	if err != nil {
		return nil, failed("read the configuration in", name, err)
	}
	return parse(listed), nil
}

// parse reads what `git config -z --list` writes: name, newline, value, NUL; a name alone has no newline.
func parse(listed []byte) []setting {
	var all []setting
	for len(listed) > 0 {
		one, rest, _ := bytes.Cut(listed, []byte{0})
		listed = rest
		key, value, valued := strings.Cut(string(one), "\n")
		first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
		if first < 0 || len(value) > maxValue || len(key) > maxValue {
			continue
		}
		sub := ""
		if last > first {
			sub = key[first+1 : last]
		}
		all = append(all, setting{key[:first], sub, key[last+1:], value, !valued})
	}
	return all
}

// sift leaves what may enter a workspace.
func sift(all []setting) []setting {
	var left []setting
	for _, one := range all {
		rule := kept[one.section]
		if rule == nil || !rule.MatchString(one.name) {
			continue
		}
		switch one.section + "." + one.name {
		case "extensions.worktreeconfig", "extensions.relativeworktrees":
			continue // There is one work tree, and one file.
		case "branch.remote", "branch.pushremote", "remote.pushdefault", "extensions.partialclone":
			if isAddress(one.value) {
				continue
			}
		case "remote.url", "remote.pushurl", "submodule.url":
			if one.value = Address(one.value); one.value == "" {
				continue
			}
		case "submodule.update":
			if strings.HasPrefix(one.value, "!") {
				continue
			}
		}
		if one.section == "remote" && isAddress(one.sub) {
			continue
		}
		left = append(left, one)
	}
	return left
}

// isAddress tells what stands for itself where a remote's name should be.
func isAddress(name string) bool {
	return strings.ContainsAny(name, ":\\") || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") ||
		strings.HasPrefix(name, "../") || strings.HasPrefix(name, "-")
}

// value is the last of a name's.
func value(all []setting, section string, name string) (string, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if one := all[i]; one.section == section && one.name == name && one.sub == "" {
			return one.value, true
		}
	}
	return "", false
}

// truth reads a boolean as git does, with what it is where nothing is said.
func truth(all []setting, section string, name string) bool {
	for i := len(all) - 1; i >= 0; i-- {
		if one := all[i]; one.section == section && one.name == name && one.sub == "" {
			switch strings.ToLower(one.value) {
			case "true", "yes", "on", "1":
				return true
			}
			return one.bare
		}
	}
	return false
}

// write makes the text of a configuration file.
func render(all []setting) []byte {
	var text strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`)
	header := ""
	for _, one := range all {
		if strings.ContainsAny(one.sub, "\n\x00") || strings.ContainsAny(one.value, "\x00\r") {
			continue
		}
		next := "[" + one.section + "]\n"
		if one.sub != "" {
			next = "[" + one.section + ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(one.sub) + "\"]\n"
		}
		if next != header {
			text.WriteString(next)
			header = next
		}
		text.WriteString("\t" + one.name)
		if !one.bare {
			text.WriteString(` = "` + quote.Replace(one.value) + `"`)
		}
		text.WriteString("\n")
	}
	return []byte(text.String())
}

// Host is what the user's and this machine's own configuration say about what the files of a checkout mean.
type Host struct {
	content  []setting
	excludes string
}

// AskHost lists that configuration, which runs nothing; of it only line ends and the list of ignored files count.
func AskHost(ctx context.Context) (*Host, error) {
	listed, err := git(ctx, call{args: []string{"config", "--includes", "-z", "--list"}, gitDir: "/dev/null", trusted: true})
	if err != nil {
		return nil, failed("read the user's configuration in", os.Getenv("HOME"), err)
	}
	all, home := parse(listed), os.Getenv("HOME")
	host := &Host{excludes: filepath.Join(home, ".config/git/ignore")}
	if path, ok := value(all, "core", "excludesfile"); ok {
		if rest, under := strings.CutPrefix(path, "~/"); under {
			path = filepath.Join(home, rest)
		}
		host.excludes = path
	}
	for _, name := range []string{"autocrlf", "eol"} {
		if text, ok := value(all, "core", name); ok {
			host.content = append(host.content, setting{section: "core", name: name, value: text})
		}
	}
	return host, nil
}

// readFile reads a regular file below a directory, following no link and waiting for nothing.
func readFile(root int, name string, most int64) ([]byte, error) {
	fd, err := dirfd.OpenAt(root, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > most {
		return nil, unix.EFBIG
	}
	return io.ReadAll(io.LimitReader(file, most))
}

func unusable(name string, err error) error {
	return fault.New("git_failed", name, "the git directory's %s cannot be read: %v", name, err)
}
