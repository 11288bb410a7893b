package segmentapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// A Region is where a workspace's data is stored. A token works in one region only.
type Region string

// Segment's two regions. Segment's own pages also write them US, EU and eu1, which mean
// the same.
const (
	RegionUS Region = "us"
	RegionEU Region = "eu"
)

// BaseURL returns the region's API endpoint, and whether the region is known.
func (r Region) BaseURL() (string, bool) {
	switch r {
	case RegionUS, "US":
		return "https://api.segmentapis.com", true
	case RegionEU, "EU", "eu1":
		return "https://eu1.api.segmentapis.com", true
	}
	return "", false
}

// A RetryPolicy bounds the attempts and the waiting of one call.
type RetryPolicy struct {
	// MaxAttempts is how often a request may be sent, at least 1. Requests that Segment
	// refused because too many were under way do not count: MaxWait bounds them.
	MaxAttempts int
	// MaxWait bounds the time that one call waits for the rate limit, in all its
	// attempts together. If a longer wait is needed, the call fails at once with a
	// [*RateLimitError]. Where Segment limits concurrent requests, waiting for others to
	// end does not count; that wait ends after five minutes.
	MaxWait time.Duration
}

func (p RetryPolicy) check() error {
	if p.MaxAttempts < 1 || p.MaxWait < 0 {
		return invalidArgument("a retry policy needs at least 1 attempt and a wait that is not negative")
	}
	return nil
}

// Limits configure how the client paces itself. Segment reports with each answer
// what is left of a window; the client adapts to that on its own.
type Limits struct {
	// WritesPerMinute is how many changes are sent per minute, evenly spaced.
	// Segment documents 60 per minute for each of the IAM write endpoints.
	WritesPerMinute int
	// Reserve is the share of each window, 0 to 0.9, that is left to other
	// users of the same token. While no other use is seen, only a fifth of it
	// is left in the first window of a burst, so that work that fits into one window
	// ends in it.
	Reserve float64
}

// An Option configures a [Client].
type Option func(*settings) error

type settings struct {
	baseURL    *url.URL
	httpClient *http.Client
	pageSize   int
	maxBody    int64
	userAgent  string
	logger     *slog.Logger
	retry      RetryPolicy
	limits     Limits
	cacheSize  int
	cacheTTL   time.Duration
	dryRun     bool
	settleTime time.Duration
}

func defaults() settings {
	us, _ := RegionUS.BaseURL()
	base, err := parseBaseURL(us)
	if err != nil {
		panic(err) // A constant that does not parse is a programming error.
	}
	return settings{
		baseURL:   base,
		pageSize:  MaxPageSize,
		maxBody:   DefaultMaxBody,
		userAgent: "baton-segment/segmentapi",
		logger:    slog.New(slog.DiscardHandler),
		retry:     RetryPolicy{MaxAttempts: 5, MaxWait: 65 * time.Second},
		limits:    Limits{WritesPerMinute: 60, Reserve: 0.1},
		cacheSize: 128,
		cacheTTL:  10 * time.Minute,

		settleTime: DefaultSettleTime,
	}
}

// WithRegion selects the region. The default is [RegionUS]; a token does not show
// its region.
func WithRegion(r Region) Option {
	return func(s *settings) error {
		base, ok := r.BaseURL()
		if !ok {
			return invalidArgument("region %q is unknown: use %q or %q", string(r), RegionUS, RegionEU)
		}
		return WithBaseURL(base)(s)
	}
}

// WithBaseURL points the client at another endpoint, such as a simulator. It
// must be https, or http to localhost or a loopback address, because every
// request carries the token. Requests over http ignore the proxy of the environment.
func WithBaseURL(raw string) Option {
	return func(s *settings) error {
		base, err := parseBaseURL(raw)
		if err != nil {
			return err
		}
		s.baseURL = base
		return nil
	}
}

// parseBaseURL never repeats raw in an error: it may hold credentials.
func parseBaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, invalidArgument("the base URL is not an absolute URL such as https://api.segmentapis.com")
	}
	// net/url accepts colons without brackets, and brackets without an address. No
	// connection can be made to such a host.
	if strings.ContainsAny(u.Hostname(), ":[]") && !strings.HasPrefix(u.Host, "[") {
		return nil, invalidArgument("the host of the base URL is invalid: an IPv6 address must be in brackets")
	}
	if u.User != nil {
		return nil, invalidArgument("the base URL must not hold credentials: pass the token instead")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, invalidArgument("the base URL must have no query and no fragment")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback(u.Hostname()) {
			return nil, invalidArgument("the base URL must be https: http is for localhost and loopback addresses only")
		}
		if isLocalhost(u.Hostname()) { // In lower case only, net/http bypasses the proxy, which would see the token.
			u.Host = strings.ToLower(u.Host)
		}
	default:
		return nil, invalidArgument("the base URL must start with https://")
	}
	// A trailing slash would be doubled in every path.
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	// The official client parses the URL again, and some IPv6 zones do not survive
	// that.
	if reparsed, err := url.Parse(u.String()); err != nil || reparsed.Host != u.Host {
		return nil, invalidArgument("the host of the base URL is invalid")
	}
	return u, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return isLocalhost(host) || err == nil && addr.IsLoopback()
}

