// Package story plays the story of the README against a running instance, over HTTP alone, and says
// of each step what it proves: a deposit that comes once, a hold that is taken in part, a phone that is kicked out and learns why,
// browsers that share a token, a refresh token that cannot be stolen, and all of it again after a
// restart.
//
// It is at once the demonstration ("make story"), and the end-to-end test of every way to run
// Tallystick: the tests play it against dev, against serve as one process, and as two.
//
// A [Target] is read from the dev.json of an instance; for other instances write a file of the same
// form.
package story
