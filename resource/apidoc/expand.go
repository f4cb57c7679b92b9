package apidoc

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tallystick/tallystick/resource/problem"
)

const (
	refusalsKey = "x-refusals"

	mediaJSON     = "application/json"
	tokenRefusal  = "#/components/schemas/TokenRefusal"
	problemSchema = "#/components/schemas/Problem"
)

// response and what is in it are the parts of a document that are made rather than written.
type (
	response struct {
		Description string           `yaml:"description"`
		Headers     map[string]ref   `yaml:"headers,omitempty"`
		Content     map[string]media `yaml:"content"`
	}
	media struct {
		Schema any `yaml:"schema"`
	}
	ref struct {
		Ref string `yaml:"$ref"`
	}
	// coded is a problem with one of some codes.
	coded struct {
		AllOf [2]any `yaml:"allOf,flow"`
	}
)

// expand turns the refusals of every operation into responses.
func expand(root *yaml.Node) error {
	for path, item := range members(find(root, "paths")) {
		for method, operation := range members(item) {
			if err := expandOperation(operation); err != nil {
				return fmt.Errorf("%s %s: %w", strings.ToUpper(method), path, err)
			}
		}
	}
	return nil
}

func expandOperation(operation *yaml.Node) error {
	var codes []problem.Code
	if list := remove(operation, refusalsKey); list != nil {
		if err := list.Decode(&codes); err != nil {
			return err
		}
	}
	byStatus := map[int][]problem.Code{}
	for _, c := range append(codes, problem.TemporarilyUnavailable, problem.Internal) {
		status := problem.Status(c)
		if status == http.StatusInternalServerError && c != problem.Internal {
			return fmt.Errorf("there is no code %q", c)
		}
		byStatus[status] = append(byStatus[status], c)
	}
	responses := find(operation, "responses")
	if responses == nil {
		return fmt.Errorf("no responses")
	}
	statuses := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}
	for status := range byStatus {
		if !slices.Contains(statuses, status) {
			statuses = append(statuses, status)
		}
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		if err := set(responses, strconv.Itoa(status), refusing(status, byStatus[status])); err != nil {
			return err
		}
	}
	return nil
}

// refusing is the response with which a status refuses.
func refusing(status int, codes []problem.Code) response {
	r := response{Content: map[string]media{}, Headers: map[string]ref{}}
	var says []string
	if beforeTheWallet(status) {
		r.Content[mediaJSON] = media{ref{tokenRefusal}}
	}
	if len(codes) > 0 {
		r.Content[problem.ContentType] = media{coded{[2]any{
			ref{problemSchema},
			map[string]any{"properties": map[string]any{
				"status": map[string]any{"const": status},
				"code":   map[string]any{"enum": codes},
			}},
		}}}
		for _, c := range codes {
			says = append(says, "`"+string(c)+"`")
		}
	}
	if beforeTheWallet(status) {
		says = append(says, gate(status))
	}
	r.Description = strings.Join(says, ", ")
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		r.Headers["WWW-Authenticate"] = ref{"#/components/headers/Challenge"}
	case http.StatusLocked, http.StatusServiceUnavailable:
		r.Headers["Retry-After"] = ref{"#/components/headers/RetryAfter"}
	}
	return r
}

// beforeTheWallet says whether the guard, or the listener, refuses with a status as well.
func beforeTheWallet(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge,
		http.StatusInternalServerError, http.StatusServiceUnavailable:
		return true
	}
	return false
}

func gate(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "no token, or one that is not good (any more)"
	case http.StatusForbidden:
		return "a token of the wrong kind, or without the scope"
	case http.StatusBadRequest:
		return "more than one token"
	}
	return "also from before the wallet, without a code"
}
