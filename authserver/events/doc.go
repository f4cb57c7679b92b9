// Package events tells guards in other processes what has ended: GET /v1/session-events, a stream of
// server-sent events for clients with the scope sessions:watch.
//
// It promises:
//
//   - A stream begins with everything that unexpired access tokens may name, or, resumed, with all that
//     came after the position its reader gave. If the position is of no use, it says so and begins anew.
//   - Every end that is committed afterwards is sent, at once if this process made it or heard of it on
//     the Redis stream, and after the next reading of SQL at the latest.
//   - At least four times a second it says up to when it is complete, in a way that shows a reader how
//     old that is, whatever clocks and networks do in between. So a reader knows when it is blind.
//   - Nobody is waited for: a reader that is too slow is cut off and comes back, and the others do not
//     notice. The number of streams is bounded, in all and for each client.
//   - A stream ends when its reader's token expires, is revoked, or the client is disabled.
//
// It refuses to judge tokens and to tell who a session belongs to: identifiers, reasons and what the
// owner of a superseded session may be told is all that leaves.
//
// [Hub] is handed everything that the guard of the process takes in ([guard.Relay]); [Endpoint] serves
// it. Package resource/guard/remote is the reader of the house.
//
// Source: the HTML Living Standard, section "Server-sent events".
//
// # The wire format, version 1
//
// The request:
//
//	GET /v1/session-events HTTP/1.1
//	Authorization: Bearer <token of client credentials with the scope sessions:watch>
//	Last-Event-ID: <position>          to resume; left out for a full snapshot
//
// The answer is 200 text/event-stream, or 401, 403, 429 and 503 as everywhere. Four kinds of message follow.
// Data is one JSON object on one line. Readers ignore members and kinds of message that they do not know;
// what they must not ignore will have another version. Times are RFC 3339 in UTC.
//
//	event: begin
//	data: {"v":1,"mode":"snapshot","because":"no position","s":71033}
//
// is the first message. mode is snapshot or resume. A reader in a snapshot may forget everything it
// held before once the first heard has come; it need not. because says why it is a snapshot:
// "no position" was given, the position is "malformed", "too old", or of "another feed" (the database
// was restored, or a replica took over). s is explained below.
//
//	event: ended
//	data: {"id":"06f3…","sid":"06f2…","reason":"superseded","code":2,
//	       "superseded_by":{"terminal":"mobile","device_name":"Tom's phone","at":"2026-11-20T08:00:00.123456Z"},
//	       "ended_at":"2026-11-20T08:00:00.123456Z","until":"2026-11-20T08:14:31Z"}
//
// (on one line) is one end. Exactly one of three members says what ended:
//
//	sid         all tokens of a session: those whose sid claim it is
//	client_id   all tokens of a client issued up to ended_at: client_id claim, and iat not after ended_at
//	jti         one token
//
// reason and code are those of the contract. superseded_by is there for superseded and evicted. No token
// that is meant lives longer than until: the reader may forget the end then. The same end may come
// more than once.
//
//	id: 4711-06f3…
//	event: heard
//	data: {"s":71250,"age":3}
//
// says: everything that was committed before the moment s has been sent, on this stream or, resumed, on
// those before it. s is in milliseconds of the server's monotonic clock, which begins anywhere and is
// good for this stream alone. age is how old that moment was when the message was written, in
// milliseconds, for people and for readers that need no bound. id is the position to resume from;
// messages without one leave it as it was. heard comes with every reading of SQL, and where nothing
// could be read within 250 ms the last one is repeated.
//
//	event: bye
//	data: {"why":"stopping"}
//
// is the last message, if there was time for one. why is stopping (this server; come back at once), token (the
// reader's own has ended or expired; reason says how), slow (too much was waiting) or unavailable (the
// store failed in the snapshot).
//
// # How a reader knows that it is blind
//
// Let t0 be the reader's monotonic clock just before it sent the request, and s0 the s of begin, which
// is the server's clock when it received that request: s0 is not before t0. Then a heard with s vouches for
//
//	t0 + (s − s0)
//
// on the reader's clock, or some time later, which is the safe side: the error is the time the request
// took, and does not grow while the stream lives, but for the drift of the two clocks. A reader takes
// off a thousandth of s − s0 (twice what clocks are slewed at most) and a millisecond for rounding, opens
// the stream anew every minute, and drops a stream that vouches for its future. It trusts what it holds
// while that moment is less than a second ago.
//
// So a connection that stalls, at a proxy or in a network, and then delivers old messages in a burst
// does not make a blind reader believe that it sees: the messages tell their own age.
//
// # Design notes
//
// Why not the time of arrival, as most heartbeats are taken: that is just what the burst would fake. Why
// not wall clocks: the guarantee would then hang on the synchronisation of every machine that watches.
// Why not a ping and its answer: server-sent events have one direction, and the request is a ping already.
//
// Why the hub hangs on the guard. The process reads the feed once, not once for its guard and once for
// its watchers, and the watchers get what the guard gets when it gets it: ends of this process before
// the sign-in is answered, those of others from the Redis stream.
//
// A stream is registered with the hub before its snapshot is read. An end that is committed before the
// snapshot is in it; one that is committed later reaches the hub later and waits in the stream's queue. Nothing
// falls in between, and nobody has to stop while a snapshot of a million ends is sent.
//
// A position is the number of the last event together with its identifier. The number alone would be
// good for a feed that never goes back; after a restore the numbers are given again, to others.
// Ends that are sent without a number yet are sent again on resuming, which does no harm.
//
// Rejected: the ends as an id each. Most are sent before they have a number, and a reader that resumes
// from an end it has seen must not skip another with a lower number that it has not.
//
// Rejected: to serve snapshots from the guard's set. It keeps digests, not identifiers, so that a
// million ends weigh less than 100 MB; SQL has them all.
package events
