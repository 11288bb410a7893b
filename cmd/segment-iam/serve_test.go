package main

import (
	"bufio"
	"bytes"
	"context"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A served site is what the command serve shows until the test ends.
type served struct {
	url    string
	client *http.Client
}

// address is the line that serve prints.
var address = regexp.MustCompile(`^(http://127\.0\.0\.1:[0-9]+)/ shows who reaches what, on this machine only\. To stop, press Ctrl-C\.\n$`)

// startServe runs serve until the test ends. It fails the test if serve prints more than
// its address.
func startServe(t *testing.T, args ...string) served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	stdout, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		c := run(ctx, append([]string{"serve"}, args...), in, &stderr)
		_ = in.Close() // It returns no error.
		code <- c
	}()
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	s := served{client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(func() {
		cancel()
		rest, readErr := io.ReadAll(out)
		if c := <-code; readErr != nil || c != 0 || len(rest) > 0 || stderr.Len() > 0 {
			t.Errorf("serve ends with the exit code %d; it prints %q and %q (%v)", c, rest, &stderr, readErr)
		}
		s.client.CloseIdleConnections()
	})
	found := address.FindStringSubmatch(line)
	if err != nil || found == nil {
		t.Fatalf("serve prints %q (%v)", line, err)
	}
	s.url = found[1]
	return s
}

// warningOf is the warning of a page.
var warningOf = regexp.MustCompile(`<p class="warning" role="alert">([^<]*)</p>`)

// A shownPage is the text of a page, and its warning.
type shownPage struct {
	status        int
	text, warning string
}

