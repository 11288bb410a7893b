package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// screenshot takes a picture of the graph that `baton explorer` shows of one person.
func (d demo) screenshot(ctx context.Context, sim *simulator, picture string) error {
	if err := d.sync(ctx, sim); err != nil {
		return err
	}
	grants, err := d.readGrants(ctx)
	if err != nil {
		return err
	}
	explorer, stop, err := d.startExplorer(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: graphOf(explorer), ReadHeaderTimeout: 10 * time.Second}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, stop())
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = d.capture(ctx, fmt.Sprintf("http://%s/user/%s", listener.Addr(), url.PathEscape(busiest(grants))), picture)
	err = errors.Join(err, server.Close(), stop())
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// A grant is a grant as `baton grants` prints it.
type grant struct {
	Resource, Principal struct {
		ID struct{ ResourceType, Resource string }
	}
}

func (d demo) readGrants(ctx context.Context) ([]grant, error) {
	var list struct{ Grants []grant }
	err := d.readJSON(ctx, &list, "baton", "grants")
	return list.Grants, err
}

// busiest returns the id of the user with grants on the most types of resources, and of
// several the one with the most grants.
func busiest(grants []grant) string {
	types, held := map[string]map[string]bool{}, map[string]int{}
	best := ""
	for _, g := range grants {
		who := g.Principal.ID.Resource
		if g.Principal.ID.ResourceType != "user" {
			continue
		}
		if types[who] == nil {
			types[who] = map[string]bool{}
		}
		types[who][g.Resource.ID.ResourceType] = true
		held[who]++
		if better := len(types[who]) - len(types[best]); better > 0 || better == 0 && held[who] > held[best] {
			best = who
		}
	}
	return best
}

// startExplorer starts the explorer, and returns its URL and a function that stops it.
// PATH is empty, so that the explorer finds no program to open a browser with.
func (d demo) startExplorer(ctx context.Context) (*url.URL, func() error, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	address := listener.Addr().String()
	if err = listener.Close(); err != nil {
		return nil, nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	cmd := d.command(ctx, "baton", "explorer", "-f", "sync.c1z", "--port", port)
	cmd.Env = append(cmd.Env, "PATH=")
	if err = cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) { // It ends only if it is killed.
			return err
		}
		return nil
	}
	for range 200 {
		conn, dialErr := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if dialErr == nil {
			return &url.URL{Scheme: "http", Host: address}, stop, conn.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, errors.Join(ctx.Err(), stop())
		}
	}
	return nil, nil, errors.Join(errors.New("the explorer does not listen"), stop())
}

// graphOf serves the explorer as it is after two clicks. The explorer itself serves
// pages only at its root, and begins with a table.
func graphOf(explorer *url.URL) http.Handler {
	const click = `<script>
const waiting = setInterval(() => {
	const graph = document.querySelector('button[value="graph"]');
	if (graph) { clearInterval(waiting); graph.click(); }
}, 50);
</script>`
	proxy := httputil.NewSingleHostReverseProxy(explorer)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			return nil
		}
		page, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return err
		}
		page = append(page, click...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(page)), int64(len(page))
		r.Header.Set("Content-Length", strconv.Itoa(len(page)))
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/user/") {
			r.URL.Path = "/"
		}
		proxy.ServeHTTP(w, r)
	})
}

// capture makes Chromium draw a page into a file. The page runs on virtual time.
func (d demo) capture(ctx context.Context, page, picture string) error {
	picture, err := filepath.Abs(picture)
	if err != nil {
		return err
	}
	args := []string{
		"--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + filepath.Join(d.dir, "chromium"),
		"--window-size=960,720", "--force-device-scale-factor=1.5", "--virtual-time-budget=10000", "--screenshot=" + picture, page,
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium does not start as root otherwise. The page is our own.
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", args...) //nolint:gosec // the page is our own, the picture from the Makefile
	cmd.WaitDelay = 5 * time.Second
	if err = finish(cmd); err != nil {
		return err
	}
	info, err := os.Stat(picture)
	if err != nil {
		return err
	}
	d.printf("%s has %d bytes. Look at it before you commit it.", picture, info.Size())
	return nil
}
