// Package audit builds the records of who did what, from where, when, and appends those that belong
// to no transaction.
//
// It promises that a record is small (a detail of at most [MaxDetail] bytes as JSON), flat and free
// of secrets as far as a name or a shape can tell, and that [Trail.Append] never fails its caller
// and never holds it up for longer than a moment.
//
// It refuses to be the place where success is recorded: a change and its record are committed
// together, so the record of a change is handed to the method of package storage that makes it.
// [Trail] is for what has no transaction: refusals, and changes whose contract takes no record.
//
// Every room that refuses or changes something calls it. RFC 6819 §5.1.1 and RFC 9700 §4 ask for
// such records without giving them a form.
//
// # Design notes
//
// Appending runs in the caller's goroutine, for at most [Config.Timeout], and at most
// [Config.InFlight] at once; one more is dropped, counted and logged. A queue with a worker of its
// own was rejected: it needs a life cycle in every process, and loses what is in it when the
// process dies, which is the moment one wants to read about.
//
// Redaction here is the second wall. The first is the type of a secret, which prints as
// "[redacted]"; this one catches the text that somebody revealed too early.
package audit
