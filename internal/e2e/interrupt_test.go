//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A process is a program under way, and what it has printed so far.
type process struct {
	cmd   *exec.Cmd
	dir   string
	ended chan struct{}
	// closed gets the error that ended the output: nil when every process that
	// could print has ended, the children of the program with it.
	closed chan error
	output *os.File

	mu    sync.Mutex
	lines []string
	// said is closed when a line has the word.
	word string
	said chan struct{}
}

// start runs the connector in dir, in a process group of its own. A program
// that the test leaves behind is killed with all of its children.
func start(t *testing.T, dir string, env []string, word string, args ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd: exec.CommandContext(t.Context(), filepath.Join(programs, "baton-segment"), args...),
		dir: dir, ended: make(chan struct{}), closed: make(chan error, 1), output: r,
		word: word, said: make(chan struct{}),
	}
	p.cmd.Dir = dir
	p.cmd.Env = environment(dir, env)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A file, unlike a buffer, is what the program hands on to its child.
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	go p.listen()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // The state tells how it ended.
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // Nobody is left, usually.
		<-p.ended
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *process) listen() {
	in := bufio.NewReader(p.output)
	for {
		line, err := in.ReadString('\n')
		p.mu.Lock()
		p.lines = append(p.lines, line)
		if p.word != "" && strings.Contains(line, p.word) {
			p.word = ""
			close(p.said)
		}
		p.mu.Unlock()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			p.closed <- err
			return
		}
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "")
}

// patience is for what takes milliseconds on an idle machine, and is well below
// what the program waits for on its own.
const patience = 20 * time.Second

// await fails the test if the program ends before the moment.
func (p *process) await(t *testing.T, moment <-chan struct{}) {
	t.Helper()
	select {
	case <-moment:
	case <-p.ended:
		// What it said in the end may still be on its way.
		select {
		case <-moment:
		case <-time.After(patience):
			t.Fatalf("ended too early: %v\n%s", p.cmd.ProcessState, p.text())
		}
	case <-time.After(time.Minute):
		t.Fatalf("the moment has not come\n%s", p.text())
	}
}

// stop sends a signal and waits until the program has ended, and with it every
// child that it had. It returns the exit code, or -1 and the signal it died of.
func (p *process) stop(t *testing.T, w way) (int, syscall.Signal) {
	t.Helper()
	p.signal(t, w)
	return p.wait(t)
}

func (p *process) signal(t *testing.T, w way) {
	t.Helper()
	pid := p.cmd.Process.Pid
	if w.group {
		pid = -pid
	}
	// A run that does not wait for anything may have ended by now.
	if err := syscall.Kill(pid, w.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func (p *process) wait(t *testing.T) (int, syscall.Signal) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("has not ended in %v\n%s", patience, p.text())
	}
	if err := p.output.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := <-p.closed; err != nil {
		t.Errorf("a child is left behind: %v", err)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return p.cmd.ProcessState.ExitCode(), 0
	}
	return -1, status.Signal()
}

// A way is how a program is made to end.
type way struct {
	name   string
	signal syscall.Signal
	// group is whether the children get it, too: a terminal does that with
	// Ctrl-C, and systemd with SIGTERM.
	group bool
}

func ways() []way {
	return []way{
		{name: "SIGKILL", signal: syscall.SIGKILL},
		{name: "SIGTERM", signal: syscall.SIGTERM},
		{name: "SIGTERM to all", signal: syscall.SIGTERM, group: true},
		{name: "SIGINT", signal: syscall.SIGINT},
		{name: "SIGINT to all", signal: syscall.SIGINT, group: true},
	}
}

