// Package account is what users do to their own sessions and password: they see where they are signed
// in, end one or all others, and choose another password.
//
// It promises that a user sees and ends only what is theirs: the session of somebody else is answered
// as one that does not exist. It promises that when an end is answered it is durable and this process
// has acted on it; and that a change of password ends all other sessions (password_changed) and leaves
// the one that made it as it is.
//
// It refuses a change without the present password, and lets nobody guess that faster than at a
// sign-in: the same brake counts both.
//
// The authorization server mounts its handlers behind a guard that lets in users' tokens only; those that
// change something behind a strict one, or a phone that was signed out a moment ago could sign out the
// one that replaced it.
//
// Sources: NIST SP 800-63B-4 §3.1.1 (passwords) and §5 (sessions); OWASP Authentication Cheat Sheet (change of
// password).
//
// # Ends
//
//	DELETE /v1/sessions/{sid}           that session, whoever shares it: kicked
//	DELETE /v1/sessions/current         one's own: signed_out
//	DELETE /v1/sessions?except=current  all but one's own: kicked
//
// Ending what has ended is answered like the first time, as long as it is remembered.
//
// A session that others share, or did, cannot be ended as "current": the access token does not say who of them
// presents it, and the others must not be touched. It is answered with 409 session_shared; one device leaves by
// revoking its refresh token, and ending the session by its identifier ends it for all.
//
// # Design notes
//
// A wrong present password is 403 wrong_password and not 401: an app answers 401 by refreshing or by
// signing the user out.
//
// The new password is judged before the present one is looked at, which costs nothing; then both are
// hashed, one after the other, in the queue that sign-ins use. The change names the credential that
// was proved, so that of two changes at once one is refused.
//
// The session that asks shows the time of asking as its last_seen_at; those of others are as they were
// written last, some seconds ago.
package account
