// Package handoff hands a sign-in from one device to another: a signed-out device asks and a signed-in phone
// approves (QR sign-in, RFC 8628), or a signed-in device gives (login token).
//
// It promises:
//
//   - What a screen or a QR shows is public: with it one can approve, and never collect. What collects, the
//     device code, is never shown, and never stored but as a hash. The same holds for login tokens.
//   - A hand-off becomes one session or none, however many race, and whatever is restarted in between: every
//     step is one conditional statement in SQL, and the last is made in the transaction that opens the session.
//   - Scanning approves nothing. Whoever scans first owns the request, and anybody else is told so. Approving takes
//     a session that stands in that very transaction, and the number from the asking screen.
//   - Whoever approved must stand when the tokens are collected: kicked, superseded or banned in between, nobody is
//     signed in.
//   - The new session gets no product that the approving app does not sign in to, and no scope that the approving
//     token does not have. It is a session of its own; it says which one handed it over, and
//     DELETE /v1/sessions?started_by=SID ends all that came of a session, down the line.
//
// It refuses to know what a page looks like: [Desk.Ask], [Desk.Look], [Desk.Scan], [Desk.Approve], [Desk.Deny],
// [Desk.Cancel], [Desk.Issue], [Desk.Logins] and [Desk.Revoke] are for handlers of any kind in this process.
// It refuses to sign anybody in: [Desk.CollectDevice] and [Desk.CollectLogin] say what was approved, and the
// pipeline of package grant opens the session.
//
// The authorization server mounts its handlers; package grant collects.
//
// Sources: RFC 8628; RFC 10027 (BCP 247), cross-device flows; HTML Living Standard, server-sent events.
//
// # A device asks
//
//	new → scanned → approved → redeemed
//	 └───────┴─────────┴─────→ denied | cancelled | expired
//
//	device                              server                               phone
//	POST /oauth2/device_authorization → new
//	shows QR and number                                          ← POST /v1/device/scan {"user_code"}
//	                                    scanned
//	                                    says who asks and whence →
//	                                             ← POST /v1/device/approve {"user_code" | "request_id", "number"}
//	                                    approved
//	POST /oauth2/token                → redeemed: a session
//
// The answer of the device authorization endpoint is that of RFC 8628 §3.2 and, beside it, qr_svg (what
// verification_uri_complete says, drawn), qr_expires_in (when to ask for the next), confirmation (the number of
// two digits, for the asking screen alone: it is in no QR, and the phone is never told it) and request_id. Beside
// client_id and scope it takes product, terminal, device_id and device_name, as a sign-in does; they are bound
// then, and a token request that says otherwise is refused.
//
// While it waits, the device has three ways to know:
//
//   - POST /oauth2/token with the device code, as RFC 8628 has it.
//   - POST /v1/device/status {"device_code"}: state, expires_in and, while nobody has scanned, user_code,
//     verification_uri_complete, qr_svg and qr_expires_in as they are now.
//   - GET /v1/device/events, server-sent events: pending, scanned, approved, denied, cancelled, expired and redeemed,
//     with {"state", "expires_in"}; and qr with {"user_code", "verification_uri_complete", "qr_svg", "expires_in"}
//     for each code to show. The stream ends with approved and with whatever is final. The device code goes into the
//     header X-Device-Code. A browser's EventSource cannot send headers; for it device_code in the query is taken
//     too, as the contract has it: a secret in an address, which our own access record does not hold (it names routes), and
//     which a proxy's may. Pages had better fetch the stream with the header.
//
// POST /v1/device/cancel {"device_code"} ends a request that the device does not want any more.
//
// # A device gives
//
// POST /v1/login-tokens {"product"?, "terminal"?, "data"?} by a user's token, or with "sub" by a client with the
// scope login_token:issue. The other device redeems it at the token endpoint, by POST only, once, within five
// minutes: grant_type urn:tallystick:grant-type:login-token and login_token. Without a product it is bound to that
// of the issuing session. Without a terminal it is good for any that the redeeming client may use. The link has the token in its
// fragment, which no browser sends to a server: previews and prefetching do not even see it. data comes back
// as login_data in the token answer, once, to whoever redeems; it is the word of who issued the token and not of
// the server, so it does not become session_data. It nests at most three levels deep.
//
// GET /v1/login-tokens lists what a user's sessions, or the client, have issued and nobody has redeemed; DELETE
// /v1/login-tokens/{id} takes one back. A token dies with the session that issued it.
//
// # Attacks, and what is done against them
//
// The attacks of RFC 10027 and RFC 8628 §5, with the tests (in package authserver unless another is named) that show what we do:
//
//   - Consent phishing: the attacker starts a request and brings their QR or code to the victim. The phone shows
//     which app asks, on what, from which address and browser and when (TestDeviceIsSignedInByAPhone); scanning
//     alone does nothing (TestScanningApprovesNothing); approving takes the number, which is on the attacker's
//     screen and in no QR (TestQRHoldsNoSecret), three tries (TestWrongNumbersCloseTheRequest). A QR that was copied
//     is old after a minute (TestPublicCodeTurns), a request after three. What remains is an attacker who talks to the victim while all this happens and tells
//     them the number. Against that there is what comes after: the session stands in the victim's list, marked, with a
//     record (TestStepsOfHandoffsAreRecorded), and they end everything of that kind with one request
//     (TestEverythingStartedFromADeviceEnds).
//   - Session phishing: the attacker gets the victim to hand over a session, by a login token. It is bound to the
//     issuer's product, and to a terminal if that is wished (TestLoginTokenSignsAnotherDeviceIn), is short, single, listed and
//     can be taken back (TestHolderSeesAndRevokesLoginTokens).
//   - Two who race for one hand-off, or replay it: one wins (TestTenRaceOverHTTP, TestRedemptionRacesExpiry, and the cases "one wins" of
//     storagetest.Handoffs on all engines).
//   - A process is killed, or Redis flushed, in the middle: TestHandoffsOutliveKillsAndFlushes of package e2e.
//   - Somebody else scans first: they own it, and the owner of the screen is told (TestSecondScannerIsTold). It signs the screen in as
//     the stranger only if they also tell its number.
//   - Codes that are guessed (RFC 8628 §5.1): 34 bits, known for minutes, and every wrong one counts against
//     the user and the address (TestGuessingCodesIsBraked).
//   - The device code is stolen or tried by another client: it is bound to its client (TestDeviceCodeBelongsToItsClient), has
//     256 bits, is stored hashed and is shown nowhere.
//   - The phone is stolen or kicked half-way: TestKickedPhoneNeitherScansNorApproves,
//     TestPhoneEndedBetweenApprovalAndCollection, and over the binary TestPhoneThatIsKickedHandsNothingOver.
//   - A weak token makes itself a strong one, by handing over to itself: TestNothingIsHandedOverThatTheApproverHasNot.
//   - Previews, crawlers and prefetching burn a link: TestLoginTokenIsRedeemedByPOSTOnly.
//   - Flooding: TestPendingRequestsAreLimited, TestPollingTooFastIsSlowedDown, TestStreamsAreBounded.
//   - Redis is flushed: it holds the pace of polling and counts of guesses, nothing else of this room. Then a device is let ask once too early.
//
// What RFC 10027 names and we do not do: proximity by radio, trusted networks, and proof of presence on the phone (a fingerprint before
// approving), which is the app's to ask for.
//
// # Design notes
//
// The public code turns when the device looks, not by a clock of the server: one that shows a QR and looks gets a new code
// each minute; one that follows RFC 8628 to the letter shows one code for all of expires_in, and it stays good for as long as §3.2
// says. The attacker of the phishing case holds the device code in either case, so that turning by force would not take anything
// from them. The code before stays good for five seconds, for who scanned in that moment.
//
// A request that is approved and then denied by the same user, before the tokens are collected, is denied: a
// second thought is worth more than a fast poll.
//
// An answer that ends the wait is never held back by slow_down, and asking in vain does not prolong the pause; the pause that
// is enforced is half of the interval that is announced, so that a jittery network is not punished.
//
// Whoever joins a shared session by a hand-off shares its access token with those who were there. To end what was started from a phone
// ends that session for all of them: there is no telling their tokens apart.
//
// The limits on open requests are counted before the insert, in the same transaction: as many more may slip in as ask at the same moment. One
// statement that counts and inserts would not be exact either without locks on gaps; a row to lock for each client and address would, and would
// put all devices of a client in one line. They hold floods back, for which soon is enough.
//
// Rejected: a third secret in the QR beside the user code. RFC 8628 has the user code in verification_uri_complete, so that typing and
// scanning meet; a nonce would have to live as long as the code and would die with it.
//
// Rejected: waking waiting streams over Redis. Streams of the process that made a step are woken at once; the others look
// at SQL every second, by a unique key, 4096 streams a process at the most. That is soon enough for people who put a phone away.
package handoff
