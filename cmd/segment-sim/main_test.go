package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// runsMain is a variable that makes the test binary run main instead of tests.
const runsMain = "SEGMENT_SIM_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runsMain) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// readLines reads the two lines that the program prints first.
func readLines(t *testing.T, r io.Reader) (string, string) {
	t.Helper()
	lines := bufio.NewScanner(r)
	values := make([]string, 0, 2)
	for _, name := range []string{"URL=", "TOKEN="} {
		if !lines.Scan() {
			t.Fatalf("no line with %s: %v", name, lines.Err())
		}
		value, found := strings.CutPrefix(lines.Text(), name)
		if !found {
			t.Fatalf("line is %q, want %s…", lines.Text(), name)
		}
		values = append(values, value)
	}
	return values[0], values[1]
}

// get decodes an answer of the simulator with status 200.
func get(t *testing.T, url, token string, into any) http.Header {
	t.Helper()
	status, header := getAny(t, url, token, into)
	if status != http.StatusOK {
		t.Fatalf("GET %s: status %d", url, status)
	}
	return header
}

// getAny decodes an answer of the simulator with any status.
func getAny(t *testing.T, url, token string, into any) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	decodeErr := json.NewDecoder(resp.Body).Decode(into)
	if err := errors.Join(decodeErr, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header
}

// start runs the program in this process. It returns URL and token, and a function that
// ends the program and returns its error.
func start(t *testing.T, args ...string) (string, string, func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, w, io.Discard)
		ended <- err
		w.CloseWithError(err)
	}()
	url, token := readLines(t, r)
	return url, token, func() error {
		cancel()
		return <-ended
	}
}

