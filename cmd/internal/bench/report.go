package bench

import (
	"cmp"
	"slices"
	"time"
)

// Report is what was measured.
type Report struct {
	KickOuts int     `json:"kick_outs"`
	Seconds  float64 `json:"seconds"`
	Feeds    []Feed  `json:"feeds"`
	Strict   Strict  `json:"strict"`
}

// Feed is how late the guards of one feed were. Times are in milliseconds from the answer to the
// sign-in to the first refusal.
type Feed struct {
	Name    string  `json:"feed"`
	Guards  int     `json:"guards"`
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
	// Late counts refusals that came after the bound of the guarantee, or not at all.
	Late int `json:"late"`
}

// Strict counts strict checks of superseded tokens.
type Strict struct {
	Checks int `json:"checks"`
	// Accepted must be 0. Unavailable are those that got no answer.
	Accepted    int `json:"accepted"`
	Unavailable int `json:"unavailable"`
}

// Kept says whether the guarantee was kept.
func (r *Report) Kept() bool {
	late := 0
	for _, f := range r.Feeds {
		late += f.Late
	}
	return late == 0 && r.Strict.Accepted == 0
}

func (b *kickout) report(done int, took time.Duration) Report {
	r := Report{KickOuts: done, Seconds: took.Seconds(), Strict: b.strict, Feeds: []Feed{}}
	guards := map[string]int{}
	for _, h := range b.crew {
		guards[h.feed]++
	}
	for name, samples := range b.samples {
		slices.Sort(samples)
		f := Feed{
			Name: name, Guards: guards[name], Samples: len(samples),
			P50: millis(quantile(samples, 50)), P99: millis(quantile(samples, 99)), Max: millis(quantile(samples, 100)),
		}
		for _, s := range samples {
			if s > Bound {
				f.Late++
			}
		}
		r.Feeds = append(r.Feeds, f)
	}
	slices.SortFunc(r.Feeds, func(a, b Feed) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

// quantile is the smallest sample that is not below so many per cent of all. There is at least one.
func quantile(sorted []time.Duration, percent int) time.Duration {
	i := (len(sorted)*percent + 99) / 100
	return sorted[max(i, 1)-1]
}

func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
