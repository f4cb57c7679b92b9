package storagetest

import "flag"

// FewPlays makes the tests that play random operations against a model play 25 times, where the command line
// does not say how often: -rapid.checks 1000, as make plays does. It is for TestMain, before the flags are
// parsed. Each run plays other plays, so that what few find late, many runs find.
func FewPlays() {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err) // rapid has no such flag any more
	}
}
