// Package product holds the rules of products and terminals: which there are, what a further sign-in
// does to the one before it, and how long everything lives.
//
// It promises pure functions: a [Rule] computes times from the time it is given, in whole seconds, so
// that a token says exactly what the database says. It refuses a configuration with any fault, and
// lists all of them; it refuses a product or terminal that is not configured. It stores nothing and
// asks nobody; the store obeys the [storage.Mode] that a rule names.
//
// The rooms that open sessions call it, and whoever starts the server.
//
// # Design notes
//
// A product that names no terminals has all three with their defaults; one that names some has only
// those. The other reading (always three, some of them adjusted) would leave no way to say that a
// product has no api terminal.
//
// Zero means "the default" for every setting but IdleTTL, where it means that there is no idle limit.
// A limit of zero sessions or seconds is of use to nobody, so nothing is lost by that.
//
// An access token is cut to the idle limit too, not only to the absolute end of the session. Guards
// are told of sessions that somebody ended; idling out is nobody's act and makes no event, so a token
// must not outlive it.
package product
