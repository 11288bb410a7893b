package page

import (
	"net/http"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// BenchmarkServe measures pages about a large workspace. The metric slowest-ms is for one
// page, which has to be made in less than 200 ms.
func BenchmarkServe(b *testing.B) {
	snapshot := read(b, sim.Sized(sim.Size{
		Users: 100_000, Groups: 2000, Sources: 10_000, Warehouses: 5, Functions: 20, Spaces: 5, Invites: 20, Labels: 12, MembersPerGroup: 10, Seed: 1,
	}))
	begun := time.Now()
	s := New("test", Source{Snapshot: snapshot, From: "sync.c1z"})
	b.Logf("the site is made in %s", time.Since(begun))
	h := newHandler(b, s)
	for name, targets := range map[string][]string{
		"overview": {"/"}, "missing": {"/user?id=no-such-user"},
		"search=all": {"/search?q=e"}, "search=many": {"/search?q=user-9"}, "search=one": {"/search?q=user-99999@example.com"}, "search=none": {"/search?q=no+such+thing"},
		"list=people": {"/list?name=people", "/list?name=people&from=100001"}, "list=by-name": {"/list?name=by-name", "/list?name=by-name&from=60001"}, "list=every-source": {"/list?name=every-source"},
		"user": s.some(access.TypeUser), "invite": s.some(access.TypeInvite), "group": s.some(access.TypeGroup), "role": s.some(access.TypeRole), "label": s.some(access.TypeLabel),
		"source": s.some(access.TypeSource), "space": s.some(access.TypeSpace), "function": s.some(access.TypeFunction), "warehouse": s.some(access.TypeWarehouse),
	} {
		b.Run("users=100000/page="+name, func(b *testing.B) {
			slowest, bytes := time.Duration(0), 0
			for b.Loop() {
				for _, target := range targets {
					begun := time.Now()
					w := get(b, h, target)
					slowest, bytes = max(slowest, time.Since(begun)), max(bytes, w.Body.Len())
					if w.Code != http.StatusOK && name != "missing" {
						b.Fatalf("%s is answered with %d", target, w.Code)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*len(targets)), "ms/page")
			b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
			b.ReportMetric(float64(bytes), "bytes")
			b.ReportMetric(0, "ns/op") // It is ms/page.
		})
	}
}

// some returns the addresses of up to thirty things of a type, from all parts of their list.
func (s *Site) some(typeID string) []string {
	w := s.workspaces[0]
	things := w.Things(typeID)
	var targets []string
	for i := 0; i < len(things); i += max(1, len(things)/30) {
		targets = append(targets, s.served(w.address(typeID, things[i].ID)))
	}
	return targets
}