// hold stops the simulator at a request: arrived is closed when it is there,
// and nothing is answered any more until release.
func hold(t *testing.T, s server, operation string, ordinal int) (<-chan struct{}, func()) {
	t.Helper()
	arrived, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	err := s.Before(operation, ordinal, func(*sim.Workspace) {
		once.Do(func() { // The ordinal may come again.
			close(arrived)
			<-released
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	return arrived, release
}

// left is what there is in a folder, without the numbers at the end of names.
func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimRight(e.Name(), "0123456789"))
	}
	slices.Sort(names)
	return names
}

// small makes lists have several pages.
func small(file string, more ...string) []string {
	return slices.Concat([]string{"-f", file, "--page-size", fmt.Sprint(movingPage)}, more)
}

// again reads the workspace once more into the file of a run that broke off.
func again(t *testing.T, s server, file string, more ...string) contents {
	t.Helper()
	r := runIn(t, filepath.Dir(file), s.env(), filepath.Join(programs, "baton-segment"), small(file, append(more, "--log-level", "error")...)...)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return readFile(t, file).contents(t)
}

// Whatever ends a sync, and whenever: the exit code is 0 only if the file is
// complete, no process stays, nothing but the file stays unless the program
// was not asked to end but killed, and the next run into the same file writes
// what an undisturbed one would.
func TestInterruptedSync(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	want := expected(ws, builtTypes())
	// The moment is a request, counted from 1, or else a line of the log.
	type moment struct {
		operation string
		ordinal   int
		log       string
	}
	rows := newCrowd(t)
	for name, m := range map[string]moment{
		"at the start":          {log: "runner: claiming worker"},
		"in Validate":           {operation: "getWorkspace", ordinal: 1},
		"in the second page":    {operation: "listUsers", ordinal: 3}, // Validate is the first.
		"amid the entitlements": {operation: "getUser", ordinal: 20},
		"amid the grants":       {operation: "listUsersFromUserGroup", ordinal: 2},
		"near the end":          {operation: "listInvitesFromUserGroup", ordinal: cost(ws, builtTypes(), movingPage)["listInvitesFromUserGroup"]},
		"when all is read":      {log: "Sync complete."},
	} {
		for _, w := range ways() {
			rows.run(name+"/"+w.name, func(t *testing.T) {
				s := serve(t, ws)
				dir := t.TempDir()
				file := filepath.Join(dir, "sync.c1z")
				p, release := startUntil(t, s, dir, m.log, m.operation, m.ordinal, small(file)...)
				code, killed := p.stop(t, w)
				release()
				remains := left(t, dir)
				byLog := m.log != ""
				switch {
				case w.signal == syscall.SIGKILL && (!byLog || code != 0): // Else it was too late.
					if killed != syscall.SIGKILL {
						t.Errorf("exit code %d, died of %v", code, killed)
					}
					// Nothing can tidy up after that: the folder of the database stays, and
					// baton-sdk writes the file when a run ends and not before.
					if !byLog && !slices.Equal(remains, []string{"c1z-pebble"}) {
						t.Errorf("left behind: %q", remains)
					}
				case code == 0 && !byLog:
					t.Errorf("exit code 0 without a complete file\n%s", p.text())
				case code == 0:
					compare(t, want, readFile(t, file).contents(t))
				}
				if w.signal != syscall.SIGKILL && len(remains) > 0 && !slices.Equal(remains, []string{"sync.c1z"}) {
					t.Errorf("left behind: %q\n%s", remains, p.text())
				}
				compare(t, want, again(t, s, file))
				// It may take the place of a file that was being written.
				after := left(t, dir)
				for _, name := range slices.DeleteFunc(remains, isFile) {
					if i := slices.Index(after, name); i >= 0 {
						after = slices.Delete(after, i, i+1)
					}
				}
				if !slices.Equal(after, []string{"sync.c1z"}) {
					t.Errorf("left behind by the run after it: %q", after)
				}
			})
		}
	}
	rows.wait()
}

// A run that is stopped before it has begun has no error to end with, and no
// file: the SDK takes it for one that went well.
func TestStoppedBeforeItBegins(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			for range 4 { // The SDK's runner tosses a coin.
				dir := t.TempDir()
				// The program waits in the middle of reading its settings.
				settings := filepath.Join(dir, "settings.yaml")
				if err := syscall.Mkfifo(settings, 0o600); err != nil {
					t.Fatal(err)
				}
				p := start(t, dir, append(s.env(), "BATON_CONFIG_PATH="+settings), "", small(filepath.Join(dir, "sync.c1z"))...)
				pipe, err := os.OpenFile(settings, os.O_WRONLY, 0) // Waits for the program.
				if err != nil {
					t.Fatal(err)
				}
				// A child that it starts all the same reads the settings, too, and would wait
				// for a writer for ever.
				const text = "log-level: error\n"
				if err = errors.Join(os.Remove(settings), os.WriteFile(settings, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
				p.signal(t, w)
				if w.signal == syscall.SIGKILL {
					<-p.ended // Else the write might find nobody.
				} else if _, err = pipe.WriteString(text); err != nil {
					t.Error(err)
				}
				if err = pipe.Close(); err != nil {
					t.Error(err)
				}
				if code, _ := p.wait(t); code == 0 {
					t.Errorf("exit code 0\n%s", p.text())
				}
				if remains := left(t, dir); !slices.Equal(remains, []string{"settings.yaml"}) {
					t.Errorf("left behind: %q", remains)
				}
			}
		})
	}
}

