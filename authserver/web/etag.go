package web

import "strings"

// matches says whether an If-None-Match header names the entity tag, by the weak comparison that
// RFC 9110 §13.1.2 asks for.
func matches(header, etag string) bool {
	if header == "*" {
		return true
	}
	for candidate := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(candidate), "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
