// Demo syncs a simulated workspace with the real programs and prints some of the file,
// as an access reviewer would read it. `make demo` runs it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with baton-segment, segment-sim and baton")
	picture := flag.String("screenshot", "", "`file` for a picture of the explorer, instead of the demo")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *bin, *picture, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run leaves no file and no simulator behind, even if it fails.
func run(ctx context.Context, bin, picture string, out io.Writer) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "baton-segment-demo-")
	if err != nil {
		return err
	}
	d := demo{bin: bin, dir: dir, out: bufio.NewWriter(out)}
	sim, err := d.startSimulator(ctx)
	if err == nil {
		show := d.show
		if picture != "" {
			show = func(ctx context.Context, sim *simulator) error { return d.screenshot(ctx, sim, picture) }
		}
		err = errors.Join(show(ctx, sim), sim.stop())
	}
	return errors.Join(err, d.out.Flush(), os.RemoveAll(dir))
}

// A demo writes to out, which keeps the first error until it is flushed.
type demo struct {
	bin, dir string
	out      *bufio.Writer
}

func (d demo) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, program), args...) //nolint:gosec // the folder comes from the Makefile, the names from here
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// finish runs a program to its end. If the program fails, its stderr is in the error.
func finish(cmd *exec.Cmd) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, &stderr)
	}
	return nil
}

// A simulator is segment-sim, running.
type simulator struct {
	cmd        *exec.Cmd
	output     io.ReadCloser
	url, token string
}

func (d demo) startSimulator(ctx context.Context) (*simulator, error) {
	cmd := d.command(ctx, "segment-sim", "-addr", "127.0.0.1:0", "-workspace", "demo")
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &simulator{cmd: cmd, output: output}
	if err := s.readAddress(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// readAddress waits until the simulator has printed its URL and its token.
func (s *simulator) readAddress() error {
	lines := bufio.NewScanner(s.output)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "URL="); ok {
			s.url = url
		}
		if token, ok := strings.CutPrefix(lines.Text(), "TOKEN="); ok {
			s.token = token
		}
		if s.url != "" && s.token != "" {
			return nil
		}
	}
	return errors.Join(errors.New("segment-sim did not print its URL and token"), lines.Err())
}

// stop interrupts the simulator and waits for its end.
func (s *simulator) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return s.cmd.Wait()
}

func (d demo) show(ctx context.Context, sim *simulator) error {
	d.printf("A simulated Segment workspace runs at %s. Nobody in it exists.\n", sim.url)

	d.printf("$ baton-segment -f sync.c1z")
	if err := d.out.Flush(); err != nil {
		return err
	}
	began := time.Now()
	if err := d.sync(ctx, sim); err != nil {
		return err
	}
	d.printf("The connector read it in %s. What came in, by type:\n", time.Since(began).Round(10*time.Millisecond))

	grants, err := d.readGrants(ctx)
	if err != nil {
		return err
	}
	if err = d.showCounts(ctx, grants); err != nil {
		return err
	}
	if err = d.showSource(ctx, grants); err != nil {
		return err
	}
	if err = d.showPerson(grants); err != nil {
		return err
	}
	d.printf("The file answers with the baton CLI as well: bin/baton grants -f sync.c1z, bin/baton explorer -f sync.c1z")
	d.printf("Your own workspace: BATON_TOKEN=<a Segment Public API token> bin/baton-segment -f sync.c1z   (EU: add --region eu)")
	return nil
}

// sync reads the simulated workspace into sync.c1z.
func (d demo) sync(ctx context.Context, sim *simulator) error {
	cmd := d.command(ctx, "baton-segment", "-f", "sync.c1z", "--log-level", "error")
	cmd.Env = append(cmd.Env, "BATON_TOKEN="+sim.token, "BATON_BASE_URL="+sim.url)
	return finish(cmd)
}

func (d demo) printf(format string, args ...any) {
	fmt.Fprintf(d.out, format+"\n", args...) //nolint:errcheck // run flushes and sees it
}

