// Package storagetest holds one suite for each durable contract of package storage, and one for its
// brakes: a named case for every promise that stands in their comments. Every driver runs all of them on a real engine.
//
// The suites are called from the external tests of the drivers. They take a function that opens an
// empty store, and call it once for each case, so that cases share nothing and run in parallel. Time
// is a [Clock] that a case turns by hand; nothing here sleeps. Where a promise is about callers who
// race, the case lets them race and then judges what is left.
//
// The builders ([NewUser], [NewClient], [NewOpening], [NewRotation]) make ordinary records for
// other tests as well.
//
// # Design notes
//
// A bug that is found in one driver becomes a case here, for all of them.
//
// One promise of the feed cannot be tested through the contract alone: that a transaction which
// commits after later ones is not missed. For it the driver lends the suite a transaction, as a
// [SlowEnd]; a driver whose engine has a single writer says so by lending none.
package storagetest
