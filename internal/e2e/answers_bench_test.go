package e2e

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// BenchmarkAnswers_File measures segment-iam on a large file, beside a program that reads
// the same rows and does nothing else.
func BenchmarkAnswers_File(b *testing.B) {
	iam, program, reader := buildAsReleased(b, "./cmd/segment-iam"), buildAsReleased(b, "./cmd/baton-segment"), buildAsReleased(b, "./internal/sdkbaseline/reader")
	large := bench{users: 100_000}
	ws := sim.Sized(large.size())
	file := filepath.Join(b.TempDir(), "sync.c1z")
	server := simtest.Server{Server: sim.New(ws, sim.WithToken(token))}
	listener := httptest.NewServer(server)
	defer listener.Close()
	server.URL = listener.URL
	runMeasured(b, server.Env(), program, "-f", file, "--log-level", "error")
	for name, args := range map[string][]string{
		"who":    {iam, "who", "--type", "source", ws.Sources[0].ID, "-f", file, "-o", "csv"},
		"what":   {iam, "what", ws.Users[0].ID, "-f", file, "-o", "csv"},
		"reader": {reader, file},
	} {
		b.Run("users=100000/program="+name, func(b *testing.B) {
			var sum measurement
			for b.Loop() {
				one := runMeasured(b, nil, args[0], args[1:]...)
				sum.wall, sum.cpu, sum.rss = sum.wall+one.wall, sum.cpu+one.cpu, max(sum.rss, one.rss)
			}
			sum.report(b)
		})
	}
}

// BenchmarkAnswers_Live measures segment-iam on a workspace itself, beside the time that
// its requests take if as many as possible are under way.
func BenchmarkAnswers_Live(b *testing.B) {
	iam := buildAsReleased(b, "./cmd/segment-iam")
	for name, c := range map[string]bench{
		"users=10000/latency=20ms": {users: 10_000, latency: 20 * time.Millisecond},
		"users=10000/limit=6000":   {users: 10_000, limit: 6000},
	} {
		b.Run(name+"/program=live", func(b *testing.B) { c.measureLive(b, iam) })
	}
}

// measureLive asks a workspace for its owners. The metric of-least is the wall time over the
// least possible. That follows from the latency that the server had: a timer of 20 ms takes
// about 21.
func (c bench) measureLive(b *testing.B, iam string) {
	segment := sim.New(sim.Sized(c.size()), sim.WithToken(token), sim.WithLimit(c.limit))
	var latency atomic.Int64 // Of all requests together.
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		if c.latency > 0 {
			<-time.After(c.latency)
		}
		segment.ServeHTTP(w, r)
		latency.Add(int64(time.Since(start)))
	}))
	defer listener.Close()
	env := simtest.Server{Server: segment, URL: listener.URL}.Env()
	var sum measurement
	requests := 0
	for b.Loop() {
		segment.ResetJournal()
		one := runMeasured(b, env, iam, "owners", "--live", "-o", "json")
		sum.wall, sum.cpu, sum.rss = sum.wall+one.wall, sum.cpu+one.cpu, max(sum.rss, one.rss)
		requests = len(segment.Journal())
	}
	sum.report(b)
	least := time.Duration(latency.Load()/int64(b.N)) / access.DefaultWorkers
	if c.limit > 0 {
		least = time.Duration(float64(requests) / (0.9 * float64(c.limit)) * float64(time.Minute))
	}
	b.ReportMetric(float64(requests), "requests")
	b.ReportMetric(float64(latency.Load())/float64(b.N)/float64(requests)/1e6, "latency-ms")
	b.ReportMetric(sum.wall.Seconds()/float64(b.N)/least.Seconds(), "of-least")
}

// BenchmarkAnswers_Report measures segment-iam writing a report of 1,000 people and 1,000
// sources from a file. It is to take 2 seconds and 5 MB at most.
func BenchmarkAnswers_Report(b *testing.B) {
	iam, program := buildAsReleased(b, "./cmd/segment-iam"), buildAsReleased(b, "./cmd/baton-segment")
	ws := sim.Sized(sim.Size{Users: 1000, Groups: 40, Sources: 1000, Warehouses: 5, Functions: 20, Spaces: 5, Invites: 20, Labels: 12, MembersPerGroup: 10, Seed: 1})
	dir := b.TempDir()
	file, report := filepath.Join(dir, "sync.c1z"), filepath.Join(dir, "report.html")
	server := simtest.Server{Server: sim.New(ws, sim.WithToken(token))}
	listener := httptest.NewServer(server)
	defer listener.Close()
	server.URL = listener.URL
	runMeasured(b, server.Env(), program, "-f", file, "--log-level", "error")
	b.Run("users=1000/program=report", func(b *testing.B) {
		var sum measurement
		for b.Loop() {
			sum.add(b, runMeasured(b, nil, iam, "report", "-o", report, "-f", file), report)
		}
		sum.report(b)
	})
}
