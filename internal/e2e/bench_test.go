package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/internal/sdkbaseline"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A bench is one sync of a simulated workspace, to be measured with baton-segment
// and with the baseline.
type bench struct {
	users   int
	latency time.Duration
	// workers is the --workers flag, zero for the program's default.
	workers int
	// limit is the number of requests a minute that Segment allows, zero for no
	// limit.
	limit int
}

func (c bench) String() string {
	workers := "default"
	if c.workers != 0 {
		workers = strconv.Itoa(c.workers)
	}
	name := fmt.Sprintf("users=%d/latency=%s/workers=%s", c.users, c.latency, workers)
	if c.limit != 0 {
		name += fmt.Sprintf("/limit=%d", c.limit)
	}
	return name
}

// size has one group for 50 users and one source for 10.
func (c bench) size() sim.Size {
	return sim.Size{
		Users: c.users, Groups: c.users / 50, Sources: c.users / 10,
		Warehouses: 5, Functions: 20, Spaces: 5, Invites: 20, Labels: 12, MembersPerGroup: 10, Seed: 1,
	}
}

// pageSize is the default of the program.
const pageSize = 1000

// longest leaves out syncs that would take longer. The estimate is the latency and
// two milliseconds for each user, divided by the workers.
var longest = flag.Duration("longest", 70*time.Second, "the longest sync to measure")

// BenchmarkSync measures whole syncs with the program, and beside each the SDK
// alone with the same rows and waits. The simulator runs in this process and is
// not measured.
func BenchmarkSync(b *testing.B) {
	cases := []bench{{users: 5000, latency: 50 * time.Millisecond}, {users: 10_000}, {users: 10_000, limit: 6000}}
	for _, users := range []int{1000, 10_000, 100_000} {
		for _, latency := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond} {
			for _, workers := range []int{1, 4, 8, 16, 32} {
				c := bench{users: users, latency: latency, workers: workers}
				if time.Duration(users)*(latency+2*time.Millisecond)/time.Duration(workers) > *longest {
					b.Logf("%s is left out: it would take more than %s", c, *longest)
					continue
				}
				cases = append(cases, c)
			}
		}
	}
	program, baselineProgram := buildAsReleased(b, "./cmd/baton-segment"), buildAsReleased(b, "./internal/sdkbaseline/cmd")
	for _, c := range cases {
		b.Run(c.String()+"/program=baton-segment", func(b *testing.B) { c.measure(b, program) })
		if c.limit == 0 {
			b.Run(c.String()+"/program=baseline", func(b *testing.B) { c.measureBaseline(b, baselineProgram) })
		}
	}
}

func (c bench) args(file string) []string {
	args := []string{"-f", file, "--log-level", "error"}
	if c.workers != 0 {
		args = append(args, "--workers", strconv.Itoa(c.workers))
	}
	return args
}

// measure syncs with baton-segment.
func (c bench) measure(b *testing.B, program string) {
	ws := sim.Sized(c.size())
	segment := sim.New(ws, sim.WithToken(token), sim.WithLimit(c.limit))
	var connections atomic.Int64
	listener := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.latency > 0 {
			<-time.After(c.latency)
		}
		segment.ServeHTTP(w, r)
	}))
	listener.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	listener.Start()
	defer listener.Close()
	want := c.requests(ws)
	s := simtest.Server{Server: segment, URL: listener.URL}
	var sum measurement
	refused := 0
	for b.Loop() {
		segment.ResetJournal()
		file := filepath.Join(b.TempDir(), "sync.c1z")
		sum.add(b, runMeasured(b, s.Env(), program, c.args(file)...), file)
		answered := 0
		for _, r := range segment.Journal() {
			if r.Status == http.StatusTooManyRequests {
				refused++
			} else {
				answered++
			}
		}
		if answered != want {
			b.Fatalf("%d requests, and the formula says %d", answered, want)
		}
	}
	sum.report(b)
	b.ReportMetric(float64(want), "requests")
	b.ReportMetric(float64(refused)/float64(b.N), "429s")
	b.ReportMetric(float64(connections.Load())/float64(b.N), "connections")
	if c.limit != 0 {
		least := float64(want) / (0.9 * float64(c.limit)) * 60
		b.ReportMetric(sum.wall.Seconds()/float64(b.N)/least, "x-limit")
	}
}

