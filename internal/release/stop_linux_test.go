package release

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	c1 "github.com/conductorone/baton-sdk/pb/c1/connectorapi/baton/v1"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A service that is asked to stop while it makes a grant ends the grant and reports it
// to ConductorOne. It makes no other grant, and reports none that it has not begun as
// failed: ConductorOne gives the task to the next connector then.
func TestService_StopWaitsForChange(t *testing.T) {
	t.Parallel()
	c := serveConductorOne(t)
	s := simtest.Serve(t, sim.Demo())
	committed, release := simtest.HoldAnswer(t, s.Server, "addPermissionsToUser")
	service, temp := startService(t, c, s, "--provisioning", "--task-concurrency", "2")
	service.wait(t, "Hello", c.hello)
	close(c.welcome)

	first, second := c1.Task_builder{Id: "first", Grant: grantTask(s.Server)}.Build(), c1.Task_builder{Id: "second", Grant: grantTask(s.Server)}.Build()
	users := s.Workspace().Users
	second.GetGrant().GetPrincipal().SetId(v2.ResourceId_builder{ResourceType: "user", Resource: users[0].ID}.Build())
	service.handOut(t, c, first)
	service.wait(t, "the grant", committed)
	waiting := service.log.await("stopping when this has ended: granting ", 1)
	if err := service.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	service.wait(t, "the stop", waiting)
	service.handOut(t, c, second)
	release()

	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case outcome := <-c.finished:
			if outcome.GetTaskId() != "first" || outcome.GetSuccess() == nil {
				t.Errorf("ConductorOne learns %v", outcome)
			}
		case <-service.ended:
			t.Error("ConductorOne does not learn of the end of the grant")
		}
	}()
	service.wait(t, "the end of the grant", finished)
	select {
	case <-service.ended:
	case outcome := <-c.finished:
		t.Errorf("ConductorOne learns %v", outcome)
		<-service.ended
	}
	if state, ok := service.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || state.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v\n%s", service.err, service.log)
	}
	if writes := simtest.Writes(s.Journal()); len(writes) != 1 {
		t.Errorf("writes: %q\n%s", writes, service.log)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A service that is asked to stop while it waits exits with 1 or by the signal,
// prints little and leaves no temporary file. ConductorOne learns nothing of a sync that has not
// ended, and gives the task to the next connector.
func TestService_StoppedWhileWaiting(t *testing.T) {
	t.Parallel()
	const maxLines = 5
	limited := sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"60"}}}
	sync := c1.Task_builder{Id: "a-sync", SyncFull: &c1.Task_SyncFullTask{}}.Build()
	for name, reach := range map[string]func(*testing.T, *process, *conductorOne, simtest.Server){
		"the first answer": func(t *testing.T, service *process, c *conductorOne, _ simtest.Server) {
			service.wait(t, "Hello", c.hello)
		},
		"a task": func(t *testing.T, service *process, c *conductorOne, _ simtest.Server) {
			close(c.welcome)
			service.wait(t, "asking for a task", c.asked)
		},
		"Segment": func(t *testing.T, service *process, c *conductorOne, s simtest.Server) {
			var held atomic.Int32
			waiting := make(chan struct{})
			simtest.Committed(t, s.Server, "getUser", 0, func(ctx context.Context) {
				if held.Add(1) == connector.Workers {
					close(waiting)
				}
				<-ctx.Done()
			})
			close(c.welcome)
			service.handOut(t, c, sync)
			service.wait(t, "requests of all workers", waiting)
		},
		"the rate limit": func(t *testing.T, service *process, c *conductorOne, s simtest.Server) {
			simtest.Inject(t, s.Server, limited)
			waiting := service.log.await("waiting for the rate limit", 1)
			close(c.welcome)
			service.handOut(t, c, sync)
			service.wait(t, "the limit", waiting)
		},
		"the upload": func(t *testing.T, service *process, c *conductorOne, _ simtest.Server) {
			close(c.welcome)
			service.handOut(t, c, sync)
			service.wait(t, "the upload", c.uploading)
		},
	} {
		for _, by := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(name+"/"+by.String(), func(t *testing.T) {
				t.Parallel()
				c := serveConductorOne(t)
				s := simtest.Serve(t, sim.Demo())
				service, temp := startService(t, c, s)
				reach(t, service, c, s)
				before := strings.Count(service.log.String(), "\n")
				if err := service.cmd.Process.Signal(by); err != nil {
					t.Fatal(err)
				}
				select {
				case <-service.ended:
				case outcome := <-c.finished:
					t.Errorf("ConductorOne learns %v", outcome)
					<-service.ended
				}
				lines := strings.Count(service.log.String(), "\n") - before
				t.Logf("ended with %v after %d lines", service.err, lines)
				state, ok := service.cmd.ProcessState.Sys().(syscall.WaitStatus)
				if !ok || state.Signal() != by && state.ExitStatus() != 1 || lines > maxLines {
					t.Errorf("ended with %v after %d lines\n%s", service.err, lines, service.log)
				}
				if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
}

// startService starts the program as a service of ConductorOne. It returns the folder of
// its temporary files as well.
func startService(t *testing.T, c *conductorOne, s simtest.Server, args ...string) (*process, string) {
	t.Helper()
	dir, temp := t.TempDir(), t.TempDir()
	certificates := filepath.Join(dir, "certificates")
	if err := os.WriteFile(certificates, c.certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), released(t), append(args, "--log-level", "info")...)
	cmd.Dir = dir
	cmd.Env = append(s.Env(), "BATON_CLIENT_ID="+c.clientID, "BATON_CLIENT_SECRET="+c.secret,
		"SSL_CERT_FILE="+certificates, "TMPDIR="+temp, "HOME="+dir)
	return start(t, cmd), temp
}

// handOut hands out a task and returns when the connector has it.
func (p *process) handOut(t *testing.T, c *conductorOne, task *c1.Task) {
	t.Helper()
	taken := make(chan struct{})
	go func() {
		select {
		case c.tasks <- task:
			close(taken)
		case <-t.Context().Done():
		}
	}()
	p.wait(t, "taking of "+task.GetId(), taken)
}

// await returns a channel that is closed when the output contains a string, n times.
func (b *lockedBuffer) await(text string, n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awaited, b.times, b.arrived = text, n, make(chan struct{})
	return b.arrived
}

// announce closes the channel of await, with the buffer locked.
func (b *lockedBuffer) announce() {
	if b.awaited != "" && strings.Count(b.buffer.String(), b.awaited) >= b.times {
		b.awaited = ""
		close(b.arrived)
	}
}
