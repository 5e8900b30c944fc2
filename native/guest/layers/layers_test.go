package layers_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pyro/native/guest/layers"
)

func ask(t *testing.T, method string, url string, body io.Reader) (int, []byte, error) {
	t.Helper()
	request, err := http.NewRequest(method, url, body)
	must(t, err)
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return answer.StatusCode, data, err
}

func TestLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("whiteouts need root")
	}
	dir := t.TempDir()
	places := layers.Places{"workspace": dir + "/workspace", "baseline": dir + "/baseline"}
	for _, path := range places {
		must(t, os.Mkdir(path, 0o755))
	}
	must(t, os.MkdirAll(dir+"/baseline/a/b", 0o750))
	must(t, os.WriteFile(dir+"/baseline/a/b/file", bytes.Repeat([]byte("x"), 3<<20), 0o600))
	must(t, unix.Mknod(dir+"/baseline/gone", unix.S_IFCHR, 0))
	mounted := false
	server := httptest.NewServer(layers.Handler(places, func(name string) bool { return name == "workspace" && !mounted }))
	defer server.Close()
	at := server.URL + "/v1/layer?name="

	status, packed, err := ask(t, "GET", at+"baseline", nil)
	must(t, err)
	if status != 200 || len(packed) < 3<<20 {
		t.Fatal(status, len(packed))
	}
	for name, body := range map[string][]byte{"cut": packed[:1<<20], "garbage": bytes.Repeat([]byte("x"), 5000), "nothing": nil} {
		status, said, err := ask(t, "PUT", at+"workspace", bytes.NewReader(body))
		must(t, err)
		left, _ := os.ReadDir(dir + "/workspace")
		if status != 422 || len(left) != 0 {
			t.Fatal(name, status, string(said), left)
		}
	}
	for _, one := range []struct {
		method, name string
		want         int
	}{{"PUT", "workspace", 200}, {"PUT", "workspace", 409}, {"PUT", "baseline", 409}, {"GET", "none", 404}, {"GET", "../..", 404}} {
		var body io.Reader
		if one.method == "PUT" {
			body = bytes.NewReader(packed)
		}
		if status, said, _ := ask(t, one.method, at+one.name, body); status != one.want {
			t.Fatal(one, status, string(said))
		}
	}
	status, again, err := ask(t, "GET", at+"workspace", nil)
	must(t, err)
	if status != 200 || !bytes.Equal(packed, again) {
		t.Fatal("what came in goes out otherwise")
	}
	mounted = true
	if status, _, _ := ask(t, "PUT", at+"workspace", bytes.NewReader(packed)); status != 409 {
		t.Fatal(status)
	}
}

// A failure in the middle must not look like the end of a tar.
func TestBreaksOff(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a", bytes.Repeat([]byte("a"), 1<<20), 0o600))
	deep := dir + "/b"
	for range 1100 {
		deep = filepath.Join(deep, "d")
	}
	for part, at := deep[len(dir)+1:], dir; part != ""; {
		name, rest, _ := strings.Cut(part, "/")
		must(t, unix.Chdir(at))
		must(t, os.Mkdir(name, 0o755))
		at, part = name, rest
	}
	must(t, unix.Chdir("/"))
	server := httptest.NewServer(layers.Handler(layers.Places{"workspace": dir}, nil))
	defer server.Close()
	if _, _, err := ask(t, "GET", server.URL+"?name=workspace", nil); err == nil {
		t.Fatal("the answer was whole")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
