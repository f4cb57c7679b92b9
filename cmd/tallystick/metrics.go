package main

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registerProcess registers what a process says of itself.
func registerProcess(r prometheus.Registerer, as role) error {
	b := buildVersion()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tallystick_build_info", Help: "1, with what the process was built from and the role that it plays.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go, "role": string(as)},
	})
	info.Set(1)
	var errs error
	for _, c := range []prometheus.Collector{
		info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		errs = errors.Join(errs, r.Register(c))
	}
	return errs
}
