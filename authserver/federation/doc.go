// Package federation lets users in by another provider, such as WeChat, and keeps which of its identities
// belong to whom.
//
// A [Provider] says, of a code that its app got, who the user is there. The [Desk] does the rest: it asks
// each code once, remembers what became of it, finds or makes the user, and links and unlinks identities of
// users who are signed in. The next provider is a type with four methods.
//
// It promises:
//
//   - However often, by however many and at whatever processes one client presents one code within five
//     minutes, the provider is asked once, and all get the same user or the same refusal: an app whose answer
//     was lost is not punished with "used already".
//   - One identity is one user, and so are all identities of one person whom the provider names over its apps
//     (unionid), also when they come for the first time at the same moment.
//   - What the provider gives besides names (the session_key of WeChat) is sealed before it is stored, and is
//     neither returned nor logged.
//   - Nobody unlinks the last way in. An identity of somebody else is never taken over: linking it is refused.
//
// It refuses clients that no app is configured for, and more than [MaxAsking] questions at once.
//
// The token endpoint calls [Desk.SignIn]; the authorization server mounts the handlers of /v1/identities
// behind a strict guard for users' tokens. Bans and disabled users are the business of whoever opens the
// session, as with every grant.
//
// # One code, one question
//
//	new ──claim──► asking ──finish──► remembered (5 minutes) ──► forgotten
//	 ▲               │
//	 └───── drop ────┘   the provider did not decide
//
// The claim is a row in the database, because a provider that gives a code out once must be asked once
// however many processes there are, and Redis may be flushed between the question and the retry. Within a
// process, callers with one code wait for one of them; other processes look again every [lookAgain]. Whoever
// claims and dies is overtaken after [patience]; the provider then says that the code is used, which ends in
// invalid_grant and a new code.
//
// # Design notes
//
// The row is found by a keyed hash over provider, app, client, purpose and code: a code that was used to sign
// in is not remembered for another client, nor for linking it to somebody's account. The outcome is sealed,
// and bound to its row.
//
// Refusals that are about the code (invalid_grant, access_denied) are remembered like successes. Whatever may
// be otherwise in a moment is not: busy providers, quotas, faults of our configuration.
//
// An identity that is known stays with its user even if its person (unionid) belongs to another one: both were
// signed in under their own name before, and merging two accounts with two wallets is no decision of a
// sign-in. The person stays with whom it belonged to.
//
// Unlinking the last identity of a person forgets the person too; the next sign-in with it makes a new user.
//
// A user made here has a random name and no password. Rejected: names out of the provider's identifiers, which
// would tell them to whoever sees a user name.
package federation
