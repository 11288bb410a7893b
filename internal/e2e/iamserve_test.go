//go:build unix

package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// servedLine is what serve prints, and all that it prints.
var servedLine = regexp.MustCompile(`^http://(127\.0\.0\.1:[0-9]+)/ shows who reaches what, on this machine only\. To stop, press Ctrl-C\.\n$`)

// startServing runs serve in a folder until it has printed its address.
func startServing(t *testing.T, dir string, args ...string) (*process, string) {
	t.Helper()
	p := startProgram(t, "segment-iam", dir, nil, "To stop, press Ctrl-C.", append([]string{"serve"}, args...)...)
	p.await(t, p.logged)
	return p, servedAddress(t, p)
}

func servedAddress(t *testing.T, p *process) string {
	t.Helper()
	found := servedLine.FindStringSubmatch(p.text())
	if found == nil {
		t.Fatalf("serve prints %q", p.text())
	}
	return found[1]
}

// checkServingEnds stops serve, which must have printed nothing but its address and leave
// nothing in its folder.
func checkServingEnds(t *testing.T, p *process, by interruption) {
	t.Helper()
	code, signal := p.stop(t, by)
	if text := p.text(); signal != 0 || code != 0 || !servedLine.MatchString(text) {
		t.Errorf("exit code %d, signal %v; it prints %q", code, signal, text)
	}
	if left := entries(t, p.dir); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
}

// getPage asks for a page with some headers, of which Host is one.
func getPage(t *testing.T, address, target string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	r.Host = header["Host"]
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// serve answers requests for its pages, and those only, on this machine only.
func TestIAMServe_Pages(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	p, address := startServing(t, t.TempDir(), "-f", sharedSync(t, ws))
	_, port, err := net.SplitHostPort(address)
	checkErr(t, err)
	name := ws.Users[0].Name
	for _, tt := range []struct {
		target string
		header map[string]string
		status int
	}{
		{"/list?name=people", nil, http.StatusOK},
		{"/user?id=" + ws.Users[0].ID, nil, http.StatusOK},
		{"/search?q=" + ws.Users[0].Email, nil, http.StatusOK},
		{"/list?name=people", map[string]string{"Host": "localhost:" + port}, http.StatusOK},
		{"/list?name=people", map[string]string{"Origin": "http://" + address}, http.StatusOK},
		{"/list?name=people", map[string]string{"Host": "rebound.example"}, http.StatusMisdirectedRequest},
		{"/list?name=people", map[string]string{"Host": "rebound.example:" + port}, http.StatusMisdirectedRequest},
		{"/list?name=people", map[string]string{"Origin": "http://foreign.example"}, http.StatusForbidden},
		{"/list?name=people", map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"/../../../../etc/passwd", nil, http.StatusNotFound},
		{"/absent", nil, http.StatusNotFound},
	} {
		status, text := getPage(t, address, tt.target, tt.header)
		if status != tt.status || strings.Contains(text, name) != (status == http.StatusOK) {
			t.Errorf("%s with %v has the status %d, want %d: %.200s", tt.target, tt.header, status, tt.status, text)
		}
	}
	checkNotReachable(t, port)
	r := run(t, nil, "segment-iam", "serve", "--port", port, "-f", sharedSync(t, ws))
	if r.code != 3 || r.stdout != "" || !strings.HasPrefix(r.stderr, "segment-iam: port "+port+" cannot be used: choose another with --port: ") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("a second serve ends with the exit code %d and prints %q and %q", r.code, r.stdout, r.stderr)
	}
	if status, _ := getPage(t, address, "/", nil); status != http.StatusOK {
		t.Errorf("after that, the status is %d", status)
	}
	checkServingEnds(t, p, iamStops()[0])
}

// checkNotReachable fails the test if a port is open on an address that other machines
// reach.
func checkNotReachable(t *testing.T, port string) {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	checkErr(t, err)
	for _, addr := range addrs {
		ip, ok := addr.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), endTimeout)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(ip.IP.String(), port))
		cancel()
		if err == nil {
			t.Errorf("%s is reachable", conn.RemoteAddr())
			checkErr(t, conn.Close())
		}
	}
}

// send opens a connection and sends something.
func send(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	checkErr(t, err)
	t.Cleanup(func() {
		if closeErr := conn.Close(); closeErr != nil {
			t.Error(closeErr)
		}
	})
	_, err = io.WriteString(conn, text)
	checkErr(t, err)
	return conn
}