// BenchmarkColdStart measures the time from the start of the program to its first
// request, beside a connector of the SDK that has nothing to read.
func BenchmarkColdStart(b *testing.B) {
	first := make(chan time.Time, 1)
	segment := sim.New(sim.Demo(), sim.WithToken(token))
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case first <- time.Now():
		default: // A later request.
		}
		segment.ServeHTTP(w, r)
	}))
	defer listener.Close()
	workspace := filepath.Join(b.TempDir(), "workspace")
	empty := &sdkbaseline.Workspace{Announce: listener.URL, Types: []sdkbaseline.Type{{ID: typeUser, Trait: int32(v2.ResourceType_TRAIT_USER), PageSize: 1}}}
	if err := empty.Write(workspace); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "sync.c1z")
	for _, p := range []struct {
		name, path string
		env, args  []string
	}{
		{name: "baton-segment", path: buildAsReleased(b, "./cmd/baton-segment"), env: simtest.Server{Server: segment, URL: listener.URL}.Env()},
		{name: "empty", path: buildAsReleased(b, "./internal/sdkbaseline/cmd"), args: []string{"--workspace", workspace}},
	} {
		b.Run("program="+p.name, func(b *testing.B) {
			var waited time.Duration
			for b.Loop() {
				begun := time.Now()
				runMeasured(b, p.env, p.path, slices.Concat([]string{"-f", file, "--log-level", "error"}, p.args)...)
				waited += (<-first).Sub(begun)
				if err := os.Remove(file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(waited.Milliseconds())/float64(b.N), "first-request-ms")
		})
	}
}

