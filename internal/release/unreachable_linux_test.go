package release

import (
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// If a service cannot reach ConductorOne, or ConductorOne refuses it, the service ends with a
// specific exit code within about half a minute. It does not restart itself. The guide lists
// these codes and messages.
func TestService_ConductorOneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	unused := "127.0.0.1:" + simtest.FreePort(t)
	for name, tc := range map[string]struct {
		change func(*conductorOne)
		code   int
		want   string
	}{
		"nobody listens":        {func(c *conductorOne) { c.clientID = "a-connector@" + unused + "/spc" }, 4, "startup Hello failed: context deadline exceeded"},
		"client id is unknown":  {func(c *conductorOne) { c.clientID = "another" + c.clientID }, 16, "startup Hello failed: rpc error: code = Unauthenticated"},
		"client id is no id":    {func(c *conductorOne) { c.clientID = "a-connector" }, 2, "invalid client id"},
		"client secret is none": {func(c *conductorOne) { c.secret = "secret" }, 2, "invalid client secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serveConductorOne(t)
			tc.change(c)
			s := simtest.Serve(t, sim.Demo())
			service, _ := startService(t, c, s)
			<-service.ended
			if code := service.cmd.ProcessState.ExitCode(); code != tc.code || !strings.Contains(service.log.String(), tc.want) {
				t.Errorf("ends with %d, want %d and %q:\n%s", code, tc.code, tc.want, service.log)
			}
			if !strings.Contains(read(t, shipped, "connector.mdx"), "`"+tc.want+"`") {
				t.Errorf("the guide does not have %q", tc.want)
			}
			if writes := simtest.Writes(s.Journal()); len(writes) > 0 {
				t.Errorf("writes: %q", writes)
			}
		})
	}
}

// If ConductorOne becomes unreachable later, the service logs an error for each failed
// attempt, and keeps trying.
func TestService_ConductorOneGoesAway(t *testing.T) {
	t.Parallel()
	c := serveConductorOne(t)
	service, _ := startService(t, c, simtest.Serve(t, sim.Demo()))
	service.wait(t, "Hello", c.hello)
	close(c.welcome)
	service.wait(t, "asking for a task", c.asked)
	logged := service.log.await(`"level":"error"`, 1)
	c.close()
	service.wait(t, "the error", logged)
	if !strings.Contains(service.log.String(), "runner: error getting next task") {
		t.Errorf("it logs:\n%s", service.log)
	}
	service.end(t)
}