func TestRun_ServesUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	url, token, stop := start(t, "-token", "mine", "-next", "null", "-permissions-in-lists", "-limit", "100", "-write-limit", "60")
	if token != "mine" {
		t.Errorf("token is %q", token)
	}
	var page struct {
		Data struct {
			Users []struct {
				Permissions []any
			}
			Pagination map[string]any
		}
	}
	header := get(t, url+"/users", token, &page)
	if len(page.Data.Users) < 35 || len(page.Data.Users[0].Permissions) == 0 {
		t.Errorf("%d users, the first with %v", len(page.Data.Users), page.Data.Users)
	}
	if next, there := page.Data.Pagination["next"]; !there || next != nil {
		t.Errorf("next is %v", next)
	}
	if header.Get("X-RateLimit-Remaining") != "99" {
		t.Errorf("remaining is %q", header.Get("X-RateLimit-Remaining"))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRun_EmptyWorkspaceWithNextEmpty(t *testing.T) {
	t.Parallel()
	url, token, stop := start(t, "-workspace", "empty", "-next", "empty")
	var page struct {
		Data struct {
			Users      []any
			Pagination map[string]any
		}
	}
	get(t, url+"/users", token, &page)
	if page.Data.Users == nil || len(page.Data.Users) != 0 || page.Data.Pagination["next"] != "" {
		t.Errorf("page is %+v", page)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRun_SizedWorkspaceWithoutGroups(t *testing.T) {
	t.Parallel()
	url, token, stop := start(t, "-workspace", "sized:users=3,groups=2", "-without", "groups, spaces")
	var page struct {
		Data   struct{ Users []any }
		Errors []struct{ Type, Message string }
	}
	get(t, url+"/users", token, &page)
	if len(page.Data.Users) != 3 {
		t.Errorf("%d users, want 3", len(page.Data.Users))
	}
	for _, path := range []string{"/groups", "/spaces"} {
		if status, _ := getAny(t, url+path, token, &page); status != http.StatusBadRequest || page.Errors[0].Type != "bad-request" {
			t.Errorf("%s: status %d, errors %+v", path, status, page.Errors)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRun_MaxCountAndConcurrency(t *testing.T) {
	t.Parallel()
	url, token, stop := start(t, "-concurrency", "1", "-max-count", "200")
	var answer struct {
		Errors []struct {
			Field string
			Data  struct{ RemainingPoints int }
		}
	}
	if status, _ := getAny(t, url+"/users?pagination.count=201", token, &answer); status != http.StatusBadRequest || answer.Errors[0].Field != "pagination.count" {
		t.Errorf("status %d, %+v", status, answer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	plan, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/_sim/faults", strings.NewReader(`{"faults":[{"operation":"listRoles","kind":"delay","delay":"1h"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	slow, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/roles", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err = resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if left, sendErr := client.Do(slow); sendErr == nil {
			t.Error("the slow request has an answer", left.Body.Close())
		}
	}()
	status := 0
	for status != http.StatusTooManyRequests && t.Context().Err() == nil { // Until the slow request has arrived.
		status, _ = getAny(t, url+"/users?pagination.count=2", token, &answer)
	}
	if answer.Errors[0].Data.RemainingPoints <= 0 {
		t.Errorf("%+v", answer)
	}
	cancel()
	<-done
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRun_Modes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                       `{"lag":"0s","normalizing":[],"replicaLag":"0s","replicas":1}`,
		"-lag 500ms":             `{"lag":"500ms","normalizing":[],"replicaLag":"0s","replicas":1}`,
		"-lag 2s -replicas 3":    `{"lag":"0s","normalizing":[],"replicaLag":"2s","replicas":3}`,
		"-normalizing reverses":  `{"lag":"0s","normalizing":["reverses"],"replicaLag":"0s","replicas":1}`,
		"-workspace-id other-id": `{"lag":"0s","normalizing":[],"replicaLag":"0s","replicas":1}`,
	} {
		url, token, stop := start(t, strings.Fields(args)...)
		if token != sim.DefaultToken {
			t.Errorf("%s: token is %q", args, token)
		}
		var modes map[string]any
		get(t, url+"/_sim/modes", "", &modes)
		if got, err := json.Marshal(modes); err != nil || string(got) != want {
			t.Errorf("%s: modes are %s, %v", args, got, err)
		}
		var state struct{ Workspace sim.Workspace }
		get(t, url+"/_sim/workspace", "", &state)
		if renamed := state.Workspace.ID == "other-id"; renamed != strings.Contains(args, "other-id") {
			t.Errorf("%s: id is %q", args, state.Workspace.ID)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// The help explains each flag.
func TestRun_Help(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, io.Discard, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error is %v", err)
	}
	for _, want := range []string{
		"-addr", "-allow-remote", "-concurrency", "-lag", "-limit", "-max-count", "-next", "-normalizing", "-permissions-in-lists", "-replicas", "-token", "-without",
		"-workspace", "-workspace-id", "-write-limit", "post-drops-labels",
	} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("no %s in the help", want)
		}
	}
}

func TestRun_RefusesCommandLines(t *testing.T) {
	t.Parallel()
	// A command line that is not refused ends at once.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct{ args, want string }{
		{"-workspace nothing", "demo"},
		{"-workspace sized:user=3", `"user"`},
		{"-workspace sized:users=-3", "users"},
		{"-without groups,plans", `"plans"`},
		{"-next never", "absent, null or empty"},
		{"-addr 0.0.0.0:0", "-allow-remote"},
		{"-addr :0", "-allow-remote"},
		{"-addr nowhere", "address"},
		{"-addr 127.0.0.1:99999", "port"},
		{"-token=", "-token"},
		{"-limit -1", "negative"},
		{"-concurrency -1", "negative"},
		{"-max-count 0", "-max-count"},
		{"-max-count 1001", "-max-count"},
		{"-lag -1s", "-lag"},
		{"-lag soon", "-lag"},
		{"-replicas 0 -lag 1s", "-replicas"},
		{"-replicas 2", "-lag"},
		{"-normalizing reverses,nothing", `"nothing"`},
		{"-unknown", "-unknown"},
		{"argument", "argument"},
	} {
		var out bytes.Buffer
		err := run(ctx, strings.Fields(c.args), &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", c.args, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%s: printed %s", c.args, &out)
		}
	}
}

func TestMain_StopsOnSignals(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			program := exec.CommandContext(t.Context(), os.Args[0], "-allow-remote", "-addr", "127.0.0.1:0")
			program.Env = append(os.Environ(), runsMain+"=1")
			program.Stderr = os.Stderr
			stdout, err := program.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			url, token := readLines(t, stdout)
			var workspace any
			get(t, url+"/", token, &workspace)
			if err := program.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := program.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMain_FailsWithOneLine(t *testing.T) {
	t.Parallel()
	program := exec.CommandContext(t.Context(), os.Args[0], "-workspace", "nothing")
	program.Env = append(os.Environ(), runsMain+"=1")
	var stderr bytes.Buffer
	program.Stderr = &stderr
	err := program.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("error is %v", err)
	}
	if text := stderr.String(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "segment-sim: ") {
		t.Errorf("stderr is %q", text)
	}
}
