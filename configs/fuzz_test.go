package configs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/configs"
)

// FuzzParse holds that whatever the file and a variable say, the answer is a configuration that
// validates, or faults of one line each.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good), "TALLYSTICK_LOG_LEVEL=debug")
	f.Add([]byte("issuer: &a b\nx: *a\n"), "TALLYSTICK_PRODUCTS_A_B_TERMINALS_API_MODE=shared")
	f.Add([]byte("products: {a: {terminals: {api: {idle_ttl: 9d}}}}\n"), "TALLYSTICK_PASSWORD_HMAC_KEYS_X_SECRET=y")
	f.Add([]byte("{a: {a: {a: [1, {b: 2}]}}}"), "TALLYSTICK_PRODUCTS_._TERMINALS_API_MODE=x")
	f.Add([]byte("? [a]\n: b\n"), "TALLYSTICK_")
	f.Add([]byte("--- !!binary x\n...\n"), "")
	f.Fuzz(func(t *testing.T, file []byte, variable string) {
		if strings.Contains(string(file), "_file") || strings.Contains(strings.ToUpper(variable), "_FILE") {
			t.Skip("reads the files of this host")
		}
		c, err := configs.Parse("f.yaml", file, []string{variable})
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("what was loaded does not validate: %v", err)
			}
			return
		}
		invalid, is := errors.AsType[*configs.InvalidError](err)
		if !is || len(invalid.Faults) == 0 {
			t.Fatalf("not faults: %v", err)
		}
		for _, one := range invalid.Faults {
			if strings.ContainsAny(one.String(), "\n\r") {
				t.Errorf("a fault of more than one line: %q", one.String())
			}
		}
	})
}
