package serve

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// series names one line of the histogram.
type series struct {
	method, route string
	status        int
}

// requests is the histogram of requests. Its observers are kept in a map that is replaced as a whole,
// so that a request looks one up without a lock and without building labels. Routes come from the
// route table and methods from a fixed list, so the map is bounded.
type requests struct {
	histogram *prometheus.HistogramVec
	mu        sync.Mutex
	observers atomic.Pointer[map[series]prometheus.Observer]
}

func newRequests(registry prometheus.Registerer) (*requests, error) {
	r := &requests{histogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tallystick_http_request_duration_seconds",
		Help:    "Time from the first byte of a request to the end of its answer; streams are not counted.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
	}, []string{"method", "route", "status"})}
	r.observers.Store(&map[series]prometheus.Observer{})
	if registry == nil {
		return r, nil
	}
	if err := registry.Register(r.histogram); err != nil {
		return nil, fmt.Errorf("serve: register metrics: %w", err)
	}
	return r, nil
}

func (r *requests) observe(method, route string, status int, latency time.Duration) {
	at := series{knownMethod(method), route, status}
	o, found := (*r.observers.Load())[at]
	if !found {
		o = r.add(at)
	}
	o.Observe(latency.Seconds())
}

func (r *requests) add(at series) prometheus.Observer {
	r.mu.Lock()
	defer r.mu.Unlock()
	route := at.route
	if route == "" {
		route = "none" // no route matched; the path is the stranger's choice and no label
	}
	o := r.histogram.WithLabelValues(at.method, route, strconv.Itoa(at.status))
	next := maps.Clone(*r.observers.Load())
	next[at] = o
	r.observers.Store(&next)
	return o
}

// knownMethod keeps methods that a stranger invents out of the labels.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "OTHER"
}

// Metrics returns the handler of GET /metrics.
func Metrics(g prometheus.Gatherer) gin.HandlerFunc {
	return gin.WrapH(promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
}
