package writing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func always() bool { return true }

// listen returns a register and a reporter of the same process.
func listen(t *testing.T, dir string, mayBegin func() bool) (*Register, Reporter) {
	t.Helper()
	r, err := Listen(dir, mayBegin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.endProcess)
	t.Setenv(r.Env())
	return r, FromEnv()
}

// endProcess does what the end of the parent does.
func (r *Register) endProcess() {
	_ = r.Close() // Some tests have closed it.
	r.mu.Lock()
	for conn := range r.open {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.serving.Wait()
}

func start(t *testing.T, c Reporter, what string) (context.Context, func()) {
	t.Helper()
	ctx, end, err := c.Begin(t.Context(), what)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, end
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Stop returns the changes under way, ends their contexts and waits for them. It
// works the same over a socket and over a port.
func TestStop_WaitsForChanges(t *testing.T) {
	for name, dir := range map[string]string{
		"socket":        t.TempDir(),
		"port":          "",
		"path too long": filepath.Join(t.TempDir(), strings.Repeat("x", 120)),
	} {
		t.Run(name, func(t *testing.T) {
			r, c := listen(t, dir, always)
			if network := r.listener.Addr().Network(); (network == "unix") != (name == "socket") {
				t.Errorf("listens on %s", network)
			}
			one, endOne := start(t, c, "one")
			two, endTwo := start(t, c, "two\nlines")
			underWay, ended := r.Stop()
			if !slices.Equal(underWay, []string{"one", "two lines"}) {
				t.Errorf("under way: %q", underWay)
			}
			<-one.Done()
			<-two.Done()
			if cause := context.Cause(one); !errors.Is(cause, ErrStopping) {
				t.Errorf("the context ended with %v", cause)
			}
			endOne()
			if isClosed(ended) {
				t.Error("does not wait for the second change")
			}
			endTwo()
			<-ended
			if left := r.UnderWay(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// When the child has reported a sync, the parent has it. Nothing else is taken for one.
func TestSynced(t *testing.T) {
	r, c := listen(t, t.TempDir(), always)
	if got := r.Synced(); got != nil {
		t.Errorf("before: %+v", got)
	}
	stranger := c
	stranger.secret = "another"
	if err := stranger.Synced(t.Context(), Synced{ID: "strange"}); err != nil || r.Synced() != nil {
		t.Errorf("another's: %+v, %v", r.Synced(), err)
	}
	for _, want := range []Synced{{ID: "1", Skipped: []string{"label", "function of the type SOURCE"}}, {ID: "2"}} {
		if err := c.Synced(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got := r.Synced(); got == nil || got.ID != want.ID || !slices.Equal(got.Skipped, want.Skipped) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if underWay, ended := r.Stop(); len(underWay) > 0 || !isClosed(ended) {
		t.Errorf("under way: %q", underWay)
	}
	if err := (Reporter{}).Synced(t.Context(), Synced{}); err != nil {
		t.Errorf("without a parent: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Synced(t.Context(), Synced{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without its socket: %v", err)
	}
}

// Without a change under way there is nothing to wait for. Changes that ended before do
// not count.
func TestStop_Idle(t *testing.T) {
	r, c := listen(t, t.TempDir(), always)
	ctx, end := start(t, c, "one")
	if ctx.Err() != nil {
		t.Error("the context of a change has ended without a stop")
	}
	end()
	for len(r.UnderWay()) > 0 { // The parent has yet to see the end of the connection.
		runtime.Gosched()
	}
	underWay, ended := r.Stop()
	if len(underWay) > 0 || !isClosed(ended) {
		t.Errorf("under way: %q", underWay)
	}
}

// After a stop a change waits until its caller gives up, or the parent has ended.
func TestBegin_AfterStop(t *testing.T) {
	for name, end := range map[string]func(context.CancelFunc, *Register){
		"cancelled":    func(cancel context.CancelFunc, _ *Register) { cancel() },
		"parent ended": func(_ context.CancelFunc, r *Register) { r.endProcess() },
	} {
		t.Run(name, func(t *testing.T) {
			r, c := listen(t, t.TempDir(), always)
			_, ended := r.Stop()
			if !isClosed(ended) {
				t.Error("waits for nothing")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error)
			go func() {
				_, _, err := c.Begin(ctx, "late")
				failed <- err
			}()
			for !r.HeldBack() {
				runtime.Gosched()
			}
			end(cancel, r)
			if err := <-failed; !errors.Is(err, ErrStopping) {
				t.Errorf("began: %v", err)
			}
		})
	}
}

func (r *Register) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// No change begins if the parent refuses the first one.
func TestBegin_Refused(t *testing.T) {
	asked := 0
	r, c := listen(t, t.TempDir(), func() bool { asked++; return false })
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			if _, _, err := c.Begin(ctx, "one"); !errors.Is(err, ErrStopping) {
				t.Errorf("began: %v", err)
			}
		})
	}
	for r.connections() < 2 || !r.HeldBack() {
		runtime.Gosched()
	}
	cancel()
	waiting.Wait()
	r.endProcess()
	if r.HeldBack() {
		t.Error("a change is held back that nobody waits for")
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// At whatever moment the stop comes, a change either does not begin or is waited
// for.
func TestStop_RacesWithBegin(t *testing.T) {
	for round := range 200 {
		r, err := Listen(t.TempDir(), always)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(r.Env())
		c := FromEnv()
		var running atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		var changes sync.WaitGroup
		for i := range 4 {
			changes.Go(func() {
				for ctx.Err() == nil {
					stopped, end, beginErr := c.Begin(ctx, fmt.Sprint(i))
					if beginErr != nil {
						continue
					}
					running.Add(1)
					if i%2 == 0 {
						<-stopped.Done()
					}
					running.Add(-1)
					end()
				}
			})
		}
		if round%2 == 0 {
			for len(r.UnderWay()) == 0 {
				runtime.Gosched()
			}
		}
		_, ended := r.Stop()
		<-ended
		if n := running.Load(); n != 0 {
			t.Errorf("%d changes run after the end", n)
		}
		cancel()
		changes.Wait()
		r.endProcess()
	}
}

// A child that crashes closes its connection.
func TestStop_ChildCrashed(t *testing.T) {
	r, c := listen(t, t.TempDir(), always)
	conn, err := new(net.Dialer).DialContext(t.Context(), c.network, c.address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = fmt.Fprintf(conn, "%s crashing\n", c.secret); err != nil {
		t.Fatal(err)
	}
	for len(r.UnderWay()) == 0 {
		runtime.Gosched()
	}
	_, ended := r.Stop()
	if isClosed(ended) {
		t.Error("does not wait")
	}
	if err = conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// Another user of the machine can connect to the port, but not delay a stop.
func TestRegister_WrongSecret(t *testing.T) {
	r, c := listen(t, "", always)
	c.secret = "guessed"
	if _, _, err := c.Begin(t.Context(), "foreign"); !errors.Is(err, ErrStopping) {
		t.Errorf("began: %v", err)
	}
	if underWay := r.UnderWay(); len(underWay) > 0 {
		t.Errorf("under way: %q", underWay)
	}
}

// Without a parent a change depends on the caller's context only.
func TestBegin_NoParent(t *testing.T) {
	t.Setenv(variable, "")
	ctx, end, err := FromEnv().Begin(t.Context(), "one")
	if err != nil || ctx != t.Context() {
		t.Errorf("another context, %v", err)
	}
	end()
}

// If the parent cannot be reached, the change is made all the same.
func TestBegin_Unreachable(t *testing.T) {
	r, c := listen(t, t.TempDir(), always)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, end, err := c.Begin(t.Context(), "one")
	if !errors.Is(err, ErrUnreachable) || ctx == nil {
		t.Fatalf("%v, %v", ctx, err)
	}
	end()
}
