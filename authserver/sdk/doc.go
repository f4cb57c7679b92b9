// Package sdk is the Go client of Tallystick: it signs a user (or a service) in, and gives an
// [http.Client] whose requests carry an access token that is good.
//
//	client, err := sdk.Open(ctx, sdk.Config{
//		Issuer: "https://auth.example.com", ClientID: "shop-app", Terminal: "mobile",
//		OnEnded: func(e *sdk.EndedError) { showSignIn(e.Reason) },
//	})
//	…
//	_, err = client.SignIn(ctx, sdk.Password("tom", password))
//	…
//	resp, err := client.HTTP().Get("https://auth.example.com/v1/wallet")
//
// # What it promises
//
//   - Tokens are refreshed ahead of their expiry, at a random point between seven and nine tenths of
//     their life, and when a server says "expired"; once, for any number of concurrent requests, which
//     share the outcome. A request waits for a refresh only if its token is no good any more.
//   - A request that was refused because its token had expired is sent once more, with the new token.
//     Never twice. A body that cannot be read again is not repeated: the error is [ErrNotReplayable].
//   - When the session has ended, every request gets an [*EndedError] that says why (superseded, kicked,
//     banned …), [Config.OnEnded] is called once, and nothing is sent to a server again until the next
//     sign-in. There is no loop in which two devices could throw each other out.
//   - A good sign-in is never thrown away because a server is away: 503, 429, 500, a proxy's 502 and a
//     cut connection leave it as it is. Refreshing then backs off, from one second to half a minute, or
//     as long as Retry-After says (ten minutes at most). Requests go on with the token they have while it
//     lives, and get an [*UnavailableError] at once when it does not.
//   - An access token is sent to the issuer and to [Config.APIs], and nowhere else. A redirect to another
//     host is followed without it.
//   - The wall clock of the device does not matter: life is counted from expires_in, on the monotonic
//     clock. Only after a restart is the wall clock asked, and doubted: a token from the future is
//     refreshed.
//   - Secrets print redacted, whatever the verb.
//
// Limits: 1 MiB for an answer of the authorization server, 64 KiB for a refusal that is looked into; 4
// seconds and 3 tries for a refresh, all within the ten seconds in which the server gives the same
// answer again; 30 seconds for any other request of its own.
//
// # Lost answers, and several processes
//
// Refresh tokens are rotated: each is good once. Two things soften that. The server gives the same answer
// again to the same token for ten seconds, so an answer that was lost on the way is asked for again at
// once, and two processes that refresh at the same moment get the same pair. And a client with a
// [Store] reads it before each refresh: if another process has refreshed since, it takes what that one
// stored. So processes may share a store, a [FileStore] too, without a lock between them. A process that
// presents an old refresh token after those ten seconds, because it was stopped in between or because its
// store could not be written, looks like a thief, and the session ends with reuse_detected.
//
// # Who calls it
//
// Applications. It imports the standard library and golang.org/x/oauth2, nothing of ours, so that it
// can be vendored alone. The same for browsers, Node and mini programs is in authserver/sdk/script.
//
// Sources: RFC 6749 §4.3, §4.4, §6; RFC 6750 §3; RFC 7009; RFC 8628 §3; RFC 9110 §10.2.3.
//
// # Design notes
//
// Not oauth2.ReuseTokenSource: it refreshes when a token has expired, so a request waits for it; it has no
// notion of an end that must not be retried, nor of a server that asks to be left alone; and it holds a
// lock during the request, in which no context can be cancelled.
//
// A refresh runs apart from the request that caused it, on a context of the client: a request that is
// cancelled does not take the refresh away from the others. [Client.Close] waits for it.
//
// The endpoints are those that Tallystick's contract names, below the issuer. Discovery would cost a
// request at each start and could say nothing else.
//
// OnEnded runs on a goroutine of its own, so that it may call the client, Close included.
//
// A 401 without a reason is not ours to interpret, an API behind the same host may have said it; it is
// handed to the application as it came.
package sdk
