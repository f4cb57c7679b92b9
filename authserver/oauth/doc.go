// Package oauth holds the words of the protocol: grant types, error codes, parameter names, and the
// one error type that is presented to clients. It imports the standard library only.
//
// Sources: RFC 6749 (OAuth 2.0) §4.1.2.1, §5.2; RFC 6750 (bearer tokens) §3.1; RFC 7009 §2.2.1;
// RFC 7591 §2 (grant and authentication method names); RFC 8628 §3.5; RFC 9068.
package oauth
