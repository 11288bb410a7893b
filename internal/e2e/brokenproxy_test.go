package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// If a proxy sends what belongs to other requests, neither the token nor the secrets
// of the workspace are in the output, at the level debug, or in the file: not in an error
// either, and not in what Go's HTTP library logs about an answer that it has not asked for.
func TestSecretsStayOutOfBrokenConnections(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	keys, length := ws.Sources[0].WriteKeys[0], fmt.Sprint(len(ws.Sources[0].WriteKeys[0]))
	pool := newSubtestPool(t)
	for name, broken := range map[string]func(answer, header string) string{
		"answer, then header": func(answer, header string) string { return answer + header },
		"answer, then key":    func(answer, _ string) string { return answer + keys },
		"two answers":         func(answer, _ string) string { return answer + answer },
		"answer of less length": func(answer, _ string) string {
			head, body, _ := strings.Cut(answer, "\r\n\r\n")
			return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + body + head
		},
		"header alone":          func(_, header string) string { return header },
		"key alone":             func(string, string) string { return keys + "\n" },
		"key as a status":       func(string, string) string { return "HTTP/1.1 " + keys + "\r\n\r\n" },
		"key as a version":      func(string, string) string { return "HTTP/" + keys + " 200 OK\r\n\r\n" },
		"key as a header":       func(string, string) string { return "HTTP/1.1 200 OK\r\n" + keys + "\r\n\r\n" },
		"key as a first header": func(string, string) string { return "HTTP/1.1 200 OK\r\n " + keys + "\r\n\r\n" },
		"key as a length":       func(string, string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + keys + "\r\n\r\n" },
		"key as an encoding":    func(string, string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + keys + "\r\n\r\n" },
		"key as a second length": func(string, string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\nContent-Length: " + keys + "\r\n\r\n" + keys
		},
		"key as a trailer": func(string, string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " + keys + "\r\n\r\n0\r\n" + keys + "\r\n\r\n"
		},
		"key as a chunk": func(string, string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + keys + "\r\n\r\n"
		},
	} {
		pool.run(name, func(t *testing.T) {
			s := serve(t, ws)
			s.URL = breakAnswers(t, s, broken)
			dir := t.TempDir()
			file := filepath.Join(dir, syncName)
			r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", file, "--log-level", "debug")
			if !strings.Contains(r.stderr, `"level":"debug"`) {
				t.Errorf("the log has no debug entry:\n%s", r.stderr)
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if where := findSecret(t, dir, r, secret); where != "" {
					t.Errorf("%q is in %s:\n%s", secret, where, linesWith(r.stderr, secret))
				}
			}
		})
	}
	pool.wait()
}

// breakAnswers serves the workspace through a proxy that breaks the first answers with
// sources, as many as the library tries to get and no more. It returns the proxy's address.
func breakAnswers(t *testing.T, s server, broken func(answer, header string) string) string {
	t.Helper()
	var left atomic.Int32
	left.Store(3)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sources" || left.Add(-1) < 0 {
			s.ServeHTTP(w, r)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err = conn.Write([]byte(broken(answerTo(t, s, r), "Authorization: "+r.Header.Get("Authorization")+"\r\n\r\n"))); err != nil {
			t.Error(err)
		}
		// The program closes the connection. Until then it is idle.
		_, _ = conn.Read(make([]byte, 1)) // It fails then.
		if err = conn.Close(); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// answerTo returns an answer of the simulator as it is sent.
func answerTo(t *testing.T, s server, r *http.Request) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	var raw bytes.Buffer
	if err := recorder.Result().Write(&raw); err != nil {
		t.Error(err)
	}
	return raw.String()
}

// linesWith returns the lines that contain a string, each once.
func linesWith(text, part string) string {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found[line] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), "")
}