// isLocalhost lowers the case without Unicode's folding, in which U+017F is an s.
func isLocalhost(host string) bool { return strings.ToLower(host) == "localhost" }

// WithHTTPClient sets the client behind every request: its transport, proxy,
// timeout and cookie jar. It is copied, and redirects are refused on the copy.
// Its Timeout applies to each attempt, not to waits for the rate limit.
func WithHTTPClient(hc *http.Client) Option {
	return func(s *settings) error {
		if hc == nil {
			return invalidArgument("the HTTP client is nil")
		}
		s.httpClient = hc
		return nil
	}
}

// WithPageSize sets how many rows a list request asks for, 1 to [MaxPageSize],
// which is the default: fewer, larger pages cost less of the rate limit.
func WithPageSize(n int) Option {
	return func(s *settings) error {
		if n < 1 || n > MaxPageSize {
			return invalidArgument("page size %d is not between 1 and %d", n, MaxPageSize)
		}
		s.pageSize = n
		return nil
	}
}

// DefaultMaxBody is the default of [WithMaxBody], in bytes. A page of 1000 rows is
// well below 1 MiB, so an answer near this size is not from Segment.
const DefaultMaxBody = 64 << 20

// WithMaxBody sets the largest answer, in bytes after decompression, at least 1. A
// larger one is not read to its end; the error matches [ErrBadResponse]. The default
// is [DefaultMaxBody].
//
// All answers except lists and those to requests through [Client.Raw] are also limited to
// 16 MiB, because many may be in memory at a time: a user with 20,000 scopes is about
// 3 MB. Such an answer may have 200,000 JSON values, and a list 1,000,000, because small
// values can take fifty times as much memory as they have bytes.
func WithMaxBody(bytes int64) Option {
	return func(s *settings) error {
		if bytes < 1 {
			return invalidArgument("the largest answer must be at least 1 byte, not %d", bytes)
		}
		s.maxBody = bytes
		return nil
	}
}

// WithUserAgent sets the User-Agent header.
func WithUserAgent(ua string) Option {
	return func(s *settings) error {
		if ua == "" || hasControl(ua) {
			return invalidArgument("the user agent is empty or has control characters")
		}
		s.userAgent = ua
		return nil
	}
}

// WithLogger logs each request at debug level: operation, method, path,
// status, duration; never a header or a body. Each change leaves one line at
// info level: operation, subject, what changed. Each limit of Segment that the client
// finds out leaves one line as well. The default logs nothing.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error {
		if l == nil {
			return invalidArgument("the logger is nil")
		}
		s.logger = l
		return nil
	}
}

// WithRetry bounds attempts and waiting. The default is 5 attempts and 65 s.
// [Client.WithRetry] sets other bounds for some calls.
//
// GET is sent again after 429, 500, 502, 503, 504 and broken connections; PUT and
// DELETE after the same except 500; POST only after 429, since Segment does not
// document it as safe to repeat.
func WithRetry(p RetryPolicy) Option {
	return func(s *settings) error {
		if err := p.check(); err != nil {
			return err
		}
		s.retry = p
		return nil
	}
}

// WithLimits sets how the client paces itself. The default is 60 writes per
// minute and a reserve of 0.1.
func WithLimits(l Limits) Option {
	return func(s *settings) error {
		if l.WritesPerMinute < 1 || l.Reserve < 0 || l.Reserve > 0.9 {
			return invalidArgument("limits need at least 1 write per minute and a reserve between 0 and 0.9")
		}
		s.limits = l
		return nil
	}
}

// WithRoleCache sets how many roles [RoleService.Get] remembers, and for how
// long. Size 0 turns the cache off. The default is 128 roles for 10 minutes; a
// workspace has about 20.
func WithRoleCache(size int, ttl time.Duration) Option {
	return func(s *settings) error {
		if size < 0 || (size > 0 && ttl <= 0) {
			return invalidArgument("a role cache needs a size that is not negative and a positive lifetime")
		}
		s.cacheSize, s.cacheTTL = size, ttl
		return nil
	}
}

// DefaultSettleTime is the default of [WithSettleTime].
const DefaultSettleTime = 10 * time.Second

// WithSettleTime sets how long a read may lag behind a write, at least 0. The
// default is [DefaultSettleTime]. Segment does not document that a read shows the last
// write. So each change is read back, with growing pauses, until it shows or this time
// has passed; then the error matches [ErrUnconfirmed]. A change that shows at once costs
// no wait.
//
// A change of permissions is read once more after 1 to 1.5 s: another program that
// replaced them at the same moment may have overwritten it. 0 turns off all of this
// waiting and the last read.
func WithSettleTime(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalidArgument("the settle time %s is negative", d)
		}
		s.settleTime = d
		return nil
	}
}

// WithDryRun makes every method that changes something read, check and return what
// it otherwise would, and write nothing. The log has "would change" instead of
// "changed". Values that only Segment can decide, such as the id of a new group, are
// empty. Requests through [Client.Raw] that would change something fail.
func WithDryRun() Option {
	return func(s *settings) error {
		s.dryRun = true
		return nil
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
