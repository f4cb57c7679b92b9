// Package apidoc is the wallet's OpenAPI 3.1 document, and a page to read it on.
//
// It promises that the document says what the server does: the tests of package resource send requests through the
// routes as they are mounted, answered and refused, and hold every one of them and its answer against the document,
// and a route without an operation fails them as an operation without a route does. It promises that the page needs
// nothing but itself: no script, no other origin, a policy (CSP) that allows its one style sheet by its hash.
//
// The document is for everybody who can reach the server; there is nothing in it that the source does not say.
//
// # Design notes
//
// openapi.yaml is written by hand and embedded. What would have to be said again for each operation is made from
// package problem's table when the document is built: x-refusals lists the codes of an operation, and becomes a
// response for each status with the codes that it can have. So the document cannot give a code another status than
// the server does. Rejected: a document made from comments or handlers, which says what the code looks like rather
// than what a caller needs to know, and which nothing proves either.
//
// The two schemes, user and app, are both bearer tokens. OpenAPI 3.1 lets a scheme that is not OAuth 2 name roles;
// the scopes stand there. Rejected: an oauth2 scheme, which wants the address of the token endpoint. A wallet in a
// process of its own does not have it; clients find it in the issuer's metadata (RFC 8414).
//
// The page is a template over the document. Rejected: the usual viewers, which are megabytes of script, run under no
// strict policy, and would have to be kept up to date for as long as the server is.
package apidoc
