// Package pages is what people see of the authorization server in a browser: sign in by password or by a QR that
// a phone scans, let another device in, and look after the devices that are signed in.
//
// It promises:
//
//   - Everything works without JavaScript but the QR, which is hidden then. The script adds the QR, and times in
//     the reader's zone.
//   - A browser's sign-in is a session like any other, of the configured client on the terminal browser:
//     run modes, kick-outs and lists of devices apply to it, and every page asks the store whether it stands.
//   - No secret stands in an address or where a script can read it. The session is in a cookie that is sealed, HttpOnly,
//     SameSite=Lax and, but over plain http on loopback, Secure and named __Host-.
//   - No page is stored by a cache, framed by another page, or loads anything of another origin.
//   - A form is taken from these pages only.
//   - After a sign-in the browser goes to a page of this package, wherever return_to says.
//
// It refuses to decide anything: passwords, brakes, sessions and hand-offs are those of the rooms that it calls, and
// refusals are their refusals, in the words of the reader's language. It refuses to return to another site:
// the authorization code flow is what that is for.
//
// The authorization server mounts its handlers, where a client is configured for them.
//
// Sources: RFC 6265bis (cookies, their prefixes and SameSite); CSP Level 3 and Trusted Types; Fetch Metadata; RFC 8628 §3.3
// (what a user is shown); RFC 4647 (languages); WCAG 2.2 AA.
//
// # Design notes
//
// The cookie holds the refresh token of the sign-in, sealed, and the pages never use it up: it stands for as long
// as its session and its family do, and what says so is the database, at each request. So nothing is lost with an
// answer, two tabs do not race, and a copy of the cookie is of no use at the token endpoint. Where a product has an idle
// limit the token is exchanged now and then, because use is what moves that limit.
//
// Against forged requests (CSRF) a POST must say where it comes from: Sec-Fetch-Site or Origin, as every browser does, and
// it must be here ([http.CrossOriginProtection]). One that says neither is refused. That also covers the sign-in
// form, which a token in a session that does not exist yet could not; SameSite=Lax stands behind it. Lax and not Strict, because a
// phone comes to /device by a link from another app. Referrer-Policy is same-origin and not no-referrer, with which
// browsers send Origin: null.
//
// Against session fixation: what a browser held before a sign-in is never adopted. The sealed cookie is made anew, and the
// former sign-in of that browser is signed out.
//
// Looking at /device?user_code= scans nothing: a preview of the link must not. It shows the code, to be compared, and a button.
//
// The QR is asked for when it comes into view, not with the page: crawlers and phones, which show it below the fold,
// make no requests for nothing.
//
// Rejected: an access token in the page's script, as the SDK has it. A page that keeps no token in reach of scripts
// has nothing to lose to one.
//
// Rejected: __Host- over plain http in dev. Safari takes no Secure cookie there; one name for all browsers is easier to explain.
package pages