func (s served) get(t *testing.T, target string) shownPage {
	t.Helper()
	p, err := s.fetch(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s served) fetch(ctx context.Context, target string) (shownPage, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+target, nil)
	if err != nil {
		return shownPage{}, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return shownPage{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	p := shownPage{status: answer.StatusCode, text: string(body)}
	if found := warningOf.FindStringSubmatch(p.text); found != nil {
		p.warning = html.UnescapeString(found[1])
	}
	return p, err
}

const (
	peoplePage = "/list?name=people"
	before     = "The new files cannot be shown, so the pages still show the previous ones: "
)

// check asks twice for a page, which has the text but not the other one, and a warning
// about the file if it is to say something.
func (s served) check(t *testing.T, target, has, lacks, says string) {
	t.Helper()
	for range 2 {
		p := s.get(t, target)
		if p.status != http.StatusOK || !strings.Contains(p.text, has) || strings.Contains(p.text, lacks) {
			t.Errorf("%s has the status %d; it has %q: %t; it has %q: %t", target, p.status, has, strings.Contains(p.text, has), lacks, strings.Contains(p.text, lacks))
		}
		if says == "" && p.warning != "" || says != "" && (!strings.HasPrefix(p.warning, before) || !strings.Contains(p.warning, says)) {
			t.Errorf("%s warns %q, want %q", target, p.warning, says)
		}
	}
}

// replaceBy puts a copy of a file in the place of another in one step, as baton-segment
// does.
func replaceBy(t *testing.T, file, by string) {
	t.Helper()
	copied := filepath.Join(filepath.Dir(file), "new")
	writeText(t, copied, readText(t, by))
	if err := os.Rename(copied, file); err != nil {
		t.Fatal(err)
	}
}

// A file that is replaced is shown on the next page. As long as the new one cannot be
// used, pages show what they had, and why.
func TestServe_FileIsReplaced(t *testing.T) {
	t.Parallel()
	old, newer := demoFile.copy(t), syncFile(t, simtest.Serve(t, renamed()))
	hostile, unfinished := hostileFile.copy(t), unfinishedFile(t)
	file := filepath.Join(t.TempDir(), "sync.c1z")
	by := func(source string) func() { return func() { replaceBy(t, file, source) } }
	remove := func() {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
	}
	by(old)()
	s := startServe(t, "-f", file)
	for _, step := range []struct {
		name       string
		change     func()
		has, lacks string
		says       string
	}{
		{"nothing", func() {}, firstUser, renamedUser, ""},
		{"a newer file", by(newer), renamedUser, firstUser, ""},
		{"no file", remove, renamedUser, firstUser, file + ": unusable file: there is no such file"},
		{"the same file again", by(newer), renamedUser, firstUser, ""},
		{"an unfinished file", by(unfinished), renamedUser, firstUser, file + ": unusable file: its sync has not ended"},
		{"garbage", func() { remove(); writeText(t, file, strings.Repeat("garbage", 100)) }, renamedUser, firstUser, "not a file that baton-segment has written"},
		{"an older file", by(old), firstUser, renamedUser, ""},
		{"an empty file", func() { remove(); writeText(t, file, "") }, firstUser, renamedUser, "it is empty"},
		{"garbage in place", func() { writeText(t, file, "garbage") }, firstUser, renamedUser, "not a file that baton-segment has written"},
		{"a newer file in place", func() { writeText(t, file, readText(t, newer)) }, renamedUser, firstUser, ""},
		{"an older file in place", func() { writeText(t, file, readText(t, old)) }, firstUser, renamedUser, ""},
		{"a file of another workspace", by(hostile), firstUser, "user-malformed", "sync.c1z is now of workspace " + sim.Hostile().Name + " ("},
		{"a file of the workspace", by(newer), renamedUser, firstUser, ""},
		{"a folder", func() {
			remove()
			if err := os.Mkdir(file, 0o700); err != nil {
				t.Fatal(err)
			}
		}, renamedUser, firstUser, "it is a folder"},
		{"a link", func() {
			remove()
			if err := os.Symlink(old, file); err != nil {
				t.Fatal(err)
			}
		}, firstUser, renamedUser, ""},
		{"a linked file", func() { replaceBy(t, old, newer) }, renamedUser, firstUser, ""},
	} {
		step.change()
		t.Log(step.name)
		s.check(t, peoplePage, step.has, step.lacks, step.says)
	}
	if p := s.get(t, "/user?id="+sim.Demo().Users[0].ID); p.status != http.StatusOK || !strings.Contains(p.text, renamedUser) {
		t.Errorf("the page of the renamed user has the status %d", p.status)
	}
}

// Each of several files is followed, and so are those that changes are shown since.
func TestServe_SeveralFilesAreReplaced(t *testing.T) {
	t.Parallel()
	old, newer, hostile := demoFile.copy(t), syncFile(t, simtest.Serve(t, renamed())), hostileFile.copy(t)
	gained := sim.Hostile()
	gained.Users = append(gained.Users, sim.User{ID: "user-new", Name: "New Person", Email: "new@example.com"})
	later := syncFile(t, simtest.Serve(t, gained))
	dir := t.TempDir()
	first, second, since := filepath.Join(dir, "first.c1z"), filepath.Join(dir, "second.c1z"), filepath.Join(dir, "since.c1z")
	for file, by := range map[string]string{first: old, second: hostile, since: hostile} {
		replaceBy(t, file, by)
	}
	s := startServe(t, "-f", first, "-f", second, "--since", since)
	s.check(t, peoplePage, firstUser, "New Person", "")
	replaceBy(t, second, later)
	s.check(t, peoplePage, "New Person", renamedUser, "")
	s.check(t, "/changes", "New Person", renamedUser, "")
	replaceBy(t, first, newer)
	s.check(t, peoplePage, renamedUser, firstUser, "")
	replaceBy(t, since, later)
	s.check(t, "/changes", "second.c1z", "New Person", "")
	replaceBy(t, since, old) // The other workspace has changed instead.
	s.check(t, "/changes", newUser, "New Person", "")
	writeText(t, since, "garbage")
	s.check(t, "/changes", newUser, "New Person", since+": unusable file")
	replaceBy(t, second, newer) // Both files are of one workspace, one of them is lost.
	replaceBy(t, since, later)
	s.check(t, peoplePage, "New Person", firstUser, first+" and "+second+" are both of workspace Velo Northwind")
	replaceBy(t, second, later)
	s.check(t, peoplePage, "New Person", firstUser, "")
}

// Each page that is asked for while files are replaced shows one of them as a whole.
func TestServe_PagesDuringReplacement(t *testing.T) {
	t.Parallel()
	old, newer := demoFile.copy(t), syncFile(t, simtest.Serve(t, renamed()))
	file := filepath.Join(t.TempDir(), "sync.c1z")
	replaceBy(t, file, old)
	s := startServe(t, "-f", file)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				p, err := s.fetch(t.Context(), peoplePage)
				if err != nil || p.status != http.StatusOK || strings.Contains(p.text, firstUser) == strings.Contains(p.text, renamedUser) || !strings.HasSuffix(p.text, "</html>\n") || p.warning != "" && !strings.Contains(p.warning, "not a file that baton-segment has written") {
					t.Errorf("the status is %d, the warning %q, the error %v", p.status, p.warning, err)
				}
			}
		})
	}
	for range 4 {
		for _, by := range []string{newer, old} {
			replaceBy(t, file, by)
			s.get(t, "/")
		}
		garbage := filepath.Join(t.TempDir(), "garbage")
		writeText(t, garbage, strings.Repeat("garbage", 100))
		replaceBy(t, file, garbage)
		s.get(t, "/")
	}
	cancel()
	readers.Wait()
	replaceBy(t, file, newer)
	s.check(t, peoplePage, renamedUser, firstUser, "")
}

// The workspace itself is read once, and is only read.
func TestServe_Live(t *testing.T) {
	t.Parallel()
	server := simtest.Serve(t, sim.Demo())
	since := syncFile(t, simtest.Serve(t, renamed()))
	s := startServe(t, "--live", "--token", server.Token(), "--base-url", server.URL, "--since", since)
	requests := len(server.Journal())
	s.check(t, peoplePage, firstUser, renamedUser, "")
	s.check(t, "/", "Segment, read on", "sync.c1z, read on", "")
	s.check(t, "/changes", newUser, before, "")
	if n := len(server.Journal()); requests == 0 || n != requests {
		t.Errorf("%d requests were sent before the pages, %d after", requests, n)
	}
	for _, r := range server.Journal() {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.Path)
		}
	}
}
