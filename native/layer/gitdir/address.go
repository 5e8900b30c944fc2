package gitdir

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	schemes = regexp.MustCompile(`^(https?|ssh|git|git\+ssh|ssh\+git|ftps?)$`)
	// host:path with an optional user, as ssh takes it; a slash before the colon makes it a path.
	short = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*:[^:].*$`)
)

// Address is where a remote is reached, without anything that proves who asks: no password, no user but that of ssh, no
// query. It is empty for what is no address of a network: paths of this machine, and transports that run a command.
// A submodule's may be relative to its parent's.
func Address(text string) string {
	if strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") {
		return text
	}
	if strings.HasPrefix(text, "-") || strings.Contains(text, "::") || strings.ContainsAny(text, "\x00\r\n") {
		return ""
	}
	if !strings.Contains(text, "://") {
		if short.MatchString(text) {
			return text
		}
		return ""
	}
	at, err := url.Parse(text)
	if err != nil || !schemes.MatchString(at.Scheme) || at.Host == "" || strings.HasPrefix(at.Host, "-") {
		return ""
	}
	if strings.Contains(at.Scheme, "ssh") && at.User != nil {
		at.User = url.User(at.User.Username())
	} else {
		at.User = nil
	}
	at.RawQuery, at.Fragment, at.ForceQuery = "", "", false
	return at.String()
}
