package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	c1 "github.com/conductorone/baton-sdk/pb/c1/connectorapi/baton/v1"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// The image of the Dockerfile has all that the program needs, with its user and its
// folders: for a run that writes a file into the working folder, and for a daemon as in
// kubernetes.yaml.
func TestImage(t *testing.T) {
	t.Parallel()
	if os.Getenv(containerVariable) != "" {
		t.Fatal(enterContainer())
	}
	c := serveConductorOne(t)
	img := buildImage(t, c.certificate)
	checkSameProgram(t, img)
	t.Run("one-shot", func(t *testing.T) { checkOneShot(t, img) })
	t.Run("daemon", func(t *testing.T) { checkDaemon(t, img, c) })
}

// checkOneShot runs `docker run --rm --read-only --tmpfs /tmp -v FOLDER:/data`.
func checkOneShot(t *testing.T, img image) {
	s := simtest.Serve(t, sim.Demo())
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	r := runToEnd(t, container{
		Root: img.root, Workdir: img.workdir, User: img.user, Env: append(s.Env(), "HOME=/"),
		Command: []string{img.entrypoint, "-f", "sync.c1z", "--log-level", "warn"},
		Mounts:  map[string]string{"/tmp": "", img.workdir: folder},
	}.command(t, ""))
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	file := filepath.Join(folder, "sync.c1z")
	checkUsers(t, file, s.Server)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); canMakeContainers() && (!ok || int(owner.Uid) != img.user) {
		t.Errorf("the file belongs to %d, want %d", owner.Uid, img.user)
	}
}

// checkUsers compares the number of users in a file with that in the workspace.
func checkUsers(t *testing.T, file string, s *sim.Server) {
	t.Helper()
	ctx := t.Context()
	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true))
	if err != nil {
		t.Fatal(err)
	}
	users, err := store.ListResources(ctx, &v2.ResourcesServiceListResourcesRequest{ResourceTypeId: "user"})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(s.Workspace().Users); len(users.GetList()) != want {
		t.Errorf("%d users in the file, want %d", len(users.GetList()), want)
	}
	if err = store.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
}

