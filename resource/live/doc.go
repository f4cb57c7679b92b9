// Package live is GET /v1/live: one WebSocket on which an app signs in, asks for its wallet, moves money, and
// hears at once that its session has ended.
//
// It promises:
//
//   - A connection whose session ends is told why, by which device and when, and closed with 4001: at once if
//     this process made the end or hears of it on the Redis stream, after the next reading of SQL at the
//     latest. An end that comes while the connection signs in is not missed.
//   - A frame is answered as the same request over HTTP is: the same use case, scopes, checks and refusals. A
//     transfer is checked strictly before it is begun and again inside its posting.
//   - What login returns is good on that connection alone. Over HTTP and on every other connection it is
//     refused, with the reason illegal_source.
//   - Nobody is waited for. A peer that does not read is dropped, and the others do not notice.
//   - A server that stops answers what it is answering, and asks each connection to come back after a pause of
//     its own.
//
// It refuses pages of other origins, takes no cookie and no token in the address, and reads no frame that
// it cannot understand to the last byte.
//
// Its caller is the assembling process, which says in [Config.SignIn] and [Config.Commands] what there is to be
// had; the room itself knows neither grants nor money. [Live] is a [guard.Relay] of the guard.
//
// Sources: RFC 6455 (§4.2.2 origin, §5.5 control frames, §7.4 close codes), RFC 6454 (origins), RFC 8259 (JSON), RFC
// 8725 §3.11 and §3.12 (a type and an audience of its own for each kind of token).
//
// # The wire format, version 1
//
// Every frame is a text frame that holds one JSON object with the member type, and, sent by the app, usually
// id: a text or a whole number of at most 64 bytes as it is written. The answer carries the same id. Answers
// come in any order. Readers ignore members and types that they do not know; the server does not, and says
// which member or type it does not know.
//
// The first frame is the server's:
//
//	{"type":"hello","connection_id":"7Q…","v":1,"types":["auth","login",…],"max_frame":16384,
//	 "frames_per_second":20,"max_in_flight":8,"sign_in_within":10}
//
// types are those that are answered here. Then the app signs in, in one of two ways, and waits for the answer:
//
//	{"id":"1","type":"auth","access_token":"eyJ…"}
//	{"id":"1","type":"auth","sub":"…","session_id":"…","product":"shop","terminal":"mobile","version":7,
//	 "scope":"wallet:read","expires_in":812}
//
//	{"id":"1","type":"login","grant_type":"password","client_id":"shop-app","username":"tom","password":"…","terminal":"mobile"}
//	{"id":"1","type":"login","connection_token":"eyJ…","expires_in":604800,"scope":"…","session_id":"…","product":"shop",
//	 "terminal":"mobile","version":8}
//
// The members of login are the parameters of the token endpoint, each a text; session_data may be any JSON.
// Only grants that sign a user in are served. After that:
//
//	request                                                            answer
//	{"id","type":"wallet.get"}                                         {"id","type","balances":[…]}
//	{"id","type":"wallet.entries","currency"?,"cursor"?,"limit"?}      {"id","type","entries":[…],"next_cursor"}
//	{"id","type":"transfer","idempotency_key","to","amount",
//	 "currency","memo"?,"wait"?}                                       {"id","type","transfer":{…},"replayed":false}
//	{"id","type":"sessions.list"}                                      {"id","type","sessions":[…]}
//	{"id","type":"sign_out"}                                           session.ended, and the close
//	{"id","type":"ping"}                                               {"id","type":"pong"}
//
// with members as in the bodies of GET /v1/wallet, GET /v1/wallet/entries, POST /v1/transfers and GET /v1/sessions. wait
// is Prefer: wait, in seconds. login by a login token gives login_data beside the rest, as the token endpoint does. sign_out ends
// the session that the connection speaks for: what comes is session.ended with the reason signed_out, and 4001. In a session of the run mode
// shared it is refused with session_shared, since others may be in it; closing the connection signs this device out as well, because
// nobody else holds its token. If auth or login put another session in the place of the one that was to end, sign_out is answered by
// a frame of its own type. ping is answered at any time. Any of them may carry token: see below.
//
// A refusal has the body that it has over HTTP, and in any case error, the stable code, and status, that of HTTP:
//
//	{"id":"2","type":"error","error":{"error":"insufficient_funds","status":422,"title":"Not enough money","code":"insufficient_funds",…}}
//	{"id":"3","type":"error","error":{"error":"invalid_token","status":401,"reason":"superseded","code":2,"superseded_by":{…},…}}
//
// retry_after, in seconds, and replayed, true for a refusal recorded under its idempotency key, are there where
// they would be headers. Two codes are of connections alone: slow_down (429, too many frames) and not_served_here
// (404, a type that another process of the installation answers). A frame that cannot be read has no id to answer to.
//
// Two frames come unasked, each the last one:
//
//	{"type":"session.ended","reason":"superseded","code":2,"superseded_by":{"terminal":"mobile","device_name":"…","at":"…"}}
//	{"type":"bye","why":"stopping","retry_after_ms":2817}
//
// reason and code are those of the contract, expired among them. The other why is replaced. Then the connection is closed:
//
//	1001  the server stops; come back after retry_after_ms
//	1003  a binary frame
//	1009  a frame longer than max_frame
//	4001  the session has ended
//	4008  too many frames
//	4009  the user opened more connections than one may have; this was the oldest
//	4400  three frames that were not understood
//	4401  no sign-in in time
//
// A connection that does not read, or does not answer pings, is cut without a close. Before it is a connection, a
// request may be answered with 403 (origin), 426 (no WebSocket), 429 (too many of one address) or 503 (full, or stopping).
//
// # One identity at a time
//
// A connection speaks for one session. auth and login may come again: the new session takes the place of the old one
// when it is answered, and whatever is being answered by then goes on for the old one. A client whose access
// token is about to expire refreshes over HTTP and sends auth with the new one; if it does not, its connection
// ends with the reason expired when the token does.
//
// login opens a session as the token endpoint does, and supersedes, joins or evicts as the run mode says. What it
// gives is a JWT of the type ct+jwt, whose audience is the issuer and whose claim cnid is the connection; it lives
// as long as the session does if nobody refreshes it. There is no access token and no refresh token beside it: what a
// page can read out of this connection is worth nothing anywhere else. Its uses are two: auth takes it, on this
// connection, to come back to a session after auth with another one; and a frame may carry it as token to be sure
// for whom it is answered. A token of another session is refused there with invalid_token, one of another
// connection with illegal_source. An access token of the session is good there too.
//
// A session that was opened by login lives on when its connection closes, as one whose app was closed does: nobody
// holds a token to it, and it is in the list of devices, to be ended there, or by the next sign-in of its slot. An app
// that is done sends sign_out first.
//
// # Which process serves it
//
// One that plays all answers everything. The authorization server answers login, auth, sign_out, sessions.list and ping; the
// wallet service auth, wallet.get, wallet.entries, transfer and ping. A type that the other one answers is refused
// with not_served_here. A balancer that splits by path sends /v1/live to one of them; an app that needs both opens two.
//
// # Limits
//
// All are in [Limits] and in the configuration under live, but for the number of frames that are not understood.
// A user's oldest connection is closed for one more, and the newest is not refused: a phone that changed its
// network leaves connections behind that look alive. An address counts by /64 in IPv6.
//
// Compression is off. It would cost tens of kilobytes for each connection, frames here are short, and what is compressed
// together with a secret can leak it by its length (CRIME, BREACH).
//
// # Design notes
//
// Ends are told by the guard of the process, through [guard.Relay]: one reading of the feed for all. Each seat, an identity of a
// connection, is in an index by session, client and jti, so an end finds those it concerns without looking at the others,
// and nothing is polled for a connection. A seat is registered before the guard is asked about its session; what ends
// before is in the guard's set, what ends after is told to the seat. [Live.Take] queues and returns.
//
// The guard forgets an end when the last access token of the session has expired, which may be before a connection
// token does. A seat needs no longer memory: it is told of the end when the guard is, whenever that is, and is gone
// then. When a process has been without its database, the guard reads on from where it was.
//
// A guard that is blind asks the database for each frame, and where nobody answers the frame is refused with
// temporarily_unavailable. A connection is never closed for that, nor is a session told to have expired before it is
// known that it was not superseded.
//
// An idle connection is one goroutine, the reader's. Writing is done by a goroutine that lives while there is something to
// write, time by one timer for sign-in, expiry and pings. Rejected: a writer's goroutine for each connection, which would sleep
// nearly always, and one loop over all connections, which is polling.
//
// Measured: go test ./resource/live -run '^$' -bench Idle -benchtime 1x, on two cores under a load of eight and more; 5,000
// signed-in connections over loopback, both ends in one process: 217 MB resident, 40 KB for each; from the end to the
// news of it at the peer 0.03 ms in the median, 3.8 ms at p99 and 7.2 ms at most, over 500 kicks.
//
// Rejected: server-sent events and POST, which cannot bind a token to a connection. Rejected: sending the answer to
// a transfer through a queue that may drop it; an answer that finds no room drops the connection, and the idempotency key tells.
package live