// The baseline of the benchmarks writes the rows of a sync and waits for as many
// requests.
func TestBaseline_RowsAndRequests(t *testing.T) {
	t.Parallel()
	c := bench{users: 100}
	ws := sim.Sized(c.size())
	baseline := build(t, os.Environ(), "./internal/sdkbaseline/cmd")
	workspace := filepath.Join(t.TempDir(), "workspace")
	if err := baselineOf(ws, 0).Write(workspace); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if r := runIn(t, t.TempDir(), nil, baseline, "--workspace", workspace, "-f", file); r.code != 0 {
		t.Fatalf("the baseline ends with %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	s := serve(t, ws)
	if diff := cmp.Diff(rowIDs(t, syncFile(t, s)), rowIDs(t, file)); diff != "" {
		t.Errorf("rows (-baton-segment +baseline):\n%s", diff)
	}
	if got := len(s.Journal()); got != c.requests(ws) || c.requests(ws) != requestsOf(baselineOf(ws, 0)) {
		t.Errorf("%d requests, want %d by the formula, and %d of the baseline", got, c.requests(ws), requestsOf(baselineOf(ws, 0)))
	}
}

func rowIDs(t *testing.T, file string) []string {
	t.Helper()
	var ids []string
	all := readFile(t, file).contents(t)
	for _, r := range all.Resources {
		ids = append(ids, r.Type+":"+r.ID)
	}
	for _, e := range all.Entitlements {
		ids = append(ids, e.ID)
	}
	for _, g := range all.Grants {
		ids = append(ids, g.ID)
	}
	return ids
}

// requestsOf returns the number of requests that a baseline waits for.
func requestsOf(w *sdkbaseline.Workspace) int {
	n := w.Validate
	for _, t := range w.Types {
		n += t.Lists + max(0, (len(t.Rows)-1)/t.PageSize)
		for _, row := range t.Rows {
			if t.Asked {
				n++
			}
			for _, page := range row.Grants {
				if page.Request {
					n++
				}
			}
		}
	}
	return n
}

// requests returns the number of requests by the formula. A group takes three: its
// details, its members and its pending members, each in one page.
func (c bench) requests(ws *sim.Workspace) int {
	without := *ws
	without.Groups = nil // The oracle is slow to compute the members of groups.
	sum := max(0, (len(ws.Groups)-1)/pageSize) + 3*len(ws.Groups)
	for _, n := range cost(&without, builtTypes(), pageSize) {
		sum += n
	}
	return sum
}

// measureBaseline syncs with the baseline.
func (c bench) measureBaseline(b *testing.B, program string) {
	workspace := filepath.Join(b.TempDir(), "workspace")
	if err := baselineOf(sim.Sized(c.size()), c.latency).Write(workspace); err != nil {
		b.Fatal(err)
	}
	var sum measurement
	args := []string{"--workspace", workspace}
	if c.workers == 0 {
		args = append(args, "--workers", strconv.Itoa(connector.Workers))
	}
	for b.Loop() {
		file := filepath.Join(b.TempDir(), "sync.c1z")
		sum.add(b, runMeasured(b, nil, program, slices.Concat(c.args(file), args)...), file)
	}
	sum.report(b)
}

// A measurement is the time and memory of a program and its child processes.
type measurement struct {
	wall, cpu time.Duration
	// rss is the peak of their resident memory together, size that of the file,
	// both in bytes.
	rss, size int64
}

func (s *measurement) add(b *testing.B, one measurement, file string) {
	b.Helper()
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	s.wall += one.wall
	s.cpu += one.cpu
	s.rss = max(s.rss, one.rss)
	s.size = info.Size()
	if err = os.Remove(file); err != nil {
		b.Fatal(err)
	}
}

func (s *measurement) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // It is wall-s.
	b.ReportMetric(s.wall.Seconds()/float64(b.N), "wall-s")
	b.ReportMetric(s.cpu.Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(s.size)/(1<<20), "c1z-MiB")
	if s.rss != 0 {
		b.ReportMetric(float64(s.rss)/(1<<20), "rss-MiB")
	}
}

// runMeasured runs a program to its end. Without /proc, memory is unknown, and the
// processor time is that of the program and the children that it waited for.
func runMeasured(b *testing.B, env []string, program string, args ...string) measurement {
	b.Helper()
	dir := b.TempDir()
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = environment(dir, env)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var total measurement
	cpus := map[int]time.Duration{}
	for {
		select {
		case <-ticker.C:
			var rss int64
			for _, pid := range descendants(cmd.Process.Pid) {
				cpu, resident := processUsage(pid)
				cpus[pid] = max(cpus[pid], cpu)
				rss += resident
			}
			total.rss = max(total.rss, rss)
			continue
		case err := <-ended:
			if err != nil {
				b.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, &output)
			}
		}
		break
	}
	total.wall = time.Since(begun)
	for _, cpu := range cpus {
		total.cpu += cpu
	}
	total.cpu = max(total.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	return total
}

// descendants returns a process and its child processes, recursively.
func descendants(pid int) []int {
	all := []int{pid}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		panic(err) // The pattern is wrong.
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // The thread has ended.
		}
		for _, field := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, descendants(child)...)
			}
		}
	}
	return all
}

// tick is the unit of processor times in /proc.
const tick = time.Second / 100

// processUsage returns the processor time and the resident memory of a process,
// zero when it has ended.
func processUsage(pid int) (time.Duration, int64) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name is in brackets and may contain any character. The third field, the
	// state, follows it.
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	number := func(n int) int64 {
		value, err := strconv.ParseInt(fields[n-3], 10, 64)
		if err != nil {
			panic(err) // The kernel has changed the format.
		}
		return value
	}
	return time.Duration(number(14)+number(15)) * tick, number(24) * int64(os.Getpagesize())
}

// buildAsReleased builds a program as a release does: without cgo, which changes
// the memory use, because the SDK's store then allocates from Go's heap.
func buildAsReleased(b *testing.B, source string) string {
	b.Helper()
	return build(b, append(os.Environ(), "CGO_ENABLED=0"), "-trimpath", "-buildvcs=false", "-ldflags=-s -w", source)
}

// build builds a program. With no flags it shares the compiled packages of make
// build.
func build(t testing.TB, env []string, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build", "-o", program}, args)...)
	cmd.Dir, cmd.Env = repository, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return program
}