func isFile(name string) bool { return name == "sync.c1z" }

// startUntil starts a program and returns when the moment has come: a line of the
// log, or else a request, which then waits until release.
func startUntil(t *testing.T, s server, dir, log, operation string, ordinal int, args ...string) (*process, func()) {
	t.Helper()
	if log != "" {
		p := start(t, dir, s.env(), log, append(args, "--log-level", "debug")...)
		p.await(t, p.said)
		return p, func() {}
	}
	arrived, release := hold(t, s, operation, ordinal)
	p := start(t, dir, s.env(), "", append(args, "--log-level", "error")...)
	p.await(t, arrived)
	return p, release
}

// asked counts the requests since the journal had so many.
func asked(s server, since int) map[string]int {
	counts := map[string]int{}
	for _, r := range s.Journal()[since:] {
		counts[r.Operation]++
	}
	return counts
}

// What the next run repeats. A run that is asked to end notes how far it came.
// One that fails does not: it keeps its rows, and how far it was when it last
// noted that, which baton-sdk v0.26.0 does between phases of the sync (types,
// resources, entitlements, grants) and ten seconds after the last time at the
// earliest. One that is killed leaves nothing.
//
// The rows are those of an undisturbed run, but that a run which repeats the
// entitlements when the grants were begun offers every role on the sets of
// labels that only grants name, where else it offers those that are held.
func TestWhatTheNextRunRepeats(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	whole := cost(ws, builtTypes(), movingPage)
	validate := map[string]int{"getWorkspace": 1, "listUsers": 1, "listRoles": 1}
	grants := map[string]int{"listUsersFromUserGroup": whole["listUsersFromUserGroup"], "listInvitesFromUserGroup": whole["listInvitesFromUserGroup"]}
	forbidden := func(operation string, ordinal int) sim.Fault {
		return sim.Fault{Operation: operation, Ordinal: ordinal, Kind: sim.FaultStatus, Status: http.StatusForbidden}
	}
	for name, c := range map[string]struct {
		// Faults end the run, or else a signal during the operation.
		faults    []sim.Fault
		way       way
		operation string
		ordinal   int
		requests  func(first map[string]int) map[string]int
		// repeats is whether the second run finds grants and begins anew.
		repeats bool
	}{
		"refused amid the entitlements": {
			faults:   []sim.Fault{forbidden("getUser", 20)},
			requests: func(map[string]int) map[string]int { return whole },
		},
		"refused amid the grants": {
			faults:   []sim.Fault{forbidden("listUsersFromUserGroup", 4)},
			requests: func(map[string]int) map[string]int { return whole }, repeats: true,
		},
		"refused amid the grants, after entitlements of more than ten seconds": {
			faults: []sim.Fault{
				{Operation: "getUser", Ordinal: 20, Kind: sim.FaultDelay, Delay: 10500 * time.Millisecond},
				forbidden("listUsersFromUserGroup", 4),
			},
			requests: func(map[string]int) map[string]int { return sum(validate, grants) },
		},
		"stopped amid the entitlements": {
			way: way{signal: syscall.SIGTERM}, operation: "getUser", ordinal: 20,
			requests: func(first map[string]int) map[string]int {
				return sum(validate, rest(whole, first), map[string]int{"getUser": 1})
			},
		},
		"stopped amid the grants": {
			way: way{signal: syscall.SIGINT}, operation: "listUsersFromUserGroup", ordinal: 4,
			requests: func(first map[string]int) map[string]int {
				return sum(validate, rest(whole, first), map[string]int{"listUsersFromUserGroup": 1})
			},
		},
		"killed": {
			way: way{signal: syscall.SIGKILL}, operation: "listUsersFromUserGroup", ordinal: 4,
			requests: func(map[string]int) map[string]int { return whole },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, want := serve(t, ws), expected(ws, builtTypes())
			dir := t.TempDir()
			file := filepath.Join(dir, "sync.c1z")
			if c.faults == nil {
				p, release := startUntil(t, s, dir, "", c.operation, c.ordinal, small(file, "--workers", "1")...)
				if code, _ := p.stop(t, c.way); code == 0 {
					t.Fatalf("exit code 0\n%s", p.text())
				}
				release()
			} else {
				if err := s.Inject(c.faults...); err != nil {
					t.Fatal(err)
				}
				p := start(t, dir, s.env(), "", small(file, "--workers", "1", "--log-level", "error")...)
				if code, _ := p.wait(t); code != int(codes.PermissionDenied) {
					t.Fatalf("exit code %d\n%s", code, p.text())
				}
				if remains := left(t, dir); !slices.Equal(remains, []string{"sync.c1z"}) {
					t.Errorf("left behind: %q", remains)
				}
				s.ClearFaults()
			}
			first, n := asked(s, 0), len(s.Journal())
			got := again(t, s, file, "--workers", "1")
			if c.repeats {
				got.Entitlements = slices.DeleteFunc(got.Entitlements, ofLabelSets)
				want.Entitlements = slices.DeleteFunc(want.Entitlements, ofLabelSets)
			}
			compare(t, want, got)
			compareRequests(t, c.requests(first), asked(s, n))
		})
	}
}

