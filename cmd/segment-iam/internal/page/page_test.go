package page

import (
	"bytes"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read returns a snapshot of a simulated workspace.
func read(t testing.TB, ws *sim.Workspace) *access.Snapshot {
	t.Helper()
	s := sim.New(ws)
	client, err := segmentapi.New(s.Token(), segmentapi.WithHTTPClient(simtest.Client(s)))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := access.Read(t.Context(), client, access.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func TestTry(t *testing.T) {
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile(), "big": sim.Sized(sim.Size{Users: 1000, Groups: 40, Sources: 1000, Labels: 10, Invites: 20})} {
		var b bytes.Buffer
		if err := Report(&b, New("dev", Source{Snapshot: read(t, ws), From: "sync.c1z"})); err != nil {
			t.Fatal(err)
		}
		os.WriteFile("/tmp/"+name+".html", b.Bytes(), 0o600)
		t.Log(name, b.Len())
	}
}