// baselineOf returns a workspace of the baseline with the rows and requests that
// the oracle expects of a sync of ws.
func baselineOf(ws *sim.Workspace, latency time.Duration) *sdkbaseline.Workspace {
	o := newOracle(ws, builtTypes())
	o.list()
	o.addStaticEntitlements()
	types := map[string]*sdkbaseline.Type{}
	out := &sdkbaseline.Workspace{Latency: latency, Validate: 3}
	for _, typeID := range builtTypes() {
		t := sdkbaseline.Type{ID: typeID, Trait: int32(v2.ResourceType_TRAIT_APP), Lists: 1, PageSize: pageSize}
		switch typeID {
		case typeUser, typeInvite:
			t.Trait = int32(v2.ResourceType_TRAIT_USER)
		case typeGroup:
			t.Trait = int32(v2.ResourceType_TRAIT_GROUP)
			t.Static = []string{"member"}
		case typeRole:
			t.Trait = int32(v2.ResourceType_TRAIT_ROLE)
			t.Static = []string{"assigned"}
		case typeFunction:
			t.Lists = 5
		case typeWorkspace:
			t.Static = []string{"member"}
		}
		for _, role := range ws.Roles {
			if slices.Contains(scopesOf(role.Name), typeID) {
				t.Static = append(t.Static, role.ID)
			}
		}
		t.Asked = typeID == typeUser || typeID == typeGroup
		out.Types = append(out.Types, t)
	}
	for i := range out.Types {
		types[out.Types[i].ID] = &out.Types[i]
	}
	for _, key := range slices.Sorted(maps.Keys(o.resources)) {
		r := o.resources[key]
		row := sdkbaseline.Row{ID: r.ID, Name: r.Name, Email: r.Email, Profile: map[string]string{}}
		for k, v := range r.Profile {
			row.Profile[k] = fmt.Sprint(v)
		}
		types[r.Type].Rows = append(types[r.Type].Rows, row)
	}
	rows := map[string]*sdkbaseline.Row{}
	for _, typeID := range []string{typeUser, typeGroup} {
		for i := range types[typeID].Rows {
			rows[typeID+":"+types[typeID].Rows[i].ID] = &types[typeID].Rows[i]
		}
	}
	// addGrants adds the grants of a principal: a page of those on listed resources,
	// and one of those on others.
	addGrants := func(row *sdkbaseline.Row, typeID string, permissions []sim.Permission, more ...sdkbaseline.Grant) {
		ordinary, inserted := more, []sdkbaseline.Grant(nil)
		for _, t := range o.targets(permissions) {
			on := sdkbaseline.Entitlement{Type: t.on, ID: t.id, Slug: t.slug}
			if _, static := o.entitlements[t.entitlement()]; !static {
				row.Entitlements = append(row.Entitlements, on)
			}
			g := sdkbaseline.Grant{Entitlement: on, PrincipalType: typeID, Principal: row.ID, Expands: typeID == typeGroup}
			if _, listed := o.resources[t.on+":"+t.id]; listed {
				ordinary = append(ordinary, g)
			} else {
				inserted = append(inserted, g)
			}
		}
		row.Grants = append(row.Grants, sdkbaseline.Page{Grants: ordinary})
		if len(inserted) > 0 {
			row.Grants = append(row.Grants, sdkbaseline.Page{Grants: inserted, Insert: true})
		}
	}
	people := map[string]string{}
	for _, u := range ws.Users {
		people[u.Email] = u.ID
		member := sdkbaseline.Grant{Entitlement: sdkbaseline.Entitlement{Type: typeWorkspace, ID: ws.ID, Slug: "member"}, PrincipalType: typeUser, Principal: u.ID}
		addGrants(rows[typeUser+":"+u.ID], typeUser, u.Permissions, member)
	}
	for _, g := range ws.Groups {
		users, pending := sdkbaseline.Page{Request: true}, sdkbaseline.Page{Request: true}
		in := sdkbaseline.Entitlement{Type: typeGroup, ID: g.ID, Slug: "member"}
		for _, email := range g.Members {
			if id, ok := people[email]; ok {
				users.Grants = append(users.Grants, sdkbaseline.Grant{Entitlement: in, PrincipalType: typeUser, Principal: id})
			} else {
				pending.Grants = append(pending.Grants, sdkbaseline.Grant{Entitlement: in, PrincipalType: typeInvite, Principal: email})
			}
		}
		row := rows[typeGroup+":"+g.ID]
		row.Grants = []sdkbaseline.Page{users, pending}
		addGrants(row, typeGroup, g.Permissions)
	}
	return out
}