// ofLabelSets tells what is offered on more than one label at once.
func ofLabelSets(e entitlement) bool {
	return strings.HasPrefix(e.Resource, typeLabel+":") && strings.Contains(e.Resource, ",")
}

func sum(counts ...map[string]int) map[string]int {
	all := map[string]int{}
	for _, c := range counts {
		for operation, n := range c {
			all[operation] += n
		}
	}
	return all
}

// rest is what is missing in first of whole.
func rest(whole, first map[string]int) map[string]int {
	all := maps.Clone(whole)
	for operation, n := range first {
		all[operation] -= n
	}
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	return all
}

// What becomes of the file of an earlier run. It is replaced as a whole when a
// run ends, also when the run breaks off: then by what was read so far, which
// the readers of baton-sdk show without a word. Until a run is past Validate,
// and if it is killed, the earlier file stays. So a file is to be used after
// exit code 0 only, and whoever wants to keep the last good one copies it.
func TestWhatBecomesOfAnEarlierFile(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	whole := expected(ws, builtTypes())
	earlier, err := os.ReadFile(syncFile(t, serve(t, ws)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		way       way
		operation string
		stays     bool
	}{
		"killed":              {way: way{signal: syscall.SIGKILL}, operation: "getUser", stays: true},
		"stopped in Validate": {way: way{signal: syscall.SIGTERM}, operation: "getWorkspace", stays: true},
		"stopped":             {way: way{signal: syscall.SIGTERM}, operation: "getUser"},
		"refused in Validate": {operation: "getWorkspace", stays: true},
		"refused":             {operation: "getUser"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			dir := t.TempDir()
			file := filepath.Join(dir, "sync.c1z")
			if err := os.WriteFile(file, earlier, 0o600); err != nil {
				t.Fatal(err)
			}
			var p *process
			code := 0
			if c.way.signal != 0 {
				var release func()
				p, release = startUntil(t, s, dir, "", c.operation, 1, small(file)...)
				code, _ = p.stop(t, c.way)
				release()
			} else {
				if err := s.Inject(sim.Fault{Operation: c.operation, Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
					t.Fatal(err)
				}
				p = start(t, dir, s.env(), "", small(file, "--log-level", "error")...)
				code, _ = p.wait(t)
				s.ClearFaults()
			}
			if code == 0 {
				t.Errorf("exit code 0\n%s", p.text())
			}
			now, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if stays := bytes.Equal(now, earlier); stays != c.stays {
				t.Errorf("the earlier file stays: %t, want %t", stays, c.stays)
			}
			if !c.stays {
				shown := must(t, nil, "baton", "grants", "-f", file, "-o", "json").stdout
				if got := readFile(t, file).contents(t); len(got.Resources) == 0 || len(got.Grants) != 0 || strings.Contains(shown, "principal") {
					t.Errorf("%d resources and %d grants, and to people:\n%s", len(got.Resources), len(got.Grants), shown)
				}
			}
			compare(t, whole, again(t, s, file))
		})
	}
}

// A run after one that broke off, however much of it it repeats, keeps the rows
// that are there: of a user who was listed and is gone, and of a permission
// that was granted and is revoked since. The run after it starts afresh, as does
// one without the file.
func TestWhatGoesBetweenTwoRuns(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	dir := t.TempDir()
	file := filepath.Join(dir, "sync.c1z")
	if err := s.Inject(sim.Fault{Operation: "listUsersFromUserGroup", Ordinal: 4, Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
		t.Fatal(err)
	}
	r := runIn(t, dir, s.env(), filepath.Join(programs, "baton-segment"), small(file, "--workers", "1", "--log-level", "error")...)
	if r.code != int(codes.PermissionDenied) {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	first := readFile(t, file).contents(t)
	s.ClearFaults()
	s.Update(removeUser)
	s.Update(func(ws *sim.Workspace) { ws.Users[0].Permissions = nil })
	want := expected(s.Workspace(), builtTypes())

	got := again(t, s, file)
	of := func(all []grant, principal string) int {
		return count(all, func(g grant) bool { return g.Principal == typeUser+":"+principal })
	}
	gone, demoted := sim.Demo().Users[theUser].ID, sim.Demo().Users[0].ID
	if len(got.Resources) != len(want.Resources)+1 || of(got.Grants, gone) < of(first.Grants, gone) || of(got.Grants, demoted) <= of(want.Grants, demoted) {
		t.Errorf("old rows have gone: say so in the guide, and here")
	}
	compare(t, want, again(t, s, file))
}

// A program that waits for the rate limit ends at once all the same, whoever
// waits: the SDK in the parent, or for an account the library in the child.
// A grant that fails, whatever for, leaves the unpacked file in the temporary
// folder: baton-sdk v0.26.0 closes it after one that works only.
func TestStoppedWhileWaiting(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	synced := syncFile(t, serve(t, ws))
	for name, c := range map[string]struct {
		operation string
		args      []string
		log       string
		leaves    []string
	}{
		"sync":   {operation: "getUser", log: "retrying operation"},
		"grant":  {operation: "addUsersToUserGroup", log: "retrying operation", args: grantArgs("group:group-nobody:member", typeUser, "user-empty-name"), leaves: []string{"c1z-pebble"}},
		"invite": {operation: "createInvites", log: `"status":429`, args: []string{"--create-account-login", "x", "--create-account-profile", `{"email":"x@example.com"}`}},
	} {
		for _, w := range ways()[1:] {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, ws, synced)
				refusal := sim.Fault{Operation: c.operation, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"60"}}}
				if err := d.Inject(refusal); err != nil {
					t.Fatal(err)
				}
				p := start(t, d.dir, d.env(), c.log, append(c.args, "-f", d.file(), "--log-level", "debug")...)
				p.await(t, p.said)
				begin := time.Now()
				if code, _ := p.stop(t, w); code == 0 {
					t.Errorf("exit code 0\n%s", p.text())
				}
				t.Logf("ended after %v", time.Since(begin))
				if remains := left(t, d.dir); !slices.Equal(remains, append(slices.Clone(c.leaves), "sync.c1z")) {
					t.Errorf("left behind: %q", remains)
				}
			})
		}
	}
}