// checkDaemon runs the Deployment: the probes succeed when they should, a sync
// reaches ConductorOne, a grant reaches Segment, and SIGTERM ends it.
func checkDaemon(t *testing.T, img image, c *conductorOne) {
	s := simtest.Serve(t, sim.Demo())
	env := append(s.Env(), "HOME=/")
	port := simtest.FreePort(t)
	secrets, d := kubernetes(t)
	pod := d.Spec.Template.Spec
	spec := pod.Containers[0]
	for name := range secrets.StringData {
		switch name {
		case "BATON_TOKEN": // It is the simulator's, which env has.
		case "BATON_CLIENT_ID":
			env = append(env, name+"="+c.clientID)
		case "BATON_CLIENT_SECRET":
			env = append(env, name+"="+c.secret)
		default:
			t.Fatalf("the test has no value for %s", name)
		}
	}
	for _, v := range spec.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	mounts := map[string]string{}
	for _, m := range spec.VolumeMounts {
		mounts[m.MountPath] = ""
	}
	// The last of two ports applies. The one in the manifest may be in use.
	args := append(append([]string{img.entrypoint}, spec.Args...), "--health-check-port="+port)
	certificates := filepath.Join(t.TempDir(), "certificates")
	if err := os.WriteFile(certificates, c.certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := container{
		Root: img.root, Workdir: img.workdir, User: pod.SecurityContext.RunAsUser, Env: env, Command: args, Mounts: mounts,
	}.command(t, certificates)
	daemon := start(t, cmd)

	daemon.wait(t, "Hello", c.hello)
	for what, p := range probes(spec) {
		if code := probeStatus(t, port, p.HTTPGet.Path); code != 0 {
			t.Errorf("the %s probe gets %d before ConductorOne has answered, want no connection", what, code)
		}
	}
	close(c.welcome)
	close(c.upload)
	daemon.wait(t, "asking for a task", c.asked)
	for what, p := range probes(spec) {
		if code := probeStatus(t, port, p.HTTPGet.Path); code != http.StatusOK {
			t.Errorf("the %s probe gets %d", what, code)
		}
	}

	before := len(s.Journal())
	for _, p := range probes(spec) {
		probeStatus(t, port, p.HTTPGet.Path)
	}
	if after := len(s.Journal()); after != before {
		t.Errorf("the probes cost %d requests to Segment", after-before)
	}

	daemon.runTask(t, c, c1.Task_builder{Id: "a-sync", SyncFull: &c1.Task_SyncFullTask{}}.Build())
	file := filepath.Join(t.TempDir(), "uploaded.c1z")
	if err := os.WriteFile(file, <-c.uploads, 0o600); err != nil {
		t.Fatal(err)
	}
	checkUsers(t, file, s.Server)

	held := permissionsOfLast(s.Server)
	daemon.runTask(t, c, c1.Task_builder{Id: "a-grant", Grant: grantTask(s.Server)}.Build())
	if got, want := permissionsOfLast(s.Server), held+1; got != want {
		t.Errorf("the grant leaves %d permissions, want %d", got, want)
	}
	daemon.end(t)
}

// grantTask is the task to make the last user a Source Admin of the first source.
func grantTask(s *sim.Server) *c1.Task_GrantTask {
	ws := s.Workspace()
	id := func(kind, id string) *v2.ResourceId {
		return v2.ResourceId_builder{ResourceType: kind, Resource: id}.Build()
	}
	source := v2.Resource_builder{Id: id("source", ws.Sources[0].ID)}.Build()
	return c1.Task_GrantTask_builder{
		Entitlement: v2.Entitlement_builder{Id: "source:" + ws.Sources[0].ID + ":" + ws.Roles[2].ID, Resource: source}.Build(),
		Principal:   v2.Resource_builder{Id: id("user", ws.Users[len(ws.Users)-1].ID)}.Build(),
	}.Build()
}

func permissionsOfLast(s *sim.Server) int {
	users := s.Workspace().Users
	return len(users[len(users)-1].Permissions)
}

// probeStatus requests a path and returns the status, or 0 if nothing listens. Like the
// kubelet, it uses an address that is not localhost's.
func probeStatus(t *testing.T, port, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort("127.0.0.2", port)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

// A process is a program that runs beside the test.
type process struct {
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{}
	err   error // how it ended
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: &lockedBuffer{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() { <-p.ended })
	return p
}

// eventTimeout is how long an event may take on a busy machine.
const eventTimeout = 2 * time.Minute

func (p *process) wait(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-p.ended:
		t.Fatalf("it ended before %s: %v\n%s", what, p.err, p.log)
	case <-time.After(eventTimeout):
		t.Fatalf("no %s\n%s", what, p.log)
	}
}

// runTask hands out a task and waits for its success.
func (p *process) runTask(t *testing.T, c *conductorOne, task *c1.Task) {
	t.Helper()
	taken, finished := make(chan struct{}), make(chan struct{})
	var outcome *c1.BatonServiceFinishTaskRequest
	go func() {
		select {
		case c.tasks <- task:
			close(taken)
		case <-t.Context().Done():
			return
		}
		select {
		case outcome = <-c.finished:
			close(finished)
		case <-t.Context().Done():
		}
	}()
	p.wait(t, "taking of "+task.GetId(), taken)
	p.wait(t, "end of "+task.GetId(), finished)
	if outcome.GetTaskId() != task.GetId() || outcome.GetSuccess() == nil {
		t.Fatalf("%s ended with %v\n%s", task.GetId(), outcome, p.log)
	}
}

// end sends SIGTERM, as Kubernetes does. The signal terminates the process. Process 1
// cannot be terminated by it, and exits with the code for the signal instead.
func (p *process) end(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(45 * time.Second): // Kubernetes waits as long.
		t.Fatalf("SIGTERM does not end it\n%s", p.log)
	}
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || state.Signal() != syscall.SIGTERM && state.ExitStatus() != 128+int(syscall.SIGTERM) {
		t.Errorf("SIGTERM ends it with %v", p.err)
	}
}

// A lockedBuffer has the output of a running program.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	// arrived is closed when the output contains awaited that many times.
	awaited string
	times   int
	arrived chan struct{}
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.announce()
	return b.buffer.Write(p)
}

// String implements fmt.Stringer.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// AWS Lambda starts bootstrap without arguments. The program must have the command that
// bootstrap calls, and must fail only because it has no credentials.
func TestLambda(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	mustRun(t, repository, nil, "make", "lambda", "BIN="+bin, "TARGETS="+target(), "VERSION="+version)
	_, processor, _ := strings.Cut(target(), "/")
	r := run(t, filepath.Join(bin, "lambda", processor), nil, "./bootstrap")
	if r.code == 0 || !strings.Contains(r.stderr, "lambda-client-id") || !strings.Contains(r.stderr, "lambda-client-secret") {
		t.Errorf("without credentials it ends with %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	without := run(t, "", nil, released(t), "lambda")
	if strings.Contains(without.stderr, "lambda-client-id") {
		t.Error("the ordinary program has the command as well: then the other program is not needed")
	}
}
