// Package web is the Gin edge of the authorization server: handlers that return errors, strict
// forms, and the headers every answer needs.
//
// It promises that error bodies are written in one place, [Edge.Handle], and that nothing private
// reaches them: an error that is not an [oauth.Error] becomes server_error or
// temporarily_unavailable, and its text goes to the log with the request id. It promises that a
// [Form] holds each parameter at most once, as valid UTF-8 and within bounds. It refuses to guess:
// a parameter that is repeated, stands in the query, or is not encoded as it should be ends the
// request.
//
// Rooms that speak HTTP call it; it calls nobody.
//
// Sources: RFC 6749 §3.1 and §3.2 (parameters once, empty as omitted), §5.1 (no-store), §5.2 (error
// bodies) and appendix B (form encoding); RFC 7617 §2 (Basic challenge); RFC 9110 §10.2.3
// (Retry-After), §15.5.6 (405) and §15.5.14 (413).
//
// # Design notes
//
// Forms are parsed by hand, not with http.Request.ParseForm, which merges the query into the body,
// keeps repeated parameters, passes over a body of another content type in silence, and cannot tell
// "too large" from "malformed". The parser is shorter than the checks that would have to follow it.
//
// A raw semicolon is refused. Some parsers split at it and some do not, and a request that two
// parsers read differently is not one to answer.
//
// A parameter without a value counts as omitted (RFC 6749 §3.1), yet given twice it is still
// repeated: "scope=&scope=admin" is refused, or which of the two counts would depend on the reader.
//
// The cause of a refusal below 500 is not logged as an error: strangers would fill the log. It is
// logged at the level debug, where an operator looks when an integration is being debugged.
package web