// table prints rows of cells, aligned.
func (d demo) table(rows [][]string) error {
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	for _, cells := range rows {
		if _, err := fmt.Fprintln(w, "  "+strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	d.printf("")
	return d.out.Flush()
}

// readJSON decodes the JSON output of a command of the baton CLI.
func (d demo) readJSON(ctx context.Context, into any, args ...string) error {
	cmd := d.command(ctx, "baton", append(args, "-f", "sync.c1z", "-o", "json")...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := finish(cmd); err != nil {
		return err
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		return fmt.Errorf("baton %s: %w", args[0], err)
	}
	return nil
}

// The fields that the demo uses of the JSON of baton.
type (
	object struct {
		ID struct {
			ResourceType string `json:"resourceType"`
			Resource     string `json:"resource"`
		} `json:"id"`
		DisplayName string `json:"displayName"`
		Profile     struct {
			Labels []string `json:"labels"`
		} `json:"profile"`
	}
	grant struct {
		Grant struct {
			Sources struct {
				Sources map[string]struct{} `json:"sources"`
			} `json:"sources"`
		} `json:"grant"`
		Entitlement struct {
			ID          string `json:"id"`
			Slug        string `json:"slug"`
			DisplayName string `json:"displayName"`
		} `json:"entitlement"`
		Resource  object `json:"resource"`
		Principal object `json:"principal"`
	}
)

func (d demo) readGrants(ctx context.Context) ([]grant, error) {
	var list struct {
		Grants []grant `json:"grants"`
	}
	if err := d.readJSON(ctx, &list, "grants"); err != nil {
		return nil, err
	}
	return list.Grants, nil
}

// showCounts prints the number of resources of each type, and of the grants on them.
func (d demo) showCounts(ctx context.Context, grants []grant) error {
	var list struct {
		Resources []row `json:"resources"`
	}
	if err := d.readJSON(ctx, &list, "resources"); err != nil {
		return err
	}
	type count struct {
		name              string
		resources, grants int
	}
	counts := map[string]*count{}
	for _, r := range list.Resources {
		id := r.Resource.ID.ResourceType
		if counts[id] == nil {
			counts[id] = &count{name: r.ResourceType.DisplayName}
		}
		counts[id].resources++
	}
	for _, g := range grants {
		if c := counts[g.Resource.ID.ResourceType]; c != nil {
			c.grants++
		}
	}
	table := [][]string{{"TYPE", "RESOURCES", "GRANTS ON THEM"}}
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		c := counts[id]
		table = append(table, []string{c.name, strconv.Itoa(c.resources), strconv.Itoa(c.grants)})
	}
	return d.table(table)
}

// showPerson prints all grants of one person: of those who hold one role directly and
// another through a group, the one with the fewest grants.
func (d demo) showPerson(grants []grant) error {
	type access struct {
		person          object
		direct, derived bool
		table           [][]string
	}
	names := groupNames(grants)
	people := map[string]*access{}
	for _, g := range grants {
		if g.Principal.ID.ResourceType != typeUser {
			continue
		}
		a := people[g.Principal.ID.Resource]
		if a == nil {
			a = &access{person: g.Principal, table: [][]string{{"ON", "NAME", "WHAT", "HOW"}}}
			people[g.Principal.ID.Resource] = a
		}
		direct, groups := g.origins()
		a.direct = a.direct || direct && g.Resource.ID.ResourceType == typeRole
		a.derived = a.derived || !direct && len(groups) > 0
		a.table = append(a.table, []string{g.Resource.ID.ResourceType, g.Resource.DisplayName, g.Entitlement.DisplayName, g.how(names)})
	}
	var best *access
	for _, id := range slices.Sorted(maps.Keys(people)) {
		if a := people[id]; a.direct && a.derived && (best == nil || len(a.table) < len(best.table)) {
			best = a
		}
	}
	if best == nil {
		return errors.New("nobody holds one role directly and another through a group")
	}
	d.printf("Everything that %s has:\n", best.person.DisplayName)
	return d.table(best.table)
}
