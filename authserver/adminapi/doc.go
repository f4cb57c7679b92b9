// Package adminapi is the HTTP skin of administration: users, clients and the audit record, for a client
// with the scope admin.
//
// It promises that whatever it changes goes through the services that the command line uses, so that
// ends are announced, and recorded with the client that asked and the address it asked from; that no
// answer holds a hash, and none a secret but that of a client at the moment it is made; and that unknown
// parameters and members are refused, since one that is misspelt, or stands in the query and not in the body,
// would widen what is ended.
//
// It refuses to be called with a user's token, and to let a client disable itself.
//
// The authorization server mounts its handlers below /admin/v1, behind a strict guard that lets in tokens
// of client credentials with the scope admin only: an administration that was disabled a moment ago ends
// nobody's session.
//
// Sources: RFC 9110 §13.1.1 (If-Match) and §15.3.2 (201 and Location); RFC 3339 (times).
//
// # Requests
//
//	GET    /users?prefix=&cursor=&limit=      {"users": […], "next_cursor"}, in the order of names
//	POST   /users                             {"username", "password"?} → 201
//	GET    /users/{sub}                       the user with "sessions", those that live
//	POST   /users/{sub}/kick                  {"product"?, "terminal"?} → {"ended_sessions": […]}
//	POST   /users/{sub}/ban                   {"until"?, "reason"?} → {"ended_sessions": […]}
//	POST   /users/{sub}/unban                 204
//	POST   /users/{sub}/password              {"password"} → {"ended_sessions": […]}
//	GET    /users/{sub}/wallet                {"sub", "frozen", "frozen_at"?, "reason"?, "accounts": […]}
//	PATCH  /users/{sub}/wallet                {"frozen"?, "reason"?, "limits"?: {"CNY": {"single", "daily"}}} → the wallet
//	GET    /clients?cursor=&limit=            {"clients": […], "next_cursor"}
//	POST   /clients                           {"client_id", "type", …} → 201, with "client_secret"
//	GET    /clients/{client_id}               with an ETag
//	PATCH  /clients/{client_id}               {"name"?, "grants"?, …}, under If-Match if that is sent;
//	                                          or {"disabled": true or false} and nothing else
//	DELETE /clients/{client_id}               disables it: 204
//	POST   /clients/{client_id}/secret        {"overlap_seconds"?} → the client with a new "client_secret"
//	GET    /audit?since=&cursor=&limit=       {"records": […], "next_cursor"}, oldest first
//
// next_cursor is null on the last page. The cursor of the audit record is the id of the last record that
// was read, so whoever follows it goes on from there. Identifiers are made a moment before their
// transaction commits: who follows closely reads the last half minute again.
//
// # Design notes
//
// If-Match is optional: a PATCH changes the members that it names on the client as it is, so two
// administrators that change different things do not undo each other. Who needs more sends the tag.
//
// Secrets cannot be chosen here. A generated one has 256 bits; the command line can import others.
//
// A frozen wallet lets nothing out and takes what comes in; its owner stays signed in. Limits replace both
// limits of the wallet in a currency, which come before those that are configured; null is none of its own. They are
// here and not with the wallet because those who may change them are the administrators.
//
// Kicking for a product that is not configured is refused rather than answered with nothing ended: it
// is misspelt more often than it was taken out of the configuration.
package adminapi