// When a sync is over, none of the connections that the connector leaves is in
// the middle of an answer. They are few, and the SDK's HTTP client closes them
// when nobody has used them for 30 seconds: it lets nobody do so earlier, which is
// why the connector has no method to close it.
func TestConnectionsAreIdleAfterASync(t *testing.T) {
	t.Parallel()
	const workers = 8
	s := server{Server: sim.New(sim.Demo(), sim.WithToken(token))}
	listener := httptest.NewUnstartedServer(s)
	var mu sync.Mutex
	open := map[net.Conn]http.ConnState{}
	changed := make(chan struct{}, 1)
	listener.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		open[c] = state
		if state == http.StateClosed {
			delete(open, c)
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	listener.Start()
	t.Cleanup(listener.Close)
	s.URL = listener.URL
	syncInProcess(t, s, filepath.Join(t.TempDir(), "sync.c1z"), movingPage, sdksync.WithWorkerCount(workers))
	late := time.After(patience)
	for {
		mu.Lock()
		busy := count(slices.Collect(maps.Values(open)), func(state http.ConnState) bool { return state == http.StateActive })
		total := len(open)
		mu.Unlock()
		// What net/http keeps for one host, in each transport that was in use.
		if busy == 0 && total <= workers*http.DefaultMaxIdleConnsPerHost {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d connections are open, %d of them busy", total, busy)
		}
	}
}
