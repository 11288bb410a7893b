// Segment-sim runs a simulated Segment workspace:
//
//	segment-sim -addr 127.0.0.1:0 -workspace demo
//
// It prints its base URL and the token that it accepts, one per line in the
// form that a shell can read, and serves until it is interrupted:
//
//	URL=http://127.0.0.1:40123
//	TOKEN=sim-token
//
// The journal of requests, the plan of faults and the modes that can change while it
// runs are under /_sim/.
//
// Some flags make the workspace a worse one than Segment is known to be: -lag and
// -replicas let reads show an old state, -normalizing changes what is written and what is
// shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "segment-sim:", err)
		os.Exit(1)
	}
}

// settings are the flags of the command line.
type settings struct {
	addr      string
	anyAddr   bool
	workspace string
	token     string
	next      string
	without   string
	lists     bool
	limit     int
	writes    int
	atOnce    int
	maxCount  int
	id        string
	lag       time.Duration
	replicas  int
	normalize string
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set, err := parse(args, stderr)
	if err != nil {
		return err
	}
	server, err := set.server()
	if err != nil {
		return err
	}
	listener, err := set.listen(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "URL=http://%s\nTOKEN=%s\n", listener.Addr(), server.Token()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return serve(ctx, listener, server)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("segment-sim", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.addr, "addr", "127.0.0.1:0", "`address` to listen on; port 0 takes a free one")
	f.BoolVar(&s.anyAddr, "allow-remote", false, "allow an address that other machines can reach")
	f.StringVar(&s.workspace, "workspace", "demo", "`name` of the workspace: demo, empty, hostile or sized:users=1000,groups=50,seed=7")
	f.StringVar(&s.token, "token", sim.DefaultToken, "`token` to accept")
	f.StringVar(&s.next, "next", "absent", "`form` of next on the last page: absent, null or empty")
	f.StringVar(&s.without, "without", "", "`features` that the plan does not include, such as groups,spaces")
	f.BoolVar(&s.lists, "permissions-in-lists", false, "put permissions into the lists of users and groups")
	f.IntVar(&s.limit, "limit", 0, "requests a minute, without writes to IAM and labels; 0 is no limit")
	f.IntVar(&s.writes, "write-limit", 0, "writes to IAM and labels a minute; 0 is no limit, Segment documents 60")
	f.IntVar(&s.atOnce, "concurrency", 0, "requests that may be under way at a time; 0 is no limit")
	f.IntVar(&s.maxCount, "max-count", 1000, "greatest `count` of rows that a list takes; 200 in older documentation")
	f.StringVar(&s.id, "workspace-id", "", "`id` of the workspace instead of its own; permissions on the workspace follow")
	f.DurationVar(&s.lag, "lag", 0, "`time` by which reads are behind writes, such as 500ms")
	f.IntVar(&s.replicas, "replicas", 1, "`number` of replicas between which the reads of a path alternate; with more than one, the first has no lag, and each further one is behind by -lag more")
	f.StringVar(&s.normalize, "normalizing", "", "`ways`, separated by commas, in which writes and answers are changed: "+normalizations())
	if err := f.Parse(args); err != nil {
		return settings{}, err
	}
	if f.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if s.token == "" {
		return settings{}, errors.New("-token must not be empty")
	}
	if s.limit < 0 || s.writes < 0 || s.atOnce < 0 {
		return settings{}, errors.New("a limit must not be negative")
	}
	if s.maxCount < 1 || s.maxCount > 1000 {
		return settings{}, errors.New("-max-count must be between 1 and 1000")
	}
	if s.lag < 0 {
		return settings{}, errors.New("-lag must not be negative")
	}
	if s.replicas < 1 {
		return settings{}, errors.New("-replicas must be at least 1")
	}
	if s.replicas > 1 && s.lag == 0 {
		return settings{}, errors.New("-replicas has no effect without -lag")
	}
	return s, nil
}

// normalizations returns all normalizations for the help.
func normalizations() string {
	var names []string
	for _, n := range sim.Normalizations() {
		names = append(names, string(n))
	}
	return strings.Join(names, ", ")
}

func (s settings) server() (*sim.Server, error) {
	workspace, err := sim.Named(s.workspace)
	if err != nil {
		return nil, err
	}
	without, err := sim.ParseFeatures(s.without)
	if err != nil {
		return nil, fmt.Errorf("-without: %w", err)
	}
	normalizing, err := sim.ParseNormalizations(s.normalize)
	if err != nil {
		return nil, fmt.Errorf("-normalizing: %w", err)
	}
	if s.id != "" {
		workspace.ChangeID(s.id)
	}
	opts := []sim.Option{
		sim.WithNormalizing(normalizing...),
		sim.WithoutFeatures(without...),
		sim.WithToken(s.token),
		sim.WithLimit(s.limit),
		sim.WithWriteLimit(s.writes),
		sim.WithConcurrency(s.atOnce),
		sim.WithMaxCount(s.maxCount),
	}
	switch s.next {
	case "absent":
	case "null":
		opts = append(opts, sim.WithNext(sim.NextNull))
	case "empty":
		opts = append(opts, sim.WithNext(sim.NextEmpty))
	default:
		return nil, fmt.Errorf("-next is %q, not absent, null or empty", s.next)
	}
	if s.replicas > 1 {
		opts = append(opts, sim.WithReplicas(s.replicas, s.lag))
	} else {
		opts = append(opts, sim.WithLag(s.lag))
	}
	if s.lists {
		opts = append(opts, sim.WithPermissionsInLists())
	}
	return sim.New(workspace, opts...), nil
}

// listen refuses addresses that are not loopback, unless -allow-remote is set: the
// control plane needs no token.
func (s settings) listen(ctx context.Context) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	if !addr.IP.IsLoopback() && !s.anyAddr {
		return nil, fmt.Errorf("%s is not a loopback address; -allow-remote allows it", s.addr)
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", addr.String())
}

// serve serves until ctx ends, and then waits up to five seconds for open requests.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// ctx has ended, so the shutdown has a context of its own.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil {
		return errors.Join(err, server.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
