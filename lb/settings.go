package lb

import (
	"time"

	"github.com/countersign/countersign/internal/document"
)

// PoolSettings are what a configuration file says of one pool. They are read by internal/document, which knows the defaults in the tags: the
// zero value has none of them.
type PoolSettings struct {
	Targets   []TargetSettings `yaml:"targets" help:"the upstreams; one of targets and dns"`
	DNS       *DNSSettings     `yaml:"dns" help:"find the upstreams by the addresses of a name"`
	Policy    string           `yaml:"policy" oneof:"round-robin|weighted|least-requests|consistent-hash|failover" default:"round-robin" help:"how requests are spread over the upstreams"`
	Hash      *HashSettings    `yaml:"hash" help:"what consistent-hash goes by; without it the client's address"`
	Protocol  string           `yaml:"protocol" oneof:"http1|h2" default:"http1" help:"what the upstreams speak; h2 is HTTP/2 by ALPN over TLS and by prior knowledge without, as gRPC needs it"`
	TLS       *TLSSettings     `yaml:"tls" help:"how https upstreams are connected to; without it the host's roots are trusted"`
	Health    HealthSettings   `yaml:"health" help:"how the upstreams are checked"`
	Outlier   OutlierSettings  `yaml:"outlier" help:"when an upstream that fails request after request is left alone for a while"`
	Breaker   *BreakerSettings `yaml:"breaker" help:"when an upstream gets no requests because too many fail; without it never"`
	SlowStart time.Duration    `yaml:"slow_start" default:"0s" min:"0s" help:"how long an upstream that comes back takes to get its whole share"`
	Timeouts  TimeoutSettings  `yaml:"timeouts" help:"how long is waited for upstreams"`
	Retries   RetrySettings    `yaml:"retries" help:"when a request goes to another upstream"`
}

// TargetSettings name one upstream.
type TargetSettings struct {
	URL         string `yaml:"url" required:"true" help:"host:port or http(s)://host[:port]"`
	Health      string `yaml:"health" help:"where checks go, if not to url; in the same form"`
	Weight      int    `yaml:"weight" default:"1" min:"1" max:"1000" help:"its share beside the others'"`
	MaxRequests int    `yaml:"max_requests" default:"0" min:"0" help:"how many requests may be in flight at once; 0: any number"`
}

// DNSSettings say by which name upstreams are found.
type DNSSettings struct {
	Name    string        `yaml:"name" required:"true" help:"the name whose addresses are the upstreams"`
	Port    uint16        `yaml:"port" required:"true" min:"1" help:"the port of each"`
	Refresh time.Duration `yaml:"refresh" default:"10s" min:"1s" help:"how often the name is looked up"`
	Scheme  string        `yaml:"scheme" oneof:"http|https" default:"http" help:"whether they are connected to by TLS"`
}

// HashSettings say what consistent-hash goes by.
type HashSettings struct {
	Header string `yaml:"header" required:"true" help:"the header whose value decides; requests without it are spread at random"`
}

// TLSSettings are of connections to https upstreams.
type TLSSettings struct {
	CA          string `yaml:"ca" help:"a PEM file of the authorities that are trusted, in place of the host's"`
	ServerName  string `yaml:"server_name" help:"the name that the upstreams' certificates must bear, if not that of the target"`
	Certificate string `yaml:"certificate" help:"a PEM file: our certificate, for upstreams that ask for one; read again when it changes"`
	Key         string `yaml:"key" help:"a PEM file: the key of certificate"`
}

// HealthSettings are of the checks of upstreams.
type HealthSettings struct {
	Mode     string        `yaml:"mode" oneof:"http|tcp" default:"http" help:"http: a GET is answered by 2xx; tcp: a connection can be made"`
	Path     string        `yaml:"path" default:"/readyz" help:"what is asked for"`
	Interval time.Duration `yaml:"interval" default:"1s" min:"10ms" help:"from one check to the next"`
	Timeout  time.Duration `yaml:"timeout" default:"500ms" min:"1ms" help:"how long a check may take"`
	Rise     int           `yaml:"rise" default:"2" min:"1" help:"how many checks in a row must pass to bring an upstream back"`
	Fall     int           `yaml:"fall" default:"2" min:"1" help:"how many checks in a row must fail to take an upstream down"`
	Disabled bool          `yaml:"disabled" default:"false" help:"make no checks"`
}

// OutlierSettings say when an upstream is ejected.
type OutlierSettings struct {
	Failures    int           `yaml:"failures" default:"5" min:"0" help:"how many requests in a row must fail (status 500 and above, broken off, too slow); 0: none is ever ejected"`
	For         time.Duration `yaml:"for" default:"10s" min:"1ms" help:"for how long, the first time; each further time twice as long"`
	Longest     time.Duration `yaml:"longest" default:"5m" min:"1ms" help:"the bound of that"`
	MostPercent int           `yaml:"most_percent" default:"50" min:"1" max:"100" help:"the share of upstreams that may be ejected at once"`
}

// BreakerSettings say when the breaker of an upstream opens.
type BreakerSettings struct {
	FailurePercent int           `yaml:"failure_percent" default:"50" min:"1" max:"100" help:"the share of requests that must fail"`
	Requests       int           `yaml:"requests" default:"20" min:"1" help:"how many there must be in window"`
	Window         time.Duration `yaml:"window" default:"10s" min:"100ms" help:"the time that is looked at"`
	Delay          time.Duration `yaml:"delay" default:"5s" min:"1ms" help:"how long the upstream gets no requests; then some may try"`
}

// TimeoutSettings bound what upstreams take.
type TimeoutSettings struct {
	Connect  time.Duration `yaml:"connect" default:"1s" min:"1ms" help:"to connect to an upstream, TLS included"`
	Response time.Duration `yaml:"response" default:"30s" min:"0s" help:"until an answer begins; 0s: no bound"`
	Idle     time.Duration `yaml:"idle" default:"60s" min:"1s" help:"until a connection without requests is closed"`
}

// RetrySettings say when a request goes to another upstream.
type RetrySettings struct {
	Attempts int           `yaml:"attempts" default:"2" min:"0" max:"100" help:"to how many further upstreams a request may go"`
	Unsafe   bool          `yaml:"unsafe" default:"false" help:"repeat requests of every method, also where an upstream may have acted on them"`
	Timeouts bool          `yaml:"timeouts" default:"false" help:"repeat requests that took longer than timeouts.response"`
	Statuses []int         `yaml:"statuses" min:"400" max:"599" help:"repeat requests that were answered by one of these, such as 503"`
	Buffer   document.Size `yaml:"buffer" default:"64KiB" min:"0" max:"1GiB" help:"the size up to which bodies are kept for a repeat"`
}

// overrides are how requests are sent as far as s says.
func (s PoolSettings) overrides() Overrides {
	o := s.Retries.Over(Overrides{ResponseTimeout: time.Duration(negated(int64(s.Timeouts.Response)))})
	if s.Policy == policyConsistent {
		o.Key = clientKey
		if s.Hash != nil {
			o.Key = headerKey(s.Hash.Header)
		}
	}
	return o
}

// Over returns o with what s says of retries.
func (s RetrySettings) Over(o Overrides) Overrides {
	o.Attempts, o.RetryUnsafe, o.RetryTimeouts, o.RetryStatuses = int(negated(int64(s.Attempts))), s.Unsafe, s.Timeouts, s.Statuses
	o.ReplayBytes = negated(int64(s.Buffer))
	return o
}

// negated turns what a file calls 0 into what Overrides calls negative.
func negated(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}