// A signal ends serve at once and without an error, regardless of open connections and
// requests.
func TestIAMServe_Stopped(t *testing.T) {
	t.Parallel()
	ws := sim.Sized(sim.Size{Users: 500, Groups: 20, Sources: 200})
	source := filepath.Join(t.TempDir(), syncName)
	syncInProcess(t, serve(t, ws), source, 0)
	for name, prepare := range map[string]func(t *testing.T, p *process, address, file string){
		"nothing is open": func(*testing.T, *process, string, string) {},
		"a browser keeps a connection open": func(t *testing.T, _ *process, address, _ string) {
			t.Helper()
			conn := send(t, address, "GET /absent HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			checkErr(t, err)
			_, err = io.Copy(io.Discard, answer.Body)
			checkErr(t, errors.Join(err, answer.Body.Close()))
			if answer.Close {
				t.Error("the connection is not kept open")
			}
		},
		"a request is not complete": func(t *testing.T, _ *process, address, _ string) {
			t.Helper()
			send(t, address, "GET / HTTP/1.1\r\nHost: ")
		},
		"answers are not read": func(t *testing.T, _ *process, address, _ string) {
			t.Helper()
			send(t, address, strings.Repeat("GET /list?name=people HTTP/1.1\r\nHost: "+address+"\r\n\r\n", 1000))
		},
		"a replaced file is being read": func(t *testing.T, p *process, address, file string) {
			t.Helper()
			unpacked := firstEntry(t, p.dir)
			replaceFile(t, file, source)
			send(t, address, "GET / HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
			p.await(t, unpacked)
		},
	} {
		for _, by := range iamStops() {
			t.Run(name+"/"+by.name, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), syncName)
				replaceFile(t, file, source)
				p, address := startServing(t, t.TempDir(), "-f", file)
				prepare(t, p, address, file)
				checkServingEnds(t, p, by)
			})
		}
	}
}

// replaceFile puts a copy of a file in the place of another in one step.
func replaceFile(t *testing.T, file, by string) {
	t.Helper()
	content, err := os.ReadFile(by)
	checkErr(t, err)
	copied := filepath.Join(filepath.Dir(file), "new")
	checkErr(t, os.WriteFile(copied, content, 0o600))
	checkErr(t, os.Rename(copied, file))
}

// A file that is replaced before serve has read all of its files is read again.
func TestIAMServe_ReplacedBeforeFirstPage(t *testing.T) {
	t.Parallel()
	ws := sim.Sized(sim.Size{Users: 500, Groups: 20, Sources: 200})
	dir, temp := t.TempDir(), t.TempDir()
	file, since, newer := filepath.Join(dir, syncName), filepath.Join(dir, "since.c1z"), filepath.Join(dir, "newer.c1z")
	syncInProcess(t, serve(t, ws), since, 0)
	replaceFile(t, file, since)
	const name = "Renamed Person"
	ws.Users[0].Name = name
	syncInProcess(t, serve(t, ws), newer, 0)
	read := firstEvent(t, temp, fsnotify.Remove) // The file is unpacked there while it is read.
	p := startProgram(t, "segment-iam", temp, nil, "To stop, press Ctrl-C.", "serve", "-f", file, "--since", since)
	p.await(t, read)
	replaceFile(t, file, newer)
	p.await(t, p.logged)
	if status, text := getPage(t, servedAddress(t, p), "/user?id="+ws.Users[0].ID, nil); status != http.StatusOK || !strings.Contains(text, name) {
		t.Errorf("the status is %d, the page lacks the new name:\n%.1000s", status, text)
	}
	checkServingEnds(t, p, iamStops()[0])
}

// A report that is stopped while it is written leaves neither a part of it nor a temporary
// file. An earlier report stays.
func TestIAMReport_StoppedWhileWriting(t *testing.T) {
	t.Parallel()
	synced := filepath.Join(t.TempDir(), syncName)
	syncInProcess(t, serve(t, sim.Sized(sim.Size{Users: 1000, Groups: 20, Sources: 1000})), synced, 0)
	stopped := 0
	for _, by := range iamStops() {
		for _, earlier := range []string{"", "an earlier report"} {
			reports := t.TempDir()
			file := filepath.Join(reports, "access.html")
			if earlier != "" {
				checkErr(t, os.WriteFile(file, []byte(earlier), 0o600))
			}
			written := firstEvent(t, reports, fsnotify.Write)
			p := startProgram(t, "segment-iam", t.TempDir(), nil, "", "report", "-o", file, "-f", synced)
			p.await(t, written)
			code, _ := p.stop(t, by)
			content, err := os.ReadFile(file)
			switch {
			case code == 0: // The signal came too late.
				if err != nil || !strings.HasSuffix(string(content), "</html>\n") {
					t.Errorf("%s: exit code 0 without a complete report: %v", by.name, err)
				}
			case code != 3 || p.text() != "segment-iam: stopped\n" || string(content) != earlier:
				t.Errorf("%s: exit code %d, it prints %q, the report is %.80q", by.name, code, p.text(), content)
			default:
				stopped++
			}
			if left := append(entries(t, p.dir), entries(t, reports)...); len(left) > 1 || len(left) == 1 && (left[0] != "access.html" || content == nil) {
				t.Errorf("%s: left behind: %q", by.name, left)
			}
		}
	}
	if stopped == 0 {
		t.Error("no report was stopped")
	}
}
